"""What can't work is refused, one by one, with the value's name; and what is next to it is not."""

import concurrent.futures
import unittest

import chart

SHA256 = "4f7c1e0b2a3d4c5b6a798897a6b5c4d3e2f10f1e2d3c4b5a69788796a5b4c3d2"
KEDA = {"keda": {"enabled": "always"}}
OWN = {"repository": "own"}


def pool(**more):
    return chart.with_kafka(pools={"a": {**chart.POOL, **more}})


def consumer(name, **more):
    return chart.with_kafka(consumers={name: {"enabled": True, **more}})


#: Values, and what the refusal says.
REFUSED = [
    # What is not there at all.
    ({}, "kafka.bootstrapServers: "),
    (chart.with_kafka(bootstrap="k:9092"), "additional properties 'bootstrap' not allowed"),
    (chart.with_kafka(kafka={"prefix": "a."}), "additional properties 'prefix' not allowed"),
    (chart.with_kafka(pod={"nodeselector": {}}), "additional properties 'nodeselector' not allowed"),
    (chart.with_kafka(registry={"replicas": 2}), "additional properties 'replicas' not allowed"),
    (pool(devise="cpu"), "additional properties 'devise' not allowed"),
    (pool(pipeline={"spool": {"size": "1Gi"}}), "additional properties 'size' not allowed"),
    (pool(worker={"spool": {}}), "additional properties 'spool' not allowed"),
    (chart.with_kafka(poolDefaults={"tensorrtCache": {}}), "additional properties 'tensorrtCache' not allowed"),
    (consumer("events", group="mine"), "additional properties 'group' not allowed"),
    (chart.with_kafka(consumers={"sink": {}}), "additional properties 'sink' not allowed"),
    (chart.with_kafka(keda={"minReplicas": 1}), "additional properties 'minReplicas' not allowed"),
    (chart.with_kafka(networkPolicy={"kafka": {"port": 1}}), "additional properties 'port' not allowed"),
    (chart.with_kafka(networkPolicy={"dns": {"port": 53}}), "additional properties 'port' not allowed"),
    (chart.with_kafka(networkPolicy={"dns": {"ports": []}}), "/networkPolicy/dns/ports"),
    (chart.with_kafka(monitoring={"serviceMonitor": {}}), "additional properties 'serviceMonitor' not allowed"),
    # Values that are none.
    (chart.with_kafka(kafka={"bootstrapServers": "k:9092, l:9092"}), "/kafka/bootstrapServers"),
    (chart.with_kafka(kafka={"topicPrefix": "a b"}), "/kafka/topicPrefix"),
    (chart.with_kafka(kafka={"partitions": 0}), "/kafka/partitions"),
    (chart.with_kafka(kafka={"replication": 0}), "/kafka/replication"),
    (chart.with_kafka(log={"format": "xml"}), "/log/format"),
    (chart.with_kafka(images={"pullPolicy": "Sometimes"}), "/images/pullPolicy"),
    (chart.with_kafka(images={"services": {"digest": "sha256:12"}}), "/images/services/digest"),
    (chart.with_kafka(topics={"manage": "helm"}), "/topics/manage"),
    (chart.with_kafka(traces={"otlp": "otel:4318"}), "/traces/otlp"),
    (chart.with_kafka(traces={"otlp": "grpc://otel:4317"}), "/traces/otlp"),
    (chart.with_kafka(traces={"otlp": "http://otel:4318?a=b"}), "/traces/otlp"),
    (chart.with_kafka(traces={"otlp": "http://otel", "sample": {"frames": 1.1}}), "/traces/sample/frames"),
    (chart.with_kafka(traces={"otlp": "http://otel", "sample": {"consumers": -0.1}}), "/traces/sample/consumers"),
    (chart.with_kafka(traces={"endpoint": "http://otel"}), "additional properties 'endpoint' not allowed"),
    (chart.with_kafka(pod={"runAsUser": 0}), "/pod/runAsUser"),
    (chart.with_kafka(keda={"enabled": True}), "/keda/enabled"),
    (chart.with_kafka(keda={"kafkaVersion": "4"}), "/keda/kafkaVersion"),
    (chart.with_kafka(keda={"behavior": {"scaleUp": {"policies": []}}}), "/keda/behavior/scaleUp/policies"),
    (chart.with_kafka(keda={"prometheus": {"behindSeconds": 0}}), "/keda/prometheus/behindSeconds"),
    (chart.with_kafka(podDisruptionBudgets={"maxUnavailable": 0}), "/podDisruptionBudgets/maxUnavailable"),
    (chart.with_kafka(registry={"auth": {"mode": "off"}}), "/registry/auth/mode"),
    (chart.with_kafka(registry={"service": {"port": 0}}), "/registry/service/port"),
    (chart.with_kafka(monitoring={"rules": {"runbooks": "https://git.example/x/"}}), "/monitoring/rules/runbooks"),
    (chart.with_kafka(monitoring={"rules": {"runbooks": 'https://git.example/"x'}}), "/monitoring/rules/runbooks"),
    (chart.with_kafka(sources={"allowNetworks": ["10.0.0.1"]}), "/sources/allowNetworks/0"),
    (chart.with_kafka(sources={"allowFileRoots": ["clips"]}), "/sources/allowFileRoots/0"),
    (chart.with_kafka(sources={"allowBuckets": ["clips"]}), "/sources/allowBuckets/0"),
    (chart.with_kafka(sources={"cameraSecrets": ["a", "a"]}), "/sources/cameraSecrets"),
    (chart.with_kafka(pools={"Night_1": chart.POOL}), "Night_1"),
    (pool(device="auto"), "/pools/a/device"),
    (pool(decoder="gpu"), "/pools/a/decoder"),
    (pool(engineCache={"type": "hostPath"}), "/pools/a/engineCache/type"),
    (pool(engineCache={"path": "/engines"}), "additional properties 'path' not allowed"),
    (pool(detectWorkers=257), "/pools/a/detectWorkers"),
    (pool(model={"path": "/m", "head": "yolov99"}), "/pools/a/model/head"),
    (pool(model={"url": "ftp://m", "sha256": SHA256}), "/pools/a/model/url"),
    (pool(gpu={"resource": "gpu"}), "/pools/a/gpu/resource"),
    (pool(gpu={"count": 0}), "/pools/a/gpu/count"),
    (pool(pipeline={"spool": {"type": "hostPath"}}), "/pools/a/pipeline/spool/type"),
    (pool(pipeline={"spool": {"accessMode": "ReadWriteMany"}}), "/pools/a/pipeline/spool/accessMode"),
    (pool(pipeline={"scaling": {"minReplicas": 0}}), "/pools/a/pipeline/scaling/minReplicas"),
    (pool(pipeline={"rollout": {"maxSurge": "half", "maxUnavailable": 0}}), "/pools/a/pipeline/rollout"),
    (pool(worker={"parallel": 65}), "/pools/a/worker/parallel"),
    (pool(worker={"scaling": {"lagThreshold": 0}}), "/pools/a/worker/scaling/lagThreshold"),
    (pool(worker={"resources": {"claims": []}}), "additional properties 'claims' not allowed"),
    (consumer("events", scaling={"minReplicas": 0}), "/consumers/events/scaling/minReplicas"),
    (consumer("store", keep={"events": "a while"}), "/consumers/store/keep/events"),
    (consumer("archive", topics=[]), "/consumers/archive/topics"),
    (consumer("archive", to="ftp://a"), "/consumers/archive/to"),
    # Secrets where everybody sees them.
    (chart.with_kafka(database={"url": "postgresql://u:hunter2@db/v"}), "/database/url"),
    (chart.with_kafka(database={"url": "postgresql://db/v?user=u&password=hunter2"}), "/database/url"),
    (chart.with_kafka(registry={"history": {"url": "postgresql://u:hunter2@db/v"}}), "/registry/history/url"),
    (chart.with_kafka(traces={"otlp": "http://ann:hunter2@otel:4318"}), "/traces/otlp"),
    (chart.with_kafka(kafka={"properties": {"sasl.password": "hunter2"}}), "invalid propertyName 'sasl.password'"),
    (chart.with_kafka(kafka={"properties": {"ssl.key.pem": "hunter2"}}), "invalid propertyName 'ssl.key.pem'"),
    # What fits by itself, and not together.
    (chart.with_kafka(kafka={"sasl": {"user": {"secret": "u"}}}), "kafka.sasl.user.secret: "),
    (chart.with_kafka(kafka={"sasl": {"mechanism": "SCRAM-SHA-512"}}), "registry.kafkaUser.secret: "),
    (
        chart.with_kafka(kafka={"sasl": {"mechanism": "PLAIN", "user": {"secret": "u"}}}),
        "kafka.sasl.mechanism: PLAIN without TLS",
    ),
    (chart.with_kafka(kafka={"tls": {"ca": {"secret": "ca"}}}), "kafka.tls: "),
    (chart.with_kafka(topics={"manage": "strimzi"}), "strimzi.cluster: "),
    (chart.with_kafka(strimzi={"cluster": "c", "users": True}), "strimzi.users: users are made with the release"),
    (
        chart.with_kafka(
            strimzi={"cluster": "c", "users": True},
            topics={"manage": "strimzi"},
            kafka={"sasl": {"mechanism": "SCRAM-SHA-256"}},
        ),
        "strimzi.users: Strimzi's users log in by SCRAM-SHA-512",
    ),
    (chart.with_kafka(fullnameOverride="a" * 45), "registry: the name "),
    (chart.with_kafka(pools={"p" * 40: chart.POOL}), ".pipeline: the name "),
    (pool(pipeline={"scaling": {"maxReplicas": 49}}), "pools.a.pipeline.scaling.maxReplicas: 49 pods, but the pool has 48 slots"),
    (pool(worker={"scaling": {"maxReplicas": 49}}), "pools.a.worker.scaling.maxReplicas: 49 pods, but its topics have 48"),
    (pool(worker={"scaling": {"minReplicas": 9}}), "pools.a.worker.scaling: minReplicas (9) is more than maxReplicas (8)"),
    (pool(pipeline={"replicas": 49}), "pools.a.pipeline.replicas: 49 pods"),
    (consumer("events", scaling={"maxReplicas": 49}), "consumers.events.scaling.maxReplicas: 49 pods"),
    (
        chart.with_kafka(kafka={"partitions": 4}, pools={}, consumers={"events": {"scaling": {"maxReplicas": 5}}}),
        "consumers.events.scaling.maxReplicas: 5 pods, but its topics have 4 partitions",
    ),
    (chart.with_kafka(pools={"a": {}}), "pools.a.model: which?"),
    (pool(model={"path": "model.onnx"}), "pools.a.model: which?"),
    (pool(model={"path": "model.onnx", "sample": True}), "pools.a.model: which?"),
    (pool(model={"path": "", "sample": True, "sha256": SHA256}), "pools.a.model: which?"),
    (pool(model={"path": "", "sample": True, "url": "https://m"}), "pools.a.model.sha256: "),
    (pool(model={"path": "", "sample": "yes"}), "/pools/a/model/sample"),
    (pool(model={"path": "m.onnx", "claim": "c", "image": "i"}), "pools.a.model: url, claim and image"),
    (pool(model={"path": "", "url": "https://m"}), "pools.a.model.sha256: "),
    (
        pool(model={"path": "", "url": "https://m", "urlSecret": {"name": "s"}, "sha256": SHA256}),
        "pools.a.model: give url or urlSecret",
    ),
    (pool(model={"claim": "c", "path": "/m.onnx"}), "pools.a.model.path: "),
    (chart.with_kafka(traces={"sample": {"frames": 0.01}}), "traces.sample.frames: where should traces go?"),
    (chart.with_kafka(traces={"sample": {"requests": 1}}), "traces.sample.requests: where should traces go?"),
    (chart.with_kafka(traces={"headers": {"secret": "s"}}), "traces.headers: "),
    (pool(device="openvino"), "pools.a.device: the images of docker/ run models by CPU and CUDA alone, so a pod with openvino would"),
    (pool(device="tensorrt"), "name an image of your own that has it in pools.a.image or images.pipeline, or set device=cuda"),
    ({**pool(device="tensorrt"), "images": {"registry": "r.example", "services": OWN}}, "pools.a.device: the images of docker/"),
    (pool(decoder="nvdec"), "pools.a.decoder: nvdec is on an NVIDIA GPU, and the device cpu asks for none"),
    (pool(engineCache={"type": "emptyDir"}), "pools.a.engineCache: it keeps what TensorRT builds, and the device is cpu"),
    (pool(device="cuda", engineCache={"type": "claim", "claim": "e"}), "pools.a.engineCache: it keeps"),
    (pool(device="tensorrt", image=OWN, engineCache={"type": "claim"}), "pools.a.engineCache.claim: which PersistentVolumeClaim?"),
    (pool(device="tensorrt", image=OWN, engineCache={"claim": "e"}), "pools.a.engineCache.claim: it is given, but type is none"),
    (
        pool(worker={"rollout": {"maxSurge": "0%", "maxUnavailable": 0}}),
        "pools.a.worker.rollout: maxSurge and maxUnavailable are both 0",
    ),
    ({**pool(), **KEDA, "registry": {"enabled": False}}, "pools.a.pipeline.scaling: the registry says"),
    (
        {**pool(), "keda": {"enabled": "always", "registryUrl": "http://r"}, "registry": {"enabled": False}},
        "registry.auth.mode: there is no registry",
    ),
    (
        {**pool(), **KEDA, "registry": {"auth": {"mode": "secret", "secret": "t"}}},
        "pools.a.pipeline.scaling: KEDA asks the registry with a viewer's token",
    ),
    (chart.with_kafka(registry={"auth": {"mode": "secret"}}), "registry.auth.secret: "),
    (chart.with_kafka(registry={"history": {"enabled": True}}), "registry.history: which database?"),
    (consumer("store"), "consumers.store: which database?"),
    (consumer("archive"), "consumers.archive.to: where to?"),
    (consumer("archive", to="/archive"), "consumers.archive.to: /archive is a folder of the pod"),
    (consumer("archive", to="/data", claim="c"), "consumers.archive.to: the claim is mounted at /archive"),
    (consumer("archive", to="/archives", claim="c"), "consumers.archive.to: the claim is mounted at /archive"),
    (consumer("alerts"), "consumers.alerts: who is told of what?"),
    (consumer("alerts", rules={"rules": []}), "consumers.alerts.rules: it has no `targets`"),
    (consumer("alerts", rules={"targets": {"a": {}}}, rulesSecret="r"), "consumers.alerts: rules and rulesSecret"),
    ({**consumer("alerts", rulesSecret="r"), **KEDA}, "consumers.alerts.targets: "),
]

#: Next to what is refused.
TAKEN = [
    chart.with_kafka(),
    chart.with_kafka(kafka={"bootstrapServers": "k1:9092,k2:9092,[fd00::1]:9092"}),
    chart.with_kafka(kafka={"replication": -1}),
    chart.with_kafka(kafka={"sasl": {"mechanism": "SCRAM-SHA-256", "user": {"secret": "u"}}}),
    chart.with_kafka(kafka={"properties": {"socket.keepalive.enable": "true"}}),
    chart.with_kafka(database={"url": "postgresql://u@db:5432/v?sslmode=verify-full"}),
    chart.with_kafka(pod={"runAsUser": None}),
    chart.with_kafka(**{"global": {"of": "a parent chart"}}),
    pool(pipeline={"scaling": {"maxReplicas": 48}}),
    pool(model={"url": "https://m", "path": "", "sha256": SHA256}),
    pool(worker={"rollout": {"maxSurge": 0, "maxUnavailable": "10%"}}),
    pool(pipeline={"enabled": False}, worker={"enabled": False}),
    {
        **pool(),
        "keda": {"enabled": "always", "registryUrl": "http://r"},
        "registry": {"enabled": False, "auth": {"mode": "none"}},
    },
    {**pool(pipeline={"scaling": {"enabled": False}}), **KEDA, "registry": {"enabled": False}},
    chart.with_kafka(traces={"otlp": "https://otel.example/otlp", "sample": {"frames": 1, "requests": 0.5, "consumers": 0}}),
    chart.with_kafka(traces={"sample": {"consumers": 0.1}}),
    pool(model={"path": "", "sample": True}),
    chart.with_kafka(monitoring={"rules": {"runbooks": "https://git.example/x"}}),
    pool(decoder="vaapi"),
    pool(device="cuda", decoder="nvdec"),
    pool(device="tensorrt", image=OWN, engineCache={"type": "claim", "claim": "e"}),
    pool(device="openvino", image=OWN),
    {**pool(device="tensorrt"), "images": {"pipeline": {"tag": "0.1.0-tensorrt"}}},
    {**pool(device="openvino"), "images": {"pipeline": OWN}},
    consumer("archive", to="/archive", claim="c"),
    consumer("alerts", rulesSecret="r"),
    chart.with_kafka(
        strimzi={"cluster": "c", "users": True}, topics={"hook": {"kafkaUser": {"secret": "admin", "name": "admin"}}}
    ),
]


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        def render(values):
            return chart.helm("template", "sightline", chart.CHART, values=values)

        with concurrent.futures.ThreadPoolExecutor(4) as pool_of_threads:
            cls.refused = list(pool_of_threads.map(render, [values for values, _ in REFUSED]))
            cls.taken = list(pool_of_threads.map(render, TAKEN))

    def test_what_cannot_work(self):
        for (values, said), answer in zip(REFUSED, self.refused):
            with self.subTest(said):
                self.assertNotEqual(answer.returncode, 0, values)
                self.assertIn(said, answer.stderr)

    def test_what_is_next_to_it(self):
        for values, answer in zip(TAKEN, self.taken):
            with self.subTest(values):
                self.assertEqual(answer.returncode, 0, answer.stderr)


if __name__ == "__main__":
    unittest.main()
