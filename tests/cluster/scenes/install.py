"""The chart is installed with the images built here, into a namespace that enforces restricted pods."""

import shutil
import time

import stage
from stage import HERE, NAMESPACE, RELEASE, ROOT, STATE, helm, kubectl, say, wait_until

SPOOLS = 6
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [{mode}]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  hostPath: {{path: {path}, type: Directory}}
  {claim}
---
"""
CLAIM = f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: samples, namespace: {NAMESPACE}}}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: samples
  resources: {{requests: {{storage: 1Gi}}}}
"""


def volumes():
    """A folder of the machine for each spool, and one with the model and the recordings."""
    folder = STATE / "live/volumes"
    made = ""
    for name in [f"spool-{n}" for n in range(SPOOLS)]:
        (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder / name, 10001, 10001)
        made += VOLUME.format(name=name, mode="ReadWriteOnce", path=folder / name, claim="")
    samples = folder / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "samples/junction.onnx", samples)
    claim = f"claimRef: {{name: samples, namespace: {NAMESPACE}}}"
    made += VOLUME.format(name="samples", mode="ReadOnlyMany", path=samples, claim=claim)
    kubectl("apply", "-f", "-", stdin=made + CLAIM)


def play():
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    kubectl("-n", NAMESPACE, "create", "secret", "generic", "database", f"--from-literal=password={stage.PASSWORD}")
    volumes()
    chart = ROOT / "helm/sightline"
    begun = time.monotonic()
    helm(
        "install", RELEASE, chart, "-f", chart / "ci/cluster-values.yaml", "-f", HERE / "values.yaml", "--wait",
        "--timeout", "20m",
    )
    say(f"helm install: all pods ready after {time.monotonic() - begun:.1f} s")
    wait_until("the registry to answer", lambda: stage.Api.ask("GET", "/v1/pods"))
    wait_until("both pipelines to be there", lambda: len(stage.pods("pipeline", "default")) == 2)
    say(f"pods: {', '.join(sorted(pod['metadata']['name'] for pod in stage.objects('pods')['items']))}")
