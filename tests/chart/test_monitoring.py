"""Who is scraped, under which names, and that the alerts and dashboards know them by these."""

import re
import unittest

import chart

RULES = (chart.CHART / "rules/sightline.yaml").read_text()
OPERATOR = ["monitoring.coreos.com/v1"]


class Monitoring(unittest.TestCase):
    def monitor(self, values, **more):
        (found,) = chart.of_kind(values, "PodMonitor", **more)
        return found

    def test_where_the_operator_is(self):
        for kind in ("PodMonitor", "PrometheusRule"):
            self.assertEqual(len(chart.of_kind("minimal", kind, apis=OPERATOR)), 1)
            self.assertEqual(chart.of_kind("minimal", kind), [])
            self.assertEqual(chart.of_kind("plain", kind, apis=OPERATOR), [])

    def test_every_pod_that_stays_is_scraped(self):
        for variant in chart.VARIANTS:
            spec = self.monitor(variant, apis=OPERATOR)["spec"] if variant != "plain" else None
            for it in chart.workloads(variant) if spec else []:
                self.assertLessEqual(spec["selector"]["matchLabels"].items(), it["spec"]["template"]["metadata"]["labels"].items())
                named = [port["name"] for port in chart.container(it).get("ports", [])]
                (endpoint,) = spec["podMetricsEndpoints"]
                self.assertEqual(endpoint["port"] in named, it["kind"] != "Job")

    def test_the_job_is_found_by_the_alerts_whatever_objects_are_called(self):
        """The operator takes the job's name from this label of the pods."""
        selectors = set(re.findall(r'job=~"([^"]+)"', RULES))
        self.assertTrue(selectors)
        for values in (chart.with_kafka(), chart.with_kafka(fullnameOverride="cameras")):
            label = self.monitor(values, apis=OPERATOR)["spec"]["jobLabel"]
            for it in chart.workloads(values):
                job = it["spec"]["template"]["metadata"]["labels"][label]
                for selector in selectors:
                    self.assertRegex(job, f"^(?:{selector})$")

    def test_a_process_is_called_by_its_pods_name(self):
        (endpoint,) = self.monitor("everything")["spec"]["podMetricsEndpoints"]
        self.assertEqual(endpoint["relabelings"], [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}])
        self.assertEqual((endpoint["path"], endpoint["interval"]), ("/metrics", "15s"))

    def test_labels_that_the_operator_selects_by(self):
        for kind in ("PodMonitor", "PrometheusRule"):
            for it in chart.of_kind("everything", kind):
                self.assertEqual(it["metadata"]["labels"]["release"], "prometheus")

    def test_a_second_release_leaves_rules_and_dashboards_out(self):
        values = chart.with_kafka(monitoring={"rules": {"enabled": "never"}, "dashboards": {"enabled": False}})
        made = [it["metadata"]["name"] for it in chart.of_kind(values, "ConfigMap", "PrometheusRule", apis=OPERATOR)]
        self.assertEqual(made, [])
        self.monitor(values, apis=OPERATOR)


if __name__ == "__main__":
    unittest.main()
