"""Who may be reached by whom, and reach what."""

import unittest

import chart


def policies(values):
    return {it["metadata"]["name"]: it["spec"] for it in chart.of_kind(values, "NetworkPolicy")}


def ports(rules):
    """Of a list of rules: all ports, and None where a rule is for any port."""
    return {port.get("port") for rule in rules for port in rule.get("ports", [{}])}


class Network(unittest.TestCase):
    def test_every_pod_has_one_and_it_says_both_ways(self):
        for variant in set(chart.VARIANTS) - {"plain", "cluster"}:
            found = policies(variant)
            for it in chart.workloads(variant):
                labels = it["spec"]["template"]["metadata"]["labels"].items()
                fitting = [name for name, spec in found.items() if spec["podSelector"]["matchLabels"].items() <= labels]
                self.assertEqual(fitting, [it["metadata"]["name"]])
            for spec in found.values():
                self.assertEqual(sorted(spec["policyTypes"]), ["Egress", "Ingress"])

    def test_none_when_it_is_said(self):
        self.assertEqual(policies("plain"), {})

    def test_nobody_reaches_anything_but_metrics_and_the_registrys_api(self):
        for name, spec in policies("everything").items():
            wanted = {"sightline-registry": {"metrics", "api"}, "sightline-topics": set()}.get(name, {"metrics"})
            self.assertEqual(ports(spec.get("ingress", [])), wanted, name)
            for rule in spec.get("ingress", []):
                self.assertTrue(rule["from"], "a rule without peers is for everybody")

    def test_keda_reaches_the_registry_wherever_it_lives(self):
        values = chart.with_kafka(keda={"namespace": "autoscaling"})
        (api,) = [rule for rule in policies(values)["sightline-registry"]["ingress"] if ports([rule]) == {"api"}]
        self.assertIn({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "autoscaling"}}}, api["from"])

    def test_each_reaches_what_it_needs(self):
        wanted = {
            "registry": {53, 9093, 6432, None, 443, 4318},     # Kafka, the database, cameras to probe, buckets to list, traces
            "pipeline-default": {53, 9093, None, 443, 4318},   # cameras anywhere; the model's server
            "pipeline-gpu": {53, 9093, None, 4318},
            "worker-default": {53, 9093, 443, 4318},
            "worker-gpu": {53, 9093, 443, 4318},
            "events": {53, 9093, 4318},
            "store": {53, 9093, 6432, 4318},
            "alerts": {53, 9093, 443, 4318},
            "archive": {53, 9093, 443},
            "topics": {53, 9093},
        }
        found = policies("everything")
        self.assertEqual({name.removeprefix("sightline-") for name in found}, set(wanted))
        for name, expected in wanted.items():
            self.assertEqual(ports(found[f"sightline-{name}"]["egress"]), expected, name)

    def test_a_registry_alone_reaches_kafka_alone(self):
        self.assertEqual(ports(policies("minimal")["sightline-registry"]["egress"]), {53, 9092})

    def test_cameras_are_no_way_to_a_clouds_metadata(self):
        (rule,) = [rule for rule in policies("cpu")["sightline-pipeline-default"]["egress"] if "ports" not in rule]
        (v4, v6) = [peer["ipBlock"] for peer in rule["to"]]
        self.assertEqual((v4["cidr"], v4["except"]), ("0.0.0.0/0", ["169.254.0.0/16"]))
        self.assertEqual((v6["cidr"], v6["except"]), ("::/0", ["fe80::/10"]))

    def test_an_archive_in_a_folder_reaches_no_bucket(self):
        self.assertEqual(ports(policies("strimzi")["sightline-archive"]["egress"]), {53, 9093})

    def test_ports_of_kafka_and_of_the_database(self):
        def egress(bootstrap, url="postgresql://u@db/v", **policy):
            values = {
                "kafka": {"bootstrapServers": bootstrap},
                "database": {"url": url},
                "consumers": {"store": {"enabled": True}},
                "networkPolicy": policy,
            }
            return ports(policies(values)["sightline-store"]["egress"]) - {53}

        self.assertEqual(egress("a:9092,b:9094,[fd00::1]:9095"), {9092, 9094, 9095, 5432})
        self.assertEqual(egress("a"), {9092, 5432})
        self.assertEqual(egress("a:1", "postgresql://db:6432/v?sslmode=require"), {1, 6432})
        self.assertEqual(egress("a:1", "postgresql://[fd00::2]:7000/v"), {1, 7000})
        self.assertEqual(egress("a:1", "postgresql://u@db?host=x"), {1, 5432})
        self.assertEqual(egress("a:1", kafka={"ports": [31000]}, database={"port": 7}), {31000, 7})

    def test_port_of_the_models_server(self):
        def egress(pool, **policy):
            url = {"path": "", "sha256": "a" * 64}
            pools = {
                "http": {"model": {**url, "url": "http://models/m.onnx"}},
                "tls": {"model": {**url, "url": "https://models:9443/m.onnx?signature=a:1"}},
                "secret": {"model": {**url, "urlSecret": {"name": "address"}}},
                "file": {**chart.POOL, "model": {"path": "/m.onnx"}},
            }
            found = policies(chart.with_kafka(pools=pools, networkPolicy={"objects": policy}))
            (pipeline, worker) = (ports(found[f"sightline-{what}-{pool}"]["egress"]) for what in ("pipeline", "worker"))
            self.assertEqual(pipeline - {None}, worker if pool != "file" else {53, 9092})
            return worker - {53, 9092}

        self.assertEqual(egress("http"), {443, 80})
        self.assertEqual(egress("tls"), {443, 9443})
        self.assertEqual(egress("tls", ports=[9000]), {9000, 9443})
        self.assertEqual(egress("secret"), {443})
        self.assertEqual(egress("secret", ports=[8080]), {8080})
        self.assertEqual(egress("file"), {443})

    def test_a_port_is_named_once(self):
        for rule in policies("everything")["sightline-worker-default"]["egress"]:
            named = [(port["protocol"], port["port"]) for port in rule["ports"]]
            self.assertEqual(sorted(named), sorted(set(named)))

    def test_ports_of_the_names_server(self):
        openshift = [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}},
                "podSelector": {"matchLabels": {"dns.operator.openshift.io/daemonset-dns": "default"}},
            }
        ]
        values = chart.with_kafka(networkPolicy={"dns": {"to": openshift, "ports": [5353]}})
        for spec in policies(values).values():
            (rule,) = [rule for rule in spec["egress"] if rule.get("to") == openshift]
            self.assertEqual(rule["ports"], [{"protocol": "UDP", "port": 5353}, {"protocol": "TCP", "port": 5353}])
            self.assertNotIn(53, ports(spec["egress"]))

    def test_port_of_the_collector(self):
        def egress(otlp, **policy):
            values = chart.with_kafka(traces={"otlp": otlp}, networkPolicy={"traces": policy})
            return ports(policies(values)["sightline-events"]["egress"]) - {53, 9092}

        self.assertEqual(egress(""), set())
        self.assertEqual(egress("http://otel:4318"), {4318})
        self.assertEqual(egress("http://otel:4318/v1/traces"), {4318})
        self.assertEqual(egress("https://otel.example/a:1/b"), {443})
        self.assertEqual(egress("http://otel"), {80})
        self.assertEqual(egress("http://[fd00::2]:4318/"), {4318})
        self.assertEqual(egress("https://[fd00::2]"), {443})
        self.assertEqual(egress("https://otel:4318", port=31318), {31318})
        collector = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
        values = chart.with_kafka(traces={"otlp": "http://otel:4318"}, networkPolicy={"traces": {"to": collector}})
        (rule,) = [rule for rule in policies(values)["sightline-registry"]["egress"] if ports([rule]) == {4318}]
        self.assertEqual(rule["to"], collector)

    def test_peers_of_ones_own(self):
        kafka = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}]
        values = chart.with_kafka(networkPolicy={"kafka": {"to": kafka}, "metricsFrom": [], "registryFrom": []})
        found = policies(values)
        (rule,) = [rule for rule in found["sightline-events"]["egress"] if ports([rule]) == {9092}]
        self.assertEqual(rule["to"], kafka)
        self.assertFalse(found["sightline-events"].get("ingress"))
        self.assertEqual(ports(found["sightline-registry"]["ingress"]), {"api"})


if __name__ == "__main__":
    unittest.main()
