"""Topics, users and how programs reach Kafka."""

import re
import unittest

import chart

SOURCE = (chart.ROOT / "schema/src/topics.rs").read_text()
DAY_MS = 24 * 60 * 60 * 1000


def topics_of_the_program(pools, partitions):
    """What `sightline topics apply` makes, read in its source: name → (partitions, cleanup, retention in ms)."""
    names = dict(re.findall(r'pub fn (\w+)\(&self(?:, pool: &str)?\) -> String \{\s*format!\("\{\}([^"]+)"', SOURCE))
    wanted = SOURCE[SOURCE.index("pub fn wanted") : SOURCE.index("#[cfg(test)]")]
    made = {}
    for kind, method, per_pool, rest in re.findall(r"\b(compacted|kept)\(self\.(\w+)\((pool)?\)(?:, ([^)]*))?\)", wanted):
        count, days = [part.strip() for part in rest.split(",")] if rest else ("partitions", "0")
        of = (partitions if count == "partitions" else int(count), "compact" if kind == "compacted" else "delete", int(days) * DAY_MS)
        for pool in pools if per_pool else [""]:
            made[names[method].replace("{pool}", pool)] = of
    return made


class Topics(unittest.TestCase):
    def test_strimzi_makes_what_the_program_would(self):
        wanted = topics_of_the_program(["default", "night"], 48)
        self.assertEqual(len(wanted), 14)
        found = {}
        for it in chart.of_kind("strimzi", "KafkaTopic"):
            spec = it["spec"]
            self.assertLessEqual(set(spec), {"topicName", "partitions", "replicas", "config"})
            config = spec["config"]
            name = spec["topicName"].removeprefix("sightline.")
            found[name] = (spec["partitions"], config["cleanup.policy"], config.get("retention.ms", 0))
            self.assertEqual((spec["replicas"], config["min.insync.replicas"]), (3, 2))
            self.assertEqual(it["metadata"]["labels"]["strimzi.io/cluster"], "video")
            self.assertEqual(it["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        self.assertEqual(found, wanted)

    def test_copies_are_the_brokers_own_unless_said(self):
        values = chart.with_kafka(topics={"manage": "strimzi"}, strimzi={"cluster": "c", "apiVersion": "kafka.strimzi.io/v1beta2"})
        for it in chart.of_kind(values, "KafkaTopic"):
            self.assertEqual(it["apiVersion"], "kafka.strimzi.io/v1beta2")
            self.assertNotIn("replicas", it["spec"])
            self.assertNotIn("min.insync.replicas", it["spec"]["config"])

    def test_the_hook_runs_before_anything_else_and_for_every_pool(self):
        job = chart.one("everything", "Job", "sightline-topics")
        self.assertEqual(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade")
        self.assertEqual(chart.container(job)["args"], ["topics", "apply"])
        variables = chart.environment(job)
        self.assertEqual(variables["SIGHTLINE_POOLS"], "default,gpu")
        self.assertEqual((variables["SIGHTLINE_PARTITIONS"], variables["SIGHTLINE_REPLICATION"]), ("24", "3"))
        # It is there before the release's objects are, so it stands on none of them.
        self.assertNotIn("serviceAccountName", chart.pod(job))
        made = {it["metadata"]["name"] for it in chart.of_kind("everything", "ConfigMap", "Secret", "ServiceAccount")}
        for volume in chart.pod(job)["volumes"]:
            self.assertNotIn(str(volume.get("secret", {}).get("secretName")), made)
            self.assertNotIn("configMap", volume)

    def test_a_pool_that_is_no_other_has_topics(self):
        # Cameras and jobs that name no pool belong to `default`.
        values = chart.with_kafka(pools={"night": chart.POOL})
        self.assertEqual(chart.environment(chart.one(values, "Job", "sightline-topics"))["SIGHTLINE_POOLS"], "default,night")

    def test_they_are_made_once_or_by_somebody_else(self):
        self.assertEqual(chart.of_kind("strimzi", "Job"), [])
        self.assertEqual(chart.of_kind("plain", "Job", "KafkaTopic"), [])

    def test_the_hook_may_have_rights_of_its_own(self):
        values = chart.with_kafka(
            kafka={"sasl": {"mechanism": "SCRAM-SHA-512", "user": {"secret": "all"}}},
            topics={"hook": {"kafkaUser": {"secret": "admin", "name": "root"}}},
        )
        job = chart.one(values, "Job", "sightline-topics")
        self.assertEqual(chart.environment(job)["SIGHTLINE_KAFKA_SASL_USERNAME"], "root")
        volume = next(it for it in chart.pod(job)["volumes"] if it["name"] == "kafka-user")
        self.assertEqual(volume["secret"]["secretName"], "admin")
        events = chart.one(values, "Deployment", "sightline-events")
        volume = next(it for it in chart.pod(events)["volumes"] if it["name"] == "kafka-user")
        self.assertEqual(volume["secret"]["secretName"], "all")


class Users(unittest.TestCase):
    def rights(self, name):
        """(type, name, pattern) → operations."""
        spec = chart.one("strimzi", "KafkaUser", name)["spec"]
        self.assertEqual(spec["authentication"], {"type": "scram-sha-512"})
        self.assertEqual(set(spec), {"authentication", "authorization"})
        self.assertEqual(spec["authorization"]["type"], "simple")
        found = {}
        for acl in spec["authorization"]["acls"]:
            self.assertEqual(set(acl), {"resource", "operations", "host"})
            self.assertLessEqual(set(acl["operations"]), {"Read", "Write", "Describe"})
            resource = acl["resource"]
            found[(resource["type"], resource["name"], resource["patternType"])] = set(acl["operations"])
        return found

    def test_each_component_has_a_user_of_its_own(self):
        users = sorted(it["metadata"]["name"] for it in chart.of_kind("strimzi", "KafkaUser"))
        components = sorted(it["metadata"]["name"] for it in chart.workloads("strimzi"))
        self.assertEqual(users, components)

    def test_nobody_may_everything(self):
        for it in chart.of_kind("strimzi", "KafkaUser"):
            for (kind, name, _), operations in self.rights(it["metadata"]["name"]).items():
                self.assertIn(kind, ("topic", "group", "transactionalId"))
                if (kind, name) == ("group", "sightline-view"):
                    self.assertEqual(operations, {"Describe"})
                    continue
                self.assertTrue(name.startswith("sightline.") and len(name) > len("sightline."), name)

    def test_topics_in_rights_are_topics_that_there_are(self):
        there = {it["spec"]["topicName"] for it in chart.of_kind("strimzi", "KafkaTopic")}
        for it in chart.of_kind("strimzi", "KafkaUser"):
            for kind, name, pattern in self.rights(it["metadata"]["name"]):
                if kind == "topic" and pattern == "literal":
                    self.assertIn(name, there)
                elif kind == "topic":
                    self.assertTrue(any(topic.startswith(name) for topic in there), name)

    def test_who_writes_what(self):
        """docs/OPERATIONS.md, as a table of who may write."""
        wanted = {
            "registry": {"cameras", "placements", "job-status", "jobs.", "audit", "dead-letter"},
            "pipeline-night": {"detections", "camera-status", "pods", "dead-letter"},
            "worker-night": {"detections", "job-status", "jobs.night", "dead-letter"},
            "events": {"events", "checkpoints", "dead-letter"},
            "store": {"checkpoints", "dead-letter"},
            "alerts": {"dead-letter"},
            "archive": set(),
        }
        for name, topics in wanted.items():
            found = {key[1].removeprefix("sightline.") for key, may in self.rights(f"sightline-{name}").items() if key[0] == "topic" and "Write" in may}
            self.assertEqual(found, topics, name)

    def test_pools_keep_out_of_each_others(self):
        for component in ("pipeline", "worker"):
            for _, name, _ in self.rights(f"sightline-{component}-night"):
                self.assertNotIn("default", name)

    def test_who_is_scaled_may_ask_for_its_lag(self):
        for it in chart.of_kind("strimzi", "ScaledObject"):
            rights = self.rights(it["metadata"]["name"])
            for trigger in it["spec"]["triggers"]:
                if trigger["type"] != "kafka":
                    continue
                for kind, name in (("topic", trigger["metadata"]["topic"]), ("group", trigger["metadata"]["consumerGroup"])):
                    fits = [
                        may for (of, known, pattern), may in rights.items()
                        if of == kind and (known == name or pattern == "prefix" and name.startswith(known))
                    ]
                    self.assertTrue(any("Describe" in may for may in fits), f"{it['metadata']['name']} {name}")


class Clients(unittest.TestCase):
    def test_all_reach_the_same_kafka(self):
        for variant in chart.VARIANTS:
            found = {(chart.environment(it)["SIGHTLINE_KAFKA"], chart.environment(it)["SIGHTLINE_TOPIC_PREFIX"]) for it in chart.workloads(variant)}
            self.assertEqual(len(found), 1)

    def test_protocols(self):
        def protocol(**kafka):
            values = chart.with_kafka(kafka=kafka)
            return chart.environment(chart.one(values, "Deployment", "sightline-events")).get("SIGHTLINE_KAFKA_SECURITY_PROTOCOL")

        sasl = {"mechanism": "SCRAM-SHA-512", "user": {"secret": "u"}}
        self.assertEqual(protocol(), None)
        self.assertEqual(protocol(tls={"enabled": True}), "SSL")
        self.assertEqual(protocol(sasl=sasl), "SASL_PLAINTEXT")
        self.assertEqual(protocol(sasl=sasl, tls={"enabled": True}), "SASL_SSL")

    def test_client_certificates(self):
        values = chart.with_kafka(
            keda={"enabled": "always"},
            kafka={"tls": {"enabled": True, "client": {"secret": "c", "certificate": "user.crt", "key": "user.key"}}},
        )
        events = chart.one(values, "Deployment", "sightline-events")
        self.assertEqual(chart.environment(events)["SIGHTLINE_KAFKA_SSL_KEY_LOCATION"], "/etc/sightline/kafka-client/tls.key")
        volume = next(it for it in chart.pod(events)["volumes"] if it["name"] == "kafka-client")
        self.assertEqual(volume["secret"]["items"], [{"key": "user.crt", "path": "tls.crt"}, {"key": "user.key", "path": "tls.key"}])
        spec = chart.one(values, "TriggerAuthentication", "sightline-events-kafka")["spec"]
        self.assertEqual({it["parameter"]: it["key"] for it in spec["secretTargetRef"]}, {"cert": "user.crt", "key": "user.key"})

    def test_properties_are_variables(self):
        variables = chart.environment(chart.one("everything", "Deployment", "sightline-events"))
        self.assertEqual(variables["SIGHTLINE_KAFKA_SOCKET_KEEPALIVE_ENABLE"], "true")
        self.assertEqual(variables["SIGHTLINE_KAFKA_SASL_PASSWORD_FILE"], "/etc/sightline/kafka-user/password")


if __name__ == "__main__":
    unittest.main()
