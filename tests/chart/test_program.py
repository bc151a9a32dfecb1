"""The chart says nothing that the program does not know: commands, variables, ports, files of values and words."""

import json
import re
import unittest

import yaml

import chart

CLI = "\n".join((chart.ROOT / path).read_text() for path in ("src/cli.rs", "src/cli/consume.rs", "src/cli/registration.rs"))

#: What reads each command's flags.
COMMANDS = {
    ("registry",): "ServeArgs",
    ("pipeline",): "PipelineArgs",
    ("worker",): "WorkerArgs",
    ("topics", "apply"): "TopicsActionArgs",
    ("consume", "events"): "EventsArgs",
    ("consume", "store"): "StoreArgs",
    ("consume", "archive"): "ArchiveArgs",
    ("consume", "alerts"): "AlertsArgs",
}
#: Variables that are no flags.
OTHERS = {"HOME", "NVIDIA_DRIVER_CAPABILITIES", "OTEL_EXPORTER_OTLP_HEADERS", "TZ"}


def structs():
    """Each struct of the command line: its own variables, and the structs that are part of it."""
    found = {}
    for name, body in re.findall(r"pub\(crate\) struct (\w+) \{(.*?)\n\}", CLI, re.S):
        own = set(re.findall(r'env = "(SIGHTLINE_\w+)"', body))
        parts = re.findall(r"#\[command\(flatten\)\]\s*pub\(crate\) \w+: (\w+)", body)
        found[name] = (own, parts)
    return found


STRUCTS = structs()


def variables(name):
    own, parts = STRUCTS[name]
    return own.union(*(variables(part) for part in parts))


#: Those of all commands.
GLOBAL = variables("Cli") if "Cli" in STRUCTS else set()


class Program(unittest.TestCase):
    def test_the_command_line_is_read_right(self):
        self.assertEqual(GLOBAL, {"SIGHTLINE_CONFIG", "SIGHTLINE_LOG", "SIGHTLINE_LOG_FILTER"})
        self.assertIn("SIGHTLINE_KAFKA", variables("PipelineArgs"))
        self.assertIn("SIGHTLINE_ALLOW_BUCKET", variables("WorkerArgs"))
        self.assertNotIn("SIGHTLINE_SPOOL", variables("WorkerArgs"))
        for command, struct in COMMANDS.items():
            self.assertIn(struct, STRUCTS, command)

    def test_every_variable_is_one_of_its_command(self):
        seen = set()
        for variant in chart.VARIANTS:
            for workload in chart.workloads(variant):
                args = tuple(chart.container(workload)["args"])
                known = variables(COMMANDS[args]) | GLOBAL | OTHERS
                seen.add(args)
                for name in chart.environment(workload):
                    if name.startswith("SIGHTLINE_KAFKA_"):
                        # A property of librdkafka, not a flag; `…_FILE` takes it from a file.
                        self.assertNotIn("CONFIG", name)
                        continue
                    self.assertIn(name, known, f"{' '.join(args)}")
        self.assertEqual(seen, set(COMMANDS))

    def test_what_a_command_needs_is_there(self):
        needed = {
            "pipeline": {"SIGHTLINE_KAFKA", "SIGHTLINE_MODEL"},
            "worker": {"SIGHTLINE_KAFKA", "SIGHTLINE_MODEL"},
            "store": {"SIGHTLINE_KAFKA", "SIGHTLINE_DATABASE"},
            "archive": {"SIGHTLINE_KAFKA", "SIGHTLINE_TO"},
            "alerts": {"SIGHTLINE_KAFKA", "SIGHTLINE_RULES"},
        }
        for variant in chart.VARIANTS:
            for workload in chart.workloads(variant):
                self.assertLessEqual(needed.get(chart.component(workload), set()), set(chart.environment(workload)))

    def test_variables_are_given_once(self):
        for variant in chart.VARIANTS:
            for workload in chart.workloads(variant):
                names = [it["name"] for it in chart.container(workload)["env"]]
                self.assertEqual(sorted(names), sorted(set(names)))

    def test_defaults_are_the_programs(self):
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
        topics = (chart.ROOT / "schema/src/topics.rs").read_text()
        self.assertIn(f"DEFAULT_PARTITIONS: i32 = {values['kafka']['partitions']};", topics)
        self.assertIn(f'DEFAULT_PREFIX: &str = "{values["kafka"]["topicPrefix"]}";', topics)
        self.assertRegex(CLI, rf'default_value = "{values["poolDefaults"]["decoder"]}", env = "SIGHTLINE_DECODER"')
        unsaid = (chart.ROOT / "src/traces.rs").read_text()
        sample = values["traces"]["sample"]
        self.assertEqual(sample["frames"], sample["requests"])
        self.assertIn(f"Unsaid::Nothing => {float(sample['frames'])},", unsaid)
        self.assertIn(f"Unsaid::Sampled => {float(sample['consumers'])},", unsaid)
        archive = values["consumers"]["archive"]
        self.assertRegex(CLI, rf"default_value_t = {archive['rollSeconds']}, env = \"SIGHTLINE_ROLL_SECONDS\"")
        self.assertRegex(CLI, rf"default_value_t = {archive['buckets']}, env = \"SIGHTLINE_BUCKETS\"")

    def test_version(self):
        cargo = re.search(r'^version = "([^"]+)"', (chart.ROOT / "Cargo.toml").read_text(), re.M)
        about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
        self.assertEqual(about["appVersion"], cargo.group(1))

    def test_words_of_values_are_the_programs(self):
        schema = json.loads((chart.CHART / "values.schema.json").read_text())
        pool = schema["definitions"]["pool"]["properties"]
        heads = re.search(r"where it can't be told: ([a-z0-9, ]+)", CLI)
        self.assertEqual(set(pool["model"]["properties"]["head"]["enum"]) - {""}, set(heads.group(1).split(", ")))
        devices = re.search(r"What runs the model: ([^.]+)\.", CLI).group(1)
        told = {word.split("[")[0].strip() for word in devices.split(",")}
        self.assertEqual(set(pool["device"]["enum"]), told - {"auto"})
        decoders = re.search(r"What decodes H.264 and H.265: ([^.]+)\.", CLI).group(1)
        self.assertEqual(set(pool["decoder"]["enum"]), set(decoders.split(", ")))

    def test_who_can_trace_does(self):
        traced = {command for command, struct in COMMANDS.items() if "SIGHTLINE_OTLP" in variables(struct)}
        found = {
            tuple(chart.container(it)["args"]) for it in chart.workloads("everything") if "SIGHTLINE_OTLP" in chart.environment(it)
        }
        self.assertEqual(found, traced)

    def test_headers_are_read_from_where_the_chart_puts_them(self):
        self.assertIn('"OTEL_EXPORTER_OTLP_HEADERS"', (chart.ROOT / "service/src/trace/address.rs").read_text())


class Values(unittest.TestCase):
    """values.yaml, the schema and the templates hold the same."""

    VALUES = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    SCHEMA = json.loads((chart.CHART / "values.schema.json").read_text())
    #: What each component may say itself instead of `pod`: in values.yaml it stands there alone.
    SHARED = set(VALUES["pod"])

    def resolved(self, schema):
        while "$ref" in schema:
            schema = self.SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def check(self, values, schema, where):
        schema = self.resolved(schema)
        for choice in schema.get("anyOf", []):
            if self.resolved(choice).get("type") == "object":
                schema = self.resolved(choice)
        # `{}` is a map that people fill.
        if "properties" not in schema or not values:
            return
        self.assertFalse(schema["additionalProperties"], where)
        known = set(schema["properties"])
        missing = known - set(values)
        if where != "pod":
            missing -= self.SHARED
        missing -= {"global"}
        if where.startswith("keda.behavior"):
            missing -= {"selectPolicy", "tolerance"}
        self.assertEqual(missing, set(), f"{where}: in the schema, and not in values.yaml")
        for key, value in values.items():
            self.check(value, schema["properties"][key], f"{where}.{key}".lstrip("."))

    def test_schema_and_values_hold_the_same(self):
        self.check(self.VALUES, self.SCHEMA, "")

    def test_objects_of_the_schema_are_closed(self):
        def walk(schema, where):
            if isinstance(schema, dict):
                if schema.get("type") == "object" and "properties" in schema:
                    self.assertIs(schema.get("additionalProperties"), False, where)
                for key, value in schema.items():
                    walk(value, f"{where}/{key}")
            elif isinstance(schema, list):
                for item in schema:
                    walk(item, where)

        walk(self.SCHEMA, "")

    def test_every_value_is_used(self):
        templates = "\n".join(path.read_text() for path in (chart.CHART / "templates").rglob("*") if path.is_file())

        def leaves(values, where=()):
            for key, value in values.items():
                if isinstance(value, dict) and value:
                    yield from leaves(value, (*where, key))
                else:
                    yield (*where, key)

        for path in leaves(self.VALUES):
            if path[:2] == ("keda", "behavior") or path[-1] in ("cpu", "memory"):
                continue
            self.assertRegex(templates, rf"\b{path[-1]}\b", ".".join(path))

    def test_values_are_explained(self):
        """Every group has a sentence above it or above what it holds."""
        lines = (chart.CHART / "values.yaml").read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"^[a-z]\w*:", line):
                near = lines[max(0, number - 2) : number] + lines[number : number + 4]
                self.assertTrue(any("#" in it for it in near), line)


class Monitoring(unittest.TestCase):
    def test_metrics_are_scraped_where_they_are_served(self):
        (monitor,) = chart.of_kind("everything", "PodMonitor")
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        self.assertEqual((endpoint["port"], endpoint["path"]), ("metrics", "/metrics"))
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        for workload in chart.workloads("everything"):
            self.assertLessEqual(wanted, workload["spec"]["template"]["metadata"]["labels"].items())

    def test_only_where_somebody_reads_it(self):
        values = chart.with_kafka()
        self.assertEqual(chart.of_kind(values, "PodMonitor", "PrometheusRule"), [])
        served = chart.of_kind(values, "PodMonitor", apis=["monitoring.coreos.com/v1"])
        self.assertEqual(len(served), 1)

    def test_rules_and_dashboards_are_taken_as_they_are(self):
        """With files of our own in a copy of the chart: whatever lies in it, and nothing of them is taken for a template."""
        import pathlib
        import shutil
        import tempfile

        rules = 'groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up == 0\n        annotations:\n          summary: "{{ $labels.pod }} {{ nil }}"\n          runbook_url: docs/runbooks/A.md\n'
        dashboard = (
            '{"uid": "fleet", "title": "{{pod}} {{ fail \\"x\\" }}",\n'
            '  "description": "docs/METRICS.md\\n\\nAlerts: [A](docs/runbooks/A.md), [B](docs/runbooks/B.md)", "panels": []}\n'
        )
        for count in (0, 2):
            with tempfile.TemporaryDirectory() as folder:
                copy = pathlib.Path(folder, "sightline")
                shutil.copytree(chart.CHART, copy, ignore=shutil.ignore_patterns("dashboards", "rules"))
                for name, text, suffix in (("rules", rules, "yaml"), ("dashboards", dashboard, "json")):
                    (copy / name).mkdir(exist_ok=True)
                    for number in range(count):
                        (copy / name / f"file{number}.{suffix}").write_text(text)
                found = chart.of_kind("everything", "PrometheusRule", chart=copy)
                boards = self.boards("everything", chart=copy)
                self.assertEqual((len(found), len(boards)), (count, count))
                for it in found:
                    self.assertEqual(it["spec"], yaml.safe_load(rules))
                linked = chart.with_kafka(monitoring={"rules": {"enabled": "always", "runbooks": "https://git.example/x"}})
                for it in chart.of_kind(linked, "PrometheusRule", chart=copy):
                    (rule,) = it["spec"]["groups"][0]["rules"]
                    self.assertEqual(rule["annotations"]["runbook_url"], "https://git.example/x/docs/runbooks/A.md")
                for number, it in enumerate(boards):
                    self.assertEqual(it["data"], {f"file{number}.json": dashboard})
                for it in self.boards(linked, chart=copy):
                    (text,) = it["data"].values()
                    said = json.loads(text)["description"]
                    base = "https://git.example/x/docs/runbooks"
                    self.assertEqual(said, f"docs/METRICS.md\n\nAlerts: [A]({base}/A.md), [B]({base}/B.md)")

    def boards(self, values, **more):
        maps = chart.of_kind(values, "ConfigMap", **more)
        return [it for it in maps if it["metadata"]["labels"].get("grafana_dashboard") == "1"]

    def test_every_link_to_a_runbook_gets_the_address(self):
        linked = chart.with_kafka(monitoring={"rules": {"enabled": "always", "runbooks": "https://git.example/x"}})
        texts = [text for it in self.boards(linked) for text in it["data"].values()]
        texts += [str(it["spec"]) for it in chart.of_kind(linked, "PrometheusRule")]
        found = [link for text in texts for link in re.findall(r"(\S*?)docs/runbooks/", text)]
        self.assertGreater(len(found), 30)
        for before in found:
            self.assertRegex(before, r"(^|\(|')https://git\.example/x/$")
        for text in texts[: len(self.boards(linked))]:
            json.loads(text)


if __name__ == "__main__":
    unittest.main()
