"""What holds of every pod: Kubernetes' restricted level, what it may not hold, how it ends and how it is asked."""

import re
import unittest

import chart

#: Seconds that a process may take to end, whatever hangs (pipeline/src/topology.rs: STOP_BOUND).
STOP_BOUND = 35


def each():
    for variant in chart.VARIANTS:
        for workload in chart.workloads(variant):
            yield variant, workload, chart.pod(workload)


def containers(pod):
    return pod["containers"] + pod.get("initContainers", [])


class Pods(unittest.TestCase):
    def test_restricted(self):
        for variant, workload, pod in each():
            with self.subTest(variant=variant, name=workload["metadata"]["name"]):
                for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
                    self.assertNotIn(field, pod)
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                allowed = {"emptyDir", "secret", "configMap", "projected", "persistentVolumeClaim", "image"}
                for volume in pod["volumes"]:
                    self.assertLessEqual(set(volume) - {"name"}, allowed)
                for it in containers(pod):
                    security = it["securityContext"]
                    self.assertFalse(security["allowPrivilegeEscalation"])
                    self.assertTrue(security["readOnlyRootFilesystem"])
                    self.assertTrue(security["runAsNonRoot"])
                    self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
                    self.assertNotIn("privileged", security)
                    self.assertNotIn("hostPort", str(it.get("ports", [])))

    def test_no_token_of_kubernetes_and_no_right(self):
        for variant, workload, pod in each():
            self.assertFalse(pod["automountServiceAccountToken"], workload["metadata"]["name"])
        for variant in chart.VARIANTS:
            kinds = {it["kind"] for it in chart.objects(variant)}
            self.assertFalse(kinds & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
            accounts = chart.of_kind(variant, "ServiceAccount")
            self.assertTrue(all(it["automountServiceAccountToken"] is False for it in accounts))
            used = [chart.pod(it)["serviceAccountName"] for it in chart.workloads(variant) if it["kind"] != "Job"]
            self.assertEqual(sorted(used), sorted(it["metadata"]["name"] for it in accounts))

    def test_variables_of_services_are_not_settings(self):
        for _, workload, pod in each():
            self.assertFalse(pod["enableServiceLinks"], workload["metadata"]["name"])

    def test_no_secret_in_arguments_variables_or_config_maps(self):
        secret = re.compile(r"password|secret|token|credential|sasl\.password|private", re.I)
        for variant, workload, pod in each():
            for it in containers(pod):
                for word in it.get("args", []) + it.get("command", []):
                    self.assertIsNone(secret.search(word), word)
                for variable in it.get("env", []):
                    value = variable.get("value", "")
                    if secret.search(variable["name"]) and value:
                        # Where it is, and never what it is.
                        self.assertTrue(value.startswith("/"), variable)
        for variant in chart.VARIANTS:
            for it in chart.of_kind(variant, "ConfigMap"):
                text = str(it.get("data"))
                self.assertNotIn("whsec_", text)
                self.assertNotRegex(text, r"://[^/\s:@]+:[^/\s@]+@")

    def test_secrets_and_settings_are_mounted_to_be_read(self):
        for variant, workload, pod in each():
            kinds = {volume["name"]: next(key for key in volume if key != "name") for volume in pod["volumes"]}
            for claim in workload["spec"].get("volumeClaimTemplates", []):
                kinds[claim["metadata"]["name"]] = "persistentVolumeClaim"
            for it in containers(pod):
                for mount in it["volumeMounts"]:
                    # A mount without a volume, or by subPath, would not see a Secret that changes.
                    self.assertIn(mount["name"], kinds, f"{variant} {workload['metadata']['name']}")
                    self.assertNotIn("subPath", mount)
                    if kinds[mount["name"]] in ("secret", "configMap", "projected"):
                        self.assertTrue(mount["readOnly"])
                used = {mount["name"] for mount in it["volumeMounts"]}
                if it["name"] == "sightline":
                    self.assertEqual(used, set(kinds), f"{variant} {workload['metadata']['name']}")

    def test_every_file_that_a_variable_names_is_mounted(self):
        for variant, workload, _ in each():
            container = chart.container(workload)
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            in_the_image = {"SIGHTLINE_MODEL"} if variant in ("plain", "gpu", "cluster", "minimal") else set()
            for name, value in chart.environment(workload).items():
                if isinstance(value, str) and value.startswith("/") and name not in in_the_image | {"SIGHTLINE_ALLOW_FILE_ROOT"}:
                    there = any(value == mount or value.startswith(f"{mount}/") for mount in mounts)
                    self.assertTrue(there, f"{variant} {workload['metadata']['name']} {name}={value}")

    def test_they_have_longer_to_end_than_they_take(self):
        for variant, workload, pod in each():
            with self.subTest(variant=variant, name=workload["metadata"]["name"]):
                grace = pod["terminationGracePeriodSeconds"]
                drain = int(chart.environment(workload).get("SIGHTLINE_DRAIN", 0))
                if chart.component(workload) in ("pipeline", "worker"):
                    self.assertGreaterEqual(grace, drain + STOP_BOUND + 10)
                self.assertGreaterEqual(grace, 30)

    def test_the_bound_of_a_stop_is_the_programs(self):
        source = (chart.ROOT / "pipeline/src/topology.rs").read_text()
        self.assertIn(f"pub const STOP_BOUND: Duration = Duration::from_secs({STOP_BOUND});", source)

    def test_probes(self):
        for variant, workload, pod in each():
            container = chart.container(workload)
            if workload["kind"] == "Job":
                self.assertNotIn("livenessProbe", container)
                continue
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            self.assertEqual(chart.environment(workload)["SIGHTLINE_HTTP"].rsplit(":", 1)[1], str(ports["metrics"]))
            for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                self.assertEqual(container[probe]["httpGet"], {"path": path, "port": "metrics"})

    def test_a_start_takes_as_long_as_a_model_needs(self):
        values = chart.with_kafka(pools={"a": {**chart.POOL, "startupSeconds": 1801}})
        for workload in chart.workloads(values):
            if chart.component(workload) in ("pipeline", "worker"):
                probe = chart.container(workload)["startupProbe"]
                self.assertGreaterEqual(probe["periodSeconds"] * probe["failureThreshold"], 1801)

    def test_selectors_hold_what_stays(self):
        for variant in chart.VARIANTS:
            for it in chart.objects(variant):
                labels = it["metadata"]["labels"]
                self.assertEqual(labels["app.kubernetes.io/instance"], "sightline")
                selector = it["spec"].get("selector", {}) if "spec" in it else {}
                for text in (str(selector), str(it.get("spec", {}).get("podSelector"))):
                    self.assertNotIn("helm.sh/chart", text)
                    self.assertNotIn("app.kubernetes.io/version", text)
                if "template" in it.get("spec", {}):
                    of_pod = it["spec"]["template"]["metadata"]["labels"]
                    # A chart that changes nothing else restarts nothing.
                    self.assertNotIn("helm.sh/chart", of_pod)
                    for key, value in selector.get("matchLabels", {}).items():
                        self.assertEqual(of_pod[key], value)

    def test_each_selector_finds_its_own_pods_alone(self):
        for variant in chart.VARIANTS:
            pods = {it["metadata"]["name"]: it["spec"]["template"]["metadata"]["labels"] for it in chart.workloads(variant)}
            for it in chart.of_kind(variant, "Deployment", "StatefulSet", "PodDisruptionBudget"):
                wanted = it["spec"]["selector"]["matchLabels"].items()
                found = [name for name, labels in pods.items() if wanted <= labels.items()]
                self.assertEqual(found, [it["metadata"]["name"]])

    def test_what_a_pod_says_goes_over_what_all_say(self):
        values = chart.with_kafka(
            pod={
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "a"}],
                "labels": {"team": "video"},
                "annotations": {"note": "all"},
                "extraEnv": [{"name": "TZ", "value": "UTC"}],
            },
            registry={"nodeSelector": {"zone": "a"}, "tolerations": [], "annotations": {"note": "registry"}, "runAsUser": 7},
        )
        registry = chart.one(values, "Deployment", "sightline-registry")
        self.assertEqual(chart.pod(registry)["nodeSelector"], {"disk": "ssd", "zone": "a"})
        self.assertNotIn("tolerations", chart.pod(registry))
        self.assertEqual(chart.pod(registry)["securityContext"]["runAsUser"], 7)
        self.assertEqual(registry["spec"]["template"]["metadata"]["annotations"], {"note": "registry"})
        events = chart.one(values, "Deployment", "sightline-events")
        self.assertEqual(chart.pod(events)["tolerations"], [{"key": "a"}])
        self.assertEqual(events["spec"]["template"]["metadata"]["labels"]["team"], "video")
        self.assertEqual(chart.environment(events)["TZ"], "UTC")

    def test_labels_of_ones_own_do_not_take_the_place_of_the_charts(self):
        values = chart.with_kafka(pod={"labels": {"app.kubernetes.io/component": "mine"}})
        events = chart.one(values, "Deployment", "sightline-events")
        self.assertEqual(events["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"], "events")

    def test_the_platform_may_choose_the_user(self):
        for workload in chart.workloads("plain"):
            security = chart.pod(workload)["securityContext"]
            self.assertTrue(security["runAsNonRoot"])
            self.assertFalse({"runAsUser", "runAsGroup", "fsGroup"} & set(security))

    def test_images(self):
        values = chart.with_kafka(
            images={"registry": "r.example/", "services": {"digest": "sha256:" + "a" * 64}, "pipeline": {"tag": "7"}},
            pools={"a": chart.POOL, "b": {**chart.POOL, "device": "cuda", "image": {"repository": "own"}}},
        )
        image = lambda name: chart.container(chart.one(values, "Deployment", name))["image"]  # noqa: E731
        self.assertEqual(image("sightline-events"), "r.example/sightline-services@sha256:" + "a" * 64)
        self.assertEqual(image("sightline-pipeline-a"), "r.example/sightline-pipeline:7")
        self.assertEqual(image("sightline-worker-b"), "r.example/own:0.1.0-cuda")

    def test_spread(self):
        for _, workload, pod in each():
            if workload["kind"] == "Job":
                continue
            spread = pod.get("topologySpreadConstraints", [])
            for it in spread:
                labels = workload["spec"]["template"]["metadata"]["labels"].items()
                self.assertLessEqual(it["labelSelector"]["matchLabels"].items(), labels)
        keys = [it["topologyKey"] for it in chart.pod(chart.one("minimal", "Deployment", "sightline-events"))["topologySpreadConstraints"]]
        self.assertEqual(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"])
        self.assertNotIn("topologySpreadConstraints", chart.pod(chart.one("plain", "Deployment", "sightline-events")))


class Components(unittest.TestCase):
    def test_one_value_gives_all_that_detects(self):
        found = sorted(it["metadata"]["name"].removeprefix("sightline-") for it in chart.workloads("minimal"))
        self.assertEqual(found, ["events", "pipeline-default", "registry", "topics", "worker-default"])

    def test_each_can_be_switched_off(self):
        values = chart.with_kafka(
            registry={"enabled": False},
            topics={"manage": "none"},
            consumers={"events": {"enabled": False}},
            pools={"a": {**chart.POOL, "pipeline": {"enabled": False}}, "b": {**chart.POOL, "worker": {"enabled": False}}},
        )
        found = sorted(it["metadata"]["name"] for it in chart.workloads(values))
        self.assertEqual(found, ["sightline-pipeline-b", "sightline-worker-a"])
        self.assertEqual(chart.of_kind(values, "Secret", "Service"), [])

    def test_a_pool_says_what_differs_from_the_defaults(self):
        values = chart.with_kafka(
            poolDefaults={"track": False, "detectWorkers": 3, "model": {"path": "/m", "classNames": ["person"]}},
            pools={"a": {}, "b": {"track": True, "detectWorkers": 0, "model": {"classNames": []}}},
        )
        a = chart.environment(chart.one(values, "Deployment", "sightline-pipeline-a"))
        b = chart.environment(chart.one(values, "Deployment", "sightline-pipeline-b"))
        self.assertEqual((a["SIGHTLINE_NO_TRACK"], a["SIGHTLINE_WORKERS"]), ("true", "3"))
        self.assertFalse({"SIGHTLINE_NO_TRACK", "SIGHTLINE_WORKERS", "SIGHTLINE_NAMES"} & set(b))
        self.assertEqual((a["SIGHTLINE_POOL"], b["SIGHTLINE_POOL"]), ("a", "b"))

    def test_pods_are_named_by_themselves(self):
        for name in ("sightline-pipeline-default", "sightline-worker-default"):
            variables = chart.environment(chart.one("cpu", "Deployment", name))
            self.assertEqual(variables["SIGHTLINE_POD"], {"fieldRef": {"fieldPath": "metadata.name"}})

    def test_registry_is_one_and_never_two(self):
        registry = chart.one("everything", "Deployment", "sightline-registry")
        self.assertEqual((registry["spec"]["replicas"], registry["spec"]["strategy"]), (1, {"type": "Recreate"}))
        budgets = [it["metadata"]["name"] for it in chart.of_kind("everything", "PodDisruptionBudget")]
        # One that held its one pod would keep its node from being emptied for ever.
        self.assertNotIn("sightline-registry", budgets)
        self.assertIn("sightline-pipeline-gpu", budgets)

    def test_tokens_are_hashed_as_the_registry_reads_them(self):
        import base64
        import hashlib

        (secret,) = chart.of_kind("minimal", "Secret")
        data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        wanted = [
            f"{name} {role} sha256:{hashlib.sha256(data[f'{name}-token'].encode()).hexdigest()}"
            for name, role in (("admin", "admin"), ("keda", "viewer"))
        ]
        self.assertEqual(data["tokens"].splitlines(), wanted)
        self.assertGreaterEqual(len(data["admin-token"]), 48)
        self.assertNotEqual(data["admin-token"], data["keda-token"])
        mounted = chart.pod(chart.one("minimal", "Deployment", "sightline-registry"))["volumes"]
        items = next(it["secret"]["items"] for it in mounted if it["name"] == "tokens")
        self.assertEqual(items, [{"key": "tokens", "path": "tokens"}])

    def test_without_tokens_only_when_it_is_said(self):
        self.assertEqual(chart.environment(chart.one("plain", "Deployment", "sightline-registry"))["SIGHTLINE_INSECURE_NO_AUTH"], "true")
        for variant in set(chart.VARIANTS) - {"plain"}:
            variables = chart.environment(chart.one(variant, "Deployment", "sightline-registry"))
            self.assertNotIn("SIGHTLINE_INSECURE_NO_AUTH", variables)
            self.assertIn("SIGHTLINE_TOKENS", variables)

    def test_no_pod_is_away_before_another_is_there(self):
        for variant in chart.VARIANTS:
            for it in chart.of_kind(variant, "Deployment"):
                if chart.component(it) == "registry":
                    continue
                update = it["spec"]["strategy"]["rollingUpdate"]
                gpu = "NVIDIA_DRIVER_CAPABILITIES" in chart.environment(it)
                if gpu and chart.component(it) == "pipeline" and "share" not in it["metadata"]["name"]:
                    # There may be no GPU to spare.
                    self.assertEqual(update, {"maxSurge": 0, "maxUnavailable": 1})
                else:
                    self.assertEqual(update["maxUnavailable"], 0, it["metadata"]["name"])
                    self.assertIn(update["maxSurge"], (1, "25%"))

    def test_spool(self):
        def pipeline(kind, **spool):
            values = chart.with_kafka(pools={"a": {**chart.POOL, "pipeline": {"spool": {"type": kind, "maxMiB": 100, **spool}}}})
            return chart.of_kind(values, "Deployment" if kind != "claim" else "StatefulSet")

        (of_pod,) = [it for it in pipeline("emptyDir") if chart.component(it) == "pipeline"]
        self.assertIn({"name": "spool", "emptyDir": {"sizeLimit": "125Mi"}}, chart.pod(of_pod)["volumes"])
        self.assertEqual(chart.environment(of_pod)["SIGHTLINE_SPOOL_MAX"], "100MiB")
        (of_claim,) = pipeline("claim", storageClassName="")
        (claim,) = of_claim["spec"]["volumeClaimTemplates"]
        self.assertEqual(claim["spec"]["storageClassName"], "")
        self.assertEqual(claim["spec"]["resources"]["requests"]["storage"], "125Mi")
        # What is in a spool is not thrown away with the pod, its number or the release.
        retention = of_claim["spec"]["persistentVolumeClaimRetentionPolicy"]
        self.assertEqual(retention, {"whenDeleted": "Retain", "whenScaled": "Retain"})
        (without,) = [it for it in pipeline("none") if chart.component(it) == "pipeline"]
        self.assertNotIn("SIGHTLINE_SPOOL", chart.environment(without))
        for it in chart.workloads("everything"):
            if chart.component(it) == "worker":
                self.assertNotIn("SIGHTLINE_SPOOL", chart.environment(it))

    def test_archive_in_a_folder(self):
        archive = chart.one("strimzi", "Deployment", "sightline-archive")
        self.assertIn({"name": "archive", "mountPath": "/archive"}, chart.container(archive)["volumeMounts"])
        self.assertEqual(chart.environment(archive)["SIGHTLINE_TO"], "/archive/site-a")

    def test_alert_rules_are_what_was_given(self):
        import yaml

        config = chart.one("everything", "ConfigMap", "sightline-alerts")
        rules = yaml.safe_load(config["data"]["alerts.yaml"])
        self.assertEqual(rules["rules"][0]["summary"], "{label} in {zone}")
        self.assertEqual(rules["targets"]["desk"]["secret_file"], "/run/secrets/desk/key")
        mounts = chart.container(chart.one("everything", "Deployment", "sightline-alerts"))["volumeMounts"]
        self.assertIn("/run/secrets/desk", [mount["mountPath"] for mount in mounts])

    def test_a_change_of_rules_or_names_starts_the_pods_again(self):
        def checksum(summary):
            rules = {"targets": {"a": {"webhook": "https://a"}}, "rules": [{"name": "n", "to": ["a"], "types": ["dwelled"], "summary": summary}]}
            values = chart.with_kafka(consumers={"alerts": {"enabled": True, "rules": rules}})
            return chart.one(values, "Deployment", "sightline-alerts")["spec"]["template"]["metadata"]["annotations"]

        self.assertNotEqual(checksum("a"), checksum("b"))


class Models(unittest.TestCase):
    def of(self, variant, name, kind="Deployment"):
        return chart.one(variant, kind, name)

    def test_from_a_server_only_the_one_that_is_meant(self):
        pipeline = self.of("everything", "sightline-pipeline-default")
        (init,) = chart.pod(pipeline)["initContainers"]
        variables = {it["name"]: it.get("value") for it in init["env"]}
        self.assertEqual(len(variables["MODEL_SHA256"]), 64)
        self.assertEqual(variables["MODEL_URL"], "https://models.example.org/yolo26n.onnx")
        self.assertEqual(chart.environment(pipeline)["SIGHTLINE_MODEL"], "/models/model.onnx")

    def test_the_script_that_fetches_takes_no_other(self):
        """The container's own script, run here: with curl for a file, and the pod's folder elsewhere."""
        import hashlib
        import pathlib
        import subprocess
        import tempfile

        (init,) = chart.pod(self.of("everything", "sightline-pipeline-default"))["initContainers"]
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder, "served.onnx")
            model.write_bytes(b"a model")
            (script,) = init["args"]
            script = script.replace("/models/", f"{folder}/")
            for digest, code in ((hashlib.sha256(b"a model").hexdigest(), 0), ("0" * 64, 1)):
                env = {"PATH": "/usr/bin:/bin", "MODEL_URL": model.as_uri(), "MODEL_SHA256": digest}
                ran = subprocess.run([*init["command"], script], env=env, capture_output=True, text=True, check=False)
                self.assertEqual(ran.returncode, code, ran.stderr)
                made = pathlib.Path(folder, "model.onnx")
                self.assertEqual(made.exists(), code == 0)
                made.unlink(missing_ok=True)
            self.assertIn("the model is not the one with the SHA-256 0000", ran.stderr)

    def test_an_address_that_is_a_secret(self):
        (init,) = chart.pod(self.of("cpu", "sightline-worker-default"))["initContainers"]
        (url,) = [it for it in init["env"] if it["name"] == "MODEL_URL"]
        self.assertEqual(url["valueFrom"], {"secretKeyRef": {"name": "model-address", "key": "url"}})

    def test_from_a_claim_an_image_volume_and_the_image(self):
        by_claim = self.of("everything", "sightline-pipeline-gpu", "StatefulSet")
        self.assertIn({"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}, chart.pod(by_claim)["volumes"])
        self.assertEqual(chart.environment(by_claim)["SIGHTLINE_MODEL"], "/models/yolo26x.onnx")
        by_image = self.of("gpu", "sightline-pipeline-whole")
        (volume,) = [it for it in chart.pod(by_image)["volumes"] if it["name"] == "models"]
        self.assertEqual(volume["image"]["reference"], "registry.example.org/models/yolo26x:1")
        inside = self.of("gpu", "sightline-pipeline-share")
        self.assertEqual(chart.environment(inside)["SIGHTLINE_MODEL"], "/models/yolo26n.onnx")
        self.assertNotIn("models", [it["name"] for it in chart.pod(inside)["volumes"]])


class Sample(unittest.TestCase):
    """`pools.default` runs the model of the sample, until it is given another."""

    FOLDER = "/usr/share/sightline/samples"
    SHA256 = "4f7c1e0b2a3d4c5b6a798897a6b5c4d3e2f10f1e2d3c4b5a69788796a5b4c3d2"

    def model(self, values, kind="Deployment"):
        return chart.environment(chart.one(values, kind, "sightline-pipeline-default"))["SIGHTLINE_MODEL"]

    def test_it_is_where_the_image_has_it(self):
        self.assertEqual(self.model("minimal"), f"{self.FOLDER}/junction.onnx")
        dockerfile = (chart.ROOT / "docker/pipeline.Dockerfile").read_text()
        self.assertIn("cp samples/junction.mp4 samples/junction.onnx /out/samples/", dockerfile)
        for variant in ("cpu", "cuda"):
            stage = dockerfile[dockerfile.index(f"FROM runtime AS {variant}\n") :]
            self.assertIn(f"COPY --from=build /out/samples {self.FOLDER}\n", stage)

    def test_any_other_source_takes_its_place(self):
        """As `--set pools.default.model.…` alone gives it, beside the chart's own `sample: true`."""
        for flags, wanted in (
            (["model.url=https://m/m.onnx", f"model.sha256={self.SHA256}"], "/models/model.onnx"),
            (["model.urlSecret.name=s", f"model.sha256={self.SHA256}"], "/models/model.onnx"),
            (["model.claim=models", "model.path=m.onnx"], "/models/m.onnx"),
            (["model.image=i:1", "model.path=m.onnx"], "/models/m.onnx"),
            (["model.path=/m.onnx"], "/m.onnx"),
        ):
            sets = [part for flag in flags for part in ("--set", f"pools.default.{flag}")]
            answer = chart.helm("template", "sightline", chart.CHART, *sets, values=chart.with_kafka())
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertIn(f'{{name: SIGHTLINE_MODEL, value: "{wanted}"}}', answer.stdout)
            self.assertNotIn(self.FOLDER, answer.stdout)

    def test_so_do_the_defaults_of_all_pools(self):
        values = chart.with_kafka(poolDefaults={"model": {"claim": "models", "path": "m.onnx"}})
        self.assertEqual(self.model(values), "/models/m.onnx")

    def test_its_clip_may_be_a_camera_as_long_as_it_runs(self):
        def roots(values):
            found = {chart.environment(it).get("SIGHTLINE_ALLOW_FILE_ROOT") for it in chart.workloads(values)
                     if chart.component(it) in ("registry", "pipeline", "worker")}
            (only,) = found
            return only

        self.assertEqual(roots("minimal"), self.FOLDER)
        self.assertEqual(roots(chart.with_kafka(sources={"allowFileRoots": ["/clips"]})), f"/clips,{self.FOLDER}")
        self.assertEqual(roots("everything"), "/clips")
        self.assertIsNone(roots("cpu"))
        idle = {"enabled": False}
        self.assertIsNone(roots(chart.with_kafka(pools={"a": {"model": {"sample": True}, "pipeline": idle, "worker": idle}})))

    def test_null_takes_the_pool_away(self):
        answer = chart.helm("template", "sightline", chart.CHART, "--set", "pools.default=null", values=chart.with_kafka())
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertNotIn("SIGHTLINE_MODEL", answer.stdout)
        self.assertNotIn(self.FOLDER, answer.stdout)
        for values in (chart.with_kafka(pools={}), "gpu"):
            self.assertNotIn("sightline-pipeline-default", [it["metadata"]["name"] for it in chart.workloads(values)])


class Decoders(unittest.TestCase):
    def test_pipelines_and_workers_are_told_and_auto_is_the_programs_own(self):
        for name in ("pipeline", "worker"):
            of = lambda variant, pool: chart.environment(chart.one(variant, "Deployment", f"sightline-{name}-{pool}"))  # noqa: B023, E731
            self.assertEqual(of("everything", "default")["SIGHTLINE_DECODER"], "software")
            self.assertEqual(of("gpu", "share")["SIGHTLINE_DECODER"], "nvdec")
            self.assertNotIn("SIGHTLINE_DECODER", of("cpu", "default"))


class Engines(unittest.TestCase):
    def pods(self, **cache):
        pool = {**chart.POOL, "device": "tensorrt", "image": {"repository": "own"}, "engineCache": cache}
        values = chart.with_kafka(pools={"a": pool})
        for name in ("pipeline", "worker"):
            yield chart.one(values, "Deployment", f"sightline-{name}-a")

    def check(self, volume, **cache):
        for workload in self.pods(**cache):
            (found,) = [it for it in chart.pod(workload)["volumes"] if it["name"] == "engines"]
            self.assertEqual(found, {"name": "engines", **volume})
            # It is written by whoever builds.
            self.assertIn({"name": "engines", "mountPath": "/engines"}, chart.container(workload)["volumeMounts"])
            self.assertEqual(chart.environment(workload)["SIGHTLINE_ENGINE_CACHE"], "/engines")

    def test_in_the_pod(self):
        self.check({"emptyDir": {}}, type="emptyDir")

    def test_on_a_claim_that_pods_share(self):
        self.check({"persistentVolumeClaim": {"claimName": "engines"}}, type="claim", claim="engines")

    def test_kept_nowhere(self):
        for workload in self.pods(type="none"):
            self.assertNotIn("SIGHTLINE_ENGINE_CACHE", chart.environment(workload))
            self.assertNotIn("engines", [it["name"] for it in chart.pod(workload)["volumes"]])


class Traces(unittest.TestCase):
    def test_each_says_where_to_and_its_share(self):
        wanted = {"registry": "0.5", "pipeline": "0.01", "worker": "0.01", "events": "1", "store": "1", "alerts": "1"}
        for it in chart.workloads("everything"):
            variables = chart.environment(it)
            share = wanted.get(chart.component(it))
            self.assertEqual(variables.get("SIGHTLINE_TRACE_SAMPLE"), share)
            self.assertEqual(variables.get("SIGHTLINE_OTLP"), share and "http://otel-collector.monitoring:4318")
            headers = {"secretKeyRef": {"name": "collector", "key": "headers"}}
            self.assertEqual(variables.get("OTEL_EXPORTER_OTLP_HEADERS"), share and headers)

    def test_nothing_of_it_where_nobody_takes_them(self):
        text = chart.rendered("minimal")
        self.assertNotIn("OTLP", text)
        self.assertNotIn("TRACE_SAMPLE", text)


class Gpu(unittest.TestCase):
    def test_a_cpu_needs_none(self):
        for name in ("sightline-pipeline-default", "sightline-worker-default"):
            workload = chart.one("cpu", "Deployment", name)
            text = str(chart.pod(workload))
            for word in ("nvidia", "NVIDIA", "runtimeClassName", "resourceClaims"):
                self.assertNotIn(word, text)
            self.assertTrue(chart.container(workload)["image"].endswith("-cpu"))
            self.assertEqual(chart.environment(workload)["SIGHTLINE_DEVICE"], "cpu")

    def test_a_whole_one(self):
        pipeline = chart.one("gpu", "Deployment", "sightline-pipeline-whole")
        container = chart.container(pipeline)
        self.assertEqual(container["resources"]["limits"]["nvidia.com/gpu"], 1)
        self.assertEqual(chart.environment(pipeline)["NVIDIA_DRIVER_CAPABILITIES"], "compute,utility,video")
        self.assertIn({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, chart.pod(pipeline)["tolerations"])
        self.assertTrue(container["image"].endswith("-cuda"))

    def test_a_part_of_one(self):
        pipeline = chart.one("everything", "StatefulSet", "sightline-pipeline-gpu")
        limits = chart.container(pipeline)["resources"]["limits"]
        self.assertEqual(limits["nvidia.com/mig-1g.10gb"], 1)
        self.assertNotIn("nvidia.com/gpu", limits)
        self.assertEqual(chart.pod(pipeline)["runtimeClassName"], "nvidia")
        self.assertEqual(chart.pod(pipeline)["nodeSelector"], {"accelerator": "h100", "kubernetes.io/arch": "amd64"})

    def test_a_claim(self):
        pipeline = chart.one("gpu", "Deployment", "sightline-pipeline-share")
        self.assertEqual(chart.pod(pipeline)["resourceClaims"], [{"name": "gpu", "resourceClaimTemplateName": "half-a-gpu"}])
        resources = chart.container(pipeline)["resources"]
        self.assertEqual(resources["claims"], [{"name": "gpu"}])
        self.assertNotIn("nvidia.com/gpu", resources["limits"])


if __name__ == "__main__":
    unittest.main()
