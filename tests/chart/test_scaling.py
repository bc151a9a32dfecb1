"""Who is scaled on what, how fast, and what happens when nobody can be asked."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import chart

#: docs/METRICS.md: the names of the metrics that exist.
METRICS = (chart.ROOT / "docs/METRICS.md").read_text()
TOPICS = (chart.ROOT / "schema/src/topics.rs").read_text()


def scaled(variant):
    return {it["metadata"]["name"]: it["spec"] for it in chart.of_kind(variant, "ScaledObject")}


def triggers(spec, kind):
    return [it for it in spec["triggers"] if it["type"] == kind]


class Owners(unittest.TestCase):
    def test_replicas_are_said_by_the_scaler_or_by_the_chart_never_by_both(self):
        for variant in chart.VARIANTS:
            owners = {(it["scaleTargetRef"]["kind"], it["scaleTargetRef"]["name"]) for it in scaled(variant).values()}
            for it in chart.of_kind(variant, "Deployment", "StatefulSet"):
                of = (it["kind"], it["metadata"]["name"])
                self.assertNotEqual("replicas" in it["spec"], of in owners, f"{variant} {of}")
            there = {(it["kind"], it["metadata"]["name"]) for it in chart.workloads(variant)}
            self.assertLessEqual(owners, there)

    def test_without_keda_replicas_count(self):
        self.assertEqual(scaled("plain"), {})
        self.assertEqual(chart.one("plain", "Deployment", "sightline-pipeline-default")["spec"]["replicas"], 3)

    def test_auto_asks_the_cluster(self):
        values = chart.with_kafka(pools={"a": chart.POOL})
        self.assertEqual(chart.of_kind(values, "ScaledObject", "TriggerAuthentication"), [])
        with_keda = chart.of_kind(values, "ScaledObject", apis=["keda.sh/v1alpha1"])
        self.assertEqual(len(with_keda), 3)

    def test_one_alone_may_keep_its_replicas(self):
        values = chart.with_kafka(pools={}, keda={"enabled": "always"}, consumers={"events": {"replicas": 2, "scaling": {"enabled": False}}})
        self.assertEqual(scaled(values), {})
        self.assertEqual(chart.one(values, "Deployment", "sightline-events")["spec"]["replicas"], 2)

    def test_the_registry_is_not_scaled(self):
        for variant in chart.VARIANTS:
            self.assertNotIn("sightline-registry", scaled(variant))


class Bounds(unittest.TestCase):
    def test_never_more_than_partitions(self):
        partitions = {"everything": 24, "cluster": 12}
        for variant in chart.VARIANTS:
            for name, spec in scaled(variant).items():
                self.assertLessEqual(spec["maxReplicaCount"], partitions.get(variant, 48), name)
                self.assertLessEqual(spec["minReplicaCount"], spec["maxReplicaCount"])

    def test_only_workers_go_to_zero(self):
        for variant in chart.VARIANTS:
            for name, spec in scaled(variant).items():
                # A group that has not committed yet would not be woken.
                self.assertEqual(spec["minReplicaCount"], 0 if "-worker-" in name else 1, name)

    def test_who_cannot_be_asked_changes_nothing(self):
        for variant in chart.VARIANTS:
            for name, spec in scaled(variant).items():
                fallback = spec["fallback"]
                self.assertEqual(fallback["behavior"], "currentReplicasIfHigher")
                self.assertEqual(fallback["failureThreshold"], 3)
                self.assertGreaterEqual(fallback["replicas"], 1)
                self.assertTrue(all(it["useCachedMetrics"] for it in spec["triggers"]), name)

    def test_up_at_once_and_down_one_a_minute(self):
        behavior = scaled("cpu")["sightline-events"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        up = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}]}
        down = {"stabilizationWindowSeconds": 300, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
        self.assertEqual(behavior, {"scaleUp": up, "scaleDown": down})
        self.assertEqual(scaled("cpu")["sightline-events"]["pollingInterval"], 10)

    def test_a_behavior_of_ones_own(self):
        own = {"scaleDown": {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 9, "periodSeconds": 1}]}}
        values = chart.with_kafka(keda={"enabled": "always"}, consumers={"events": {"scaling": {"behavior": own}}})
        self.assertEqual(scaled(values)["sightline-events"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"], own)


class Lag(unittest.TestCase):
    def test_triggers_say_all_that_keda_would_guess(self):
        seen = 0
        for variant in chart.VARIANTS:
            for name, spec in scaled(variant).items():
                for it in triggers(spec, "kafka"):
                    seen += 1
                    metadata = it["metadata"]
                    self.assertTrue(metadata["topic"] and metadata["consumerGroup"])
                    self.assertEqual(metadata["offsetResetPolicy"], "earliest")
                    self.assertEqual(metadata["allowIdleConsumers"], "false")
                    self.assertEqual(metadata["excludePersistentLag"], "false", "a job of an hour is no lag to be left out")
                    self.assertEqual(metadata["activationLagThreshold"], "0")
                    self.assertRegex(metadata["version"], r"^\d+\.\d+\.\d+$")
                    self.assertTrue(all(isinstance(value, str) for value in metadata.values()), metadata)
        self.assertGreater(seen, 20)

    def test_each_consumer_on_the_lag_of_its_groups(self):
        wanted = {
            "events": [("events", "detections")],
            "store": [("store-events", "events"), ("store-rollups", "detections")],
            "alerts": [("alerts-desk", "events"), ("alerts-oncall", "events")],
            "archive": [("archive-detections", "detections"), ("archive-events", "events")],
        }
        for consumer, groups in wanted.items():
            found = [(it["metadata"]["consumerGroup"], it["metadata"]["topic"]) for it in scaled("everything")[f"sightline-{consumer}"]["triggers"]]
            self.assertEqual(sorted(found), [(f"acme.sightline-{group}", f"acme.{topic}") for group, topic in groups])

    def test_workers_on_the_jobs_of_their_pool(self):
        spec = scaled("everything")["sightline-worker-gpu"]
        (it,) = spec["triggers"]
        self.assertEqual((it["metadata"]["consumerGroup"], it["metadata"]["topic"]), ("acme.sightline-jobs-gpu", "acme.jobs.gpu"))
        self.assertEqual(it["metadata"]["limitToPartitionsWithLag"], "true")
        self.assertEqual(it["metadata"]["lagThreshold"], "1")
        self.assertEqual(spec["cooldownPeriod"], 300)

    def test_groups_and_topics_are_the_programs(self):
        for text in ('"{}sightline-jobs-{pool}"', '"{}jobs.{pool}"', '"{}sightline-{consumer}"', '"{}detections"', '"{}events"'):
            self.assertIn(f"format!({text}", TOPICS)
        sources = "".join(path.read_text() for path in sorted((chart.ROOT / "src/consume").glob("*.rs")))
        for consumer in ('"events"', '"store-events"', '"store-rollups"', '"archive-{}"', '"alerts-{}"'):
            self.assertIn(consumer, sources)

    def test_a_large_threshold_is_written_out(self):
        values = chart.with_kafka(
            keda={"enabled": "always"}, consumers={"archive": {"enabled": True, "to": "s3://a", "scaling": {"lagThreshold": 25000000}}}
        )
        self.assertEqual(scaled(values)["sightline-archive"]["triggers"][0]["metadata"]["lagThreshold"], "25000000")


class Pipelines(unittest.TestCase):
    def test_on_what_the_registry_wants(self):
        (it,) = scaled("cpu")["sightline-pipeline-default"]["triggers"]
        self.assertEqual(it["type"], "metrics-api")
        self.assertEqual(it["metricType"], "AverageValue")
        metadata = it["metadata"]
        self.assertEqual(metadata["url"], "http://sightline-registry.video.svc:8700/v1/scaling/pipeline?pool=default")
        self.assertEqual((metadata["valueLocation"], metadata["targetValue"], metadata["authMode"]), ("pods_wanted", "1", "bearer"))
        self.assertIn("pub pods_wanted: f64", (chart.ROOT / "registry/src/api/types.rs").read_text())

    def test_with_a_viewers_token(self):
        (it,) = scaled("cpu")["sightline-pipeline-default"]["triggers"]
        name = it["authenticationRef"]["name"]
        spec = chart.one("cpu", "TriggerAuthentication", name)["spec"]
        self.assertEqual(spec["secretTargetRef"], [{"parameter": "token", "name": "sightline-registry-tokens", "key": "keda-token"}])

    def test_by_a_token_of_ones_own_another_address_and_none(self):
        values = chart.with_kafka(
            keda={"enabled": "always", "registryUrl": "https://cameras.example/"},
            pools={"a": chart.POOL},
            registry={"auth": {"mode": "secret", "secret": "t", "kedaToken": {"secret": "k", "key": "viewer"}}, "tls": {"kedaSkipsVerification": True}},
        )
        (it,) = scaled(values)["sightline-pipeline-a"]["triggers"]
        self.assertEqual(it["metadata"]["url"], "https://cameras.example/v1/scaling/pipeline?pool=a")
        self.assertEqual(it["metadata"]["unsafeSsl"], "true")
        spec = chart.one(values, "TriggerAuthentication", it["authenticationRef"]["name"])["spec"]
        self.assertEqual(spec["secretTargetRef"], [{"parameter": "token", "name": "k", "key": "viewer"}])
        values = chart.with_kafka(keda={"enabled": "always"}, pools={"a": chart.POOL}, registry={"auth": {"mode": "none"}})
        (it,) = scaled(values)["sightline-pipeline-a"]["triggers"]
        self.assertNotIn("authenticationRef", it)
        self.assertNotIn("authMode", it["metadata"])
        self.assertEqual(chart.of_kind(values, "TriggerAuthentication"), [])

    def test_the_registrys_port_and_tls(self):
        values = chart.with_kafka(keda={"enabled": "always"}, pools={"a": chart.POOL}, registry={"service": {"port": 443}, "tls": {"secret": "t"}})
        (it,) = scaled(values)["sightline-pipeline-a"]["triggers"]
        self.assertTrue(it["metadata"]["url"].startswith("https://sightline-registry.video.svc:443/"))

    def test_under_pressure(self):
        spec = scaled("everything")["sightline-pipeline-default"]
        behind, overload = triggers(spec, "prometheus")
        for it in (behind, overload):
            # Over the threshold asks for more; under it leaves going down to the other trigger.
            self.assertEqual(it["metricType"], "Value")
            for metric in set(re.findall(r"sightline_\w+", it["metadata"]["query"])):
                self.assertIn(f"`{metric.removesuffix('_bucket')}`", METRICS)
        self.assertIn("sightline_pipeline_result_latency_seconds_bucket", behind["metadata"]["query"])
        self.assertIn('reason="overload"', overload["metadata"]["query"])
        self.assertEqual((behind["metadata"]["threshold"], overload["metadata"]["threshold"]), ("2", "0.1"))
        window = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"]
        alone = scaled("cpu")["sightline-pipeline-default"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        self.assertGreater(window, alone["scaleDown"]["stabilizationWindowSeconds"])

    @unittest.skipUnless(shutil.which("promtool"), "no promtool here: scripts/setup.sh test installs it")
    def test_prometheus_always_answers_with_one_number(self):
        """What the queries give as Prometheus counts: 0 where nothing is worked at, and no NaN."""
        behind, overload = (it["metadata"]["query"] for it in triggers(scaled("everything")["sightline-pipeline-default"], "prometheus"))

        def series(name, values, more=""):
            labels = 'namespace="video",pod="sightline-pipeline-default-7d9f8b6c5d-x2x4z"' + more
            return {"series": f"sightline_pipeline_{name}{{{labels}}}", "values": values}

        def pool(quick, all_of_them, dropped):
            return [
                series("result_latency_seconds_bucket", quick, ',le="2"'),
                series("result_latency_seconds_bucket", all_of_them, ',le="4"'),
                series("result_latency_seconds_bucket", all_of_them, ',le="+Inf"'),
                series("frames_published_total", all_of_them),
                series("frames_skipped_total", dropped, ',reason="overload"'),
            ]

        still = [(behind, 0), (overload, 0)]
        # 50 in 2 s and 50 in 4 s: nine in ten within 3.6 s. 25 of 125 frames dropped: a fifth.
        pressed = [(f"floor(10 * ({behind}) + 0.5)", 36), (f"floor(10 * ({overload}) + 0.5)", 2)]
        tests = [
            {
                "interval": "30s",
                "input_series": given,
                "promql_expr_test": [
                    {"expr": query, "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": value}]} for query, value in wanted
                ],
            }
            for given, wanted in (
                ([], still),
                (pool("7x20", "9x20", "3x20"), still),
                (pool("0+50x20", "0+100x20", "0+25x20"), pressed),
            )
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "queries.test.yaml")
            path.write_text(json.dumps({"rule_files": [], "evaluation_interval": "30s", "tests": tests}))
            ran = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_pressure_is_that_of_the_pools_own_pods(self):
        found = {}
        for name in ("default", "gpu"):
            (query,) = {
                series for it in triggers(scaled("everything")[f"sightline-pipeline-{name}"], "prometheus")
                for series in re.findall(r'\{(namespace="video",pod=~"[^"]*")', it["metadata"]["query"])
            }
            found[name] = re.compile(query.split('pod=~"')[1].rstrip('"'))
        self.assertTrue(found["default"].fullmatch("sightline-pipeline-default-7d9f8b6c5d-x2x4z"))
        self.assertFalse(found["default"].fullmatch("sightline-pipeline-default-old-7d9f8b6c5d-x2x4z"))
        self.assertTrue(found["gpu"].fullmatch("sightline-pipeline-gpu-0"))
        self.assertFalse(found["gpu"].fullmatch("sightline-pipeline-gpu-7d9f8b6c5d-x2x4z"))


class Credentials(unittest.TestCase):
    def test_keda_logs_in_as_who_it_scales(self):
        for variant, kind in (("everything", "secretTargetRef"), ("strimzi", "env")):
            for name, spec in scaled(variant).items():
                for it in triggers(spec, "kafka"):
                    self.assertEqual((it["metadata"]["sasl"], it["metadata"]["tls"]), ("scram_sha512", "enable"))
                    authentication = chart.one(variant, "TriggerAuthentication", it["authenticationRef"]["name"])["spec"]
                    given = {one["parameter"] for part in authentication.values() for one in part}
                    self.assertEqual(given, {"username", "password", "ca"})
                    self.assertIn("username", {one["parameter"] for one in authentication[kind]})
                    password = next(one for one in authentication["secretTargetRef"] if one["parameter"] == "password")
                    target = chart.one(variant, spec["scaleTargetRef"]["kind"], name)
                    volume = next(one for one in chart.pod(target)["volumes"] if one["name"] == "kafka-user")
                    self.assertEqual(volume["secret"]["secretName"], password["name"])
                    if kind == "env":
                        self.assertEqual(chart.environment(target)["SIGHTLINE_KAFKA_SASL_USERNAME"], name)

    def test_none_where_brokers_ask_for_none(self):
        for it in scaled("cpu").values():
            for trigger in triggers(it, "kafka"):
                self.assertNotIn("authenticationRef", trigger)
                self.assertEqual(trigger["metadata"]["tls"], "disable")


if __name__ == "__main__":
    unittest.main()
