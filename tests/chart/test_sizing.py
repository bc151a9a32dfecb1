"""The table of "Sizing" is what docs/sizing.py prints, and what that counts with stands where it says."""

import importlib.util
import subprocess
import sys
import unittest

import yaml

import chart

SCRIPT = chart.ROOT / "docs/sizing.py"
spec = importlib.util.spec_from_file_location("sizing", SCRIPT)
sizing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sizing)


def run(*args):
    return subprocess.run([sys.executable, "-B", SCRIPT, *args], capture_output=True, text=True, check=False)


def column(cameras, fps, **figures):
    values = {name: figure.value for name, figure in sizing.FIGURES.items()} | figures
    return dict(sizing.rows(values, cameras, fps))


class Sizing(unittest.TestCase):
    def test_the_document_holds_what_is_printed(self):
        document = (chart.ROOT / "docs/KUBERNETES.md").read_text()
        for args in ((), ("--figures",)):
            ran = run(*args)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertIn(ran.stdout, document, f"docs/sizing.py {' '.join(args)}")

    def test_every_figure_stands_where_it_says(self):
        for name, figure in sizing.FIGURES.items():
            if figure.page:
                self.assertTrue(figure.words, name)
                self.assertIn(figure.words, (chart.ROOT / "docs" / figure.page).read_text(), name)

    def test_what_the_chart_gives_is_the_charts(self):
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
        pipeline = values["poolDefaults"]["pipeline"]
        self.assertEqual(sizing.FIGURES["partitions"].value, values["kafka"]["partitions"])
        self.assertEqual(sizing.FIGURES["max_replicas"].value, pipeline["scaling"]["maxReplicas"])
        self.assertEqual(sizing.FIGURES["pod_cores"].value, int(pipeline["resources"]["limits"]["cpu"]))
        self.assertEqual(sizing.FIGURES["roll_seconds"].value, values["consumers"]["archive"]["rollSeconds"])

    def test_by_hand(self):
        """A hundred cameras of 20 pictures/s, 5 ms to decode, 40 ms to detect, 5 of them a second."""
        made = column(100, 5, camera_fps=20, decode_ms=5, detect_ms=40, headroom=0.8, record_bytes=200, object_bytes=20, objects=10)
        self.assertEqual(made["frames/s wanted"], 500)
        self.assertEqual(made["cores, all pictures 1080p"], 38)     # 100 × (20 × 5 + 5 × 40) ms = 30 cores, and a fifth free
        self.assertEqual(made["pods × cores"], "19 × 2")
        self.assertEqual(made["`capacityFps` of such a pod"], 33)   # 2 s ÷ (40 + 5 × 20 ÷ 5) ms
        self.assertAlmostEqual(made["MB/s into Kafka, one copy"], (500 + 100 / 30) * 400 / 1e6)

    def test_never_more_pods_than_partitions(self):
        for cameras in (1, 10, 1_000, 30_000, 100_000):
            made = column(cameras, 10)
            pods = int(made["pods × cores"].split(" × ")[0].replace(",", ""))
            self.assertLessEqual(pods, made["partitions (pods at most)"])
            self.assertEqual(made["partitions (pods at most)"] % 48, 0)

    def test_gpus_take_detection_off_the_cores(self):
        made = column(1_000, 5, gpu_fps=500)
        self.assertEqual(made["GPUs, a pod each"], 13)              # 5,000 ÷ (500 × 0.8)
        self.assertLess(made["cores, all pictures 1080p"], column(1_000, 5)["cores, all pictures 1080p"])
        self.assertNotIn("pods × cores", made)

    def test_what_it_does_not_know_it_says(self):
        for args, said in ((["speed=9"], "there is no figure speed"), (["detect_ms=fast"], "detect_ms=37.79"), (["--cameras", "0"], "above 0"), (["--fps", "x"], "above 0")):
            ran = run(*args)
            self.assertNotEqual(ran.returncode, 0)
            self.assertIn(said, ran.stderr)

    def test_ones_own_figures_count(self):
        ran = run("--cameras", "300", "--fps", "2", "detect_ms=9")
        self.assertIn("| cameras | 300 |", ran.stdout)
        self.assertNotEqual(ran.stdout, run("--cameras", "300", "--fps", "2").stdout)
        self.assertIn("| cameras | 10 | 10 | 20 | 20 |", run("--cameras", "10,20", "--fps", "1,2").stdout)

    def test_a_bad_figure_is_no_table(self):
        for figure in ("decode_ms=-1", "headroom=0", "partitions=0", "camera_fps=nan"):
            ran = run(figure)
            self.assertNotEqual(ran.returncode, 0, figure)
            self.assertIn(figure.split("=")[0], ran.stderr)
            self.assertNotIn("Traceback", ran.stderr)


if __name__ == "__main__":
    unittest.main()
