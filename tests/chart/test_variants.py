"""Each ci/*-values.yaml: linted, rendered, and its objects held against the schemas of those who read them."""

import pathlib
import subprocess
import tempfile
import unittest

import chart

#: No package has Strimzi's definitions: test_kafka looks at its objects property by property.
WITHOUT_SCHEMA = {"KafkaTopic", "KafkaUser"}


class Variants(unittest.TestCase):
    def test_lint(self):
        for variant in chart.VARIANTS:
            with self.subTest(variant):
                answer = chart.helm("lint", "--strict", chart.CHART, values=variant)
                self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)

    def test_every_object_fits_its_schema(self):
        schemas = chart.TOOLS / "schemas"
        with tempfile.TemporaryDirectory() as folder:
            for variant in chart.VARIANTS:
                pathlib.Path(folder, f"{variant}.yaml").write_text(chart.rendered(variant))
            answer = subprocess.run(
                [
                    chart.TOOLS / "bin" / "kubeconform",
                    "-strict",
                    "-summary",
                    "-skip",
                    ",".join(sorted(WITHOUT_SCHEMA)),
                    "-schema-location",
                    f"{schemas}/kubernetes/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
                    "-schema-location",
                    f"{schemas}/crds/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json",
                    folder,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)
        everything = [it for variant in chart.VARIANTS for it in chart.objects(variant)]
        skipped = sum(it["kind"] in WITHOUT_SCHEMA for it in everything)
        self.assertIn(f"{len(everything)} resources found", answer.stdout)
        self.assertIn(f"Valid: {len(everything) - skipped}, ", answer.stdout)

    def test_names_are_given_once(self):
        for variant in chart.VARIANTS:
            with self.subTest(variant):
                names = [(it["kind"], it["metadata"]["name"]) for it in chart.objects(variant)]
                self.assertEqual(sorted(names), sorted(set(names)))

    def test_the_namespace_is_the_releases(self):
        for variant in chart.VARIANTS:
            for it in chart.objects(variant):
                self.assertNotIn("namespace", it["metadata"], it["metadata"]["name"])

    def test_notes_name_the_next_commands_and_what_is_survived(self):
        for variant in chart.VARIANTS:
            with self.subTest(variant):
                answer = chart.helm("install", "sightline", chart.CHART, "--dry-run=client", values=variant)
                self.assertEqual(answer.returncode, 0, answer.stderr)
                notes = answer.stdout[answer.stdout.index("\nNOTES:\n") :]
                for number in ("\n1. ", "\n2. ", "\n3. "):
                    self.assertIn(number, notes)
                self.assertNotIn("\n4. ", notes)
                self.assertIn("sightline camera add", notes)
                self.assertIn("What this installation survives", notes)
                self.assertEqual("the sample's model" in notes, variant == "minimal")

    def notes(self, **values):
        answer = chart.helm("install", "sightline", chart.CHART, "--dry-run=client", values=chart.with_kafka(**values))
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return answer.stdout[answer.stdout.index("\nNOTES:\n") :]

    def test_notes_say_which_pools_run_the_sample_and_what_to_set(self):
        sample = {"model": {"sample": True}}
        notes = self.notes(pools={"default": sample, "night": sample, "day": chart.POOL})
        for pool in ("default", "night"):
            self.assertIn(f"Pool {pool} runs the sample's model", notes)
            self.assertIn(f"pools.{pool}.model.url", notes)
        self.assertNotIn("Pool day runs the sample's model", notes)
        self.assertIn("/usr/share/sightline/samples/junction.mp4", notes)

    def test_notes_say_when_there_is_no_pool(self):
        notes = self.notes(pools={})
        self.assertIn("No pool", notes)
        self.assertIn("pools.default.model.url", notes)

    def test_notes_say_where_traces_go_and_when_none_begins(self):
        for sample, words in (({}, "Traces: to http://otel, but of no frame"), ({"frames": 0.01}, "Traces: to http://otel.\n")):
            self.assertIn(words, self.notes(traces={"otlp": "http://otel", "sample": sample}))

    def test_notes_say_what_lies_under_the_spool(self):
        said = {"emptyDir": "outlives the container", "claim": "outlives pod and node", "none": "in memory alone"}
        for kind, words in said.items():
            self.assertIn(words, self.notes(pools={"a": {**chart.POOL, "pipeline": {"spool": {"type": kind}}}}))


if __name__ == "__main__":
    unittest.main()
