"""Renders the chart, and reads what comes out."""

import functools
import json
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "sightline"
TOOLS = ROOT / ".deps" / "chart-tools"
HELM = TOOLS / "bin" / "helm"
NAMESPACE = "video"

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The variants: ci/NAME-values.yaml.
VARIANTS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))


def helm(*args, values=None):
    """Helm's answer; `values` is a dict, or a variant's name."""
    command = [HELM, *args]
    text = None
    if isinstance(values, str):
        command += ["--values", CHART / "ci" / f"{values}-values.yaml"]
    elif values is not None:
        command += ["--values", "-"]
        text = json.dumps(values)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


@functools.lru_cache(maxsize=None)
def _render(values, is_variant, apis, chart):
    flags = [part for api in apis for part in ("--api-versions", api)]
    given = values if is_variant else json.loads(values)
    answer = helm("template", "sightline", chart, "--namespace", NAMESPACE, *flags, values=given)
    if answer.returncode:
        raise AssertionError(f"{given}: {answer.stderr}")
    return answer.stdout


def rendered(values, apis=(), chart=CHART):
    """The manifests as text."""
    is_variant = isinstance(values, str)
    return _render(values if is_variant else json.dumps(values), is_variant, tuple(apis), str(chart))


def objects(values, apis=(), chart=CHART):
    """The manifests, each a dict."""
    return [one for one in yaml.load_all(rendered(values, apis, chart), Loader) if one]


def of_kind(values, *kinds, **more):
    return [one for one in objects(values, **more) if one["kind"] in kinds]


def one(values, kind, name, **more):
    found = [it for it in of_kind(values, kind, **more) if it["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


def workloads(values):
    """What has pods."""
    return of_kind(values, "Deployment", "StatefulSet", "Job")


def pod(workload):
    return workload["spec"]["template"]["spec"]


def container(workload):
    (only,) = pod(workload)["containers"]
    return only


def environment(workload):
    """Its variables by name; those of Secrets and of the pod itself as dicts."""
    return {it["name"]: it.get("value", it.get("valueFrom")) for it in container(workload).get("env", [])}


def component(it):
    return it["metadata"]["labels"]["app.kubernetes.io/component"]


def with_kafka(**more):
    """The values that are needed, and these. Where there are pools, they are the only ones: that of the sample goes."""
    if "pools" in more:
        more["pools"] = {"default": None, **more["pools"]}
    return {"kafka": {"bootstrapServers": "k:9092", **more.pop("kafka", {})}, **more}


#: A pool that can be rendered.
POOL = {"model": {"path": "/model.onnx"}}
