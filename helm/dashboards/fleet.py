"""Fleet: do the cameras run, do results come in time, what is left out, and who runs what."""

from grafana import Dashboard, Kind, Panel, Prometheus, Row, Unit, Variable

# Recorded video that is worked off counts under the name `jobs`; the fleet is cameras.
OF = 'instance=~"$instance",camera=~"$camera",camera!="jobs"'
RATE = "$__rate_interval"


def latency(metric: str, quantile: float, labels: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket{{{labels}}}[{RATE}])))"


NOW = Row(
    "Now",
    (
        Panel(
            "Cameras running",
            "Cameras whose results come, of all pipelines that are chosen.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus('sum(sightline_pipeline_cameras{state="running",instance=~"$instance"})'),),
            width=4,
            height=4,
        ),
        Panel(
            "Cameras not running",
            "Registered cameras that should run and give no results: waiting for a pipeline, connecting, or retrying.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus('sum(max by (state) (sightline_registry_cameras{state=~"waiting|claimed|connecting|retrying"}))'),),
            width=4,
            height=4,
            warns=(1, 10),
            alerts=("SightlineCamerasRetrying", "SightlineCamerasWaiting", "SightlineNoCameraRuns"),
        ),
        Panel(
            "Results a second",
            "Frames whose results were published.",
            Kind.STAT,
            Unit.FRAMES_PER_SECOND,
            (Prometheus(f"sum(rate(sightline_pipeline_frames_published_total{{{OF}}}[{RATE}]))"),),
            width=4,
            height=4,
            decimals=1,
        ),
        Panel(
            "Left out for overload",
            "The share of the frames to be detected that nobody had time for. More cores, a smaller model or a lower rate help.",
            Kind.STAT,
            Unit.SHARE,
            (
                Prometheus(
                    f'sum(rate(sightline_pipeline_frames_skipped_total{{reason="overload",{OF}}}[{RATE}])) / '
                    f'(sum(rate(sightline_pipeline_frames_skipped_total{{reason="overload",{OF}}}[{RATE}])) + '
                    f"sum(rate(sightline_pipeline_frames_published_total{{{OF}}}[{RATE}])))"
                ),
            ),
            width=4,
            height=4,
            decimals=1,
            warns=(0.01, 0.05),
            alerts=("SightlineOverloaded",),
        ),
        Panel(
            "From capture to Kafka, p99",
            "How old a result is when others can read it: 99 of 100 are younger.",
            Kind.STAT,
            Unit.SECONDS,
            (Prometheus(latency("sightline_pipeline_acknowledged_latency_seconds", 0.99, 'instance=~"$instance"')),),
            width=4,
            height=4,
            decimals=2,
            warns=(2, 5),
            alerts=("SightlineResultsLate",),
        ),
        Panel(
            "Pods",
            "Pipelines that are alive, as the registry sees them.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus("max(sightline_registry_pods)"),),
            width=4,
            height=4,
            wants=(1, 1),
            alerts=("SightlinePoolTooSmall",),
        ),
    ),
)

CAMERAS = Row(
    "Cameras",
    (
        Panel(
            "Registered cameras by state",
            "The state of each camera's newest run; waiting is one that nobody ever ran.",
            Kind.LINES,
            Unit.COUNT,
            (Prometheus("max by (state) (sightline_registry_cameras) > 0", "{{state}}"),),
            stacked=True,
            alerts=("SightlineCamerasRetrying", "SightlineCamerasWaiting"),
        ),
        Panel(
            "Failed runs by error",
            "Runs of cameras that failed, by error code; each is tried again. docs/CAMERAS.md says what is behind each code.",
            Kind.BARS,
            Unit.COUNT,
            (Prometheus(f"sum by (code) (increase(sightline_pipeline_camera_errors_total{{{OF}}}[{RATE}])) > 0", "{{code}}"),),
            stacked=True,
            alerts=("SightlineCameraFails",),
        ),
        Panel(
            "Cameras that fail most",
            "The 20 cameras with the most failed runs in the chosen time, by error.",
            Kind.TABLE,
            Unit.COUNT,
            (
                Prometheus(
                    f"topk(20, sum by (camera, code) (increase(sightline_pipeline_camera_errors_total{{{OF}}}[$__range]))) > 0"
                ),
            ),
            columns=(("camera", "camera"), ("code", "error"), ("Value", "failed runs")),
            alerts=("SightlineCameraFails",),
        ),
    ),
)

FRAMES = Row(
    "Frames",
    (
        Panel(
            "Frames arrived and published",
            "Encoded pictures that came from cameras, and results that were published. What lies between them was left out: see "
            "the next panel.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus(f"sum(rate(sightline_pipeline_frames_arrived_total{{{OF}}}[{RATE}]))", "arrived"),
                Prometheus(f"sum(rate(sightline_pipeline_frames_published_total{{{OF}}}[{RATE}]))", "published"),
            ),
        ),
        Panel(
            "Frames left out by reason",
            "undecoded, sampling and static are wanted; overlap was given by the run before; overload, corrupt and unpublished are lost.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (Prometheus(f"sum by (reason) (rate(sightline_pipeline_frames_skipped_total{{{OF}}}[{RATE}])) > 0", "{{reason}}"),),
            stacked=True,
            alerts=("SightlineOverloaded", "SightlineVideoCorrupt", "SightlineResultsLost"),
        ),
        Panel(
            "Detections a second",
            "Detected objects in published frames.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum(rate(sightline_pipeline_detections_total{{{OF}}}[{RATE}]))", "detections"),),
        ),
        Panel(
            "Results a second by camera, the lowest 10",
            "Cameras that give the fewest results. One that should give more is slow, far away, or overloaded.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus(
                    f"bottomk(10, sum by (camera) (rate(sightline_pipeline_frames_published_total{{{OF}}}[{RATE}])))",
                    "{{camera}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Frames lost by camera, the most 10",
            "Left out for overload, corrupt, or found no room to wait for Kafka: none of it was wanted.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus(
                    "topk(10, sum by (camera) (rate(sightline_pipeline_frames_skipped_total"
                    f'{{reason=~"overload|corrupt|unpublished",{OF}}}[{RATE}])) > 0)',
                    "{{camera}}",
                ),
            ),
            width=12,
            alerts=("SightlineOverloaded", "SightlineVideoCorrupt", "SightlineResultsLost"),
        ),
    ),
)

LATENCY = Row(
    "End-to-end latency",
    (
        Panel(
            "From capture to result",
            "Wall-clock time from a picture's capture to its result being ready, live cameras. How far detection runs behind capture.",
            Kind.LINES,
            Unit.SECONDS,
            tuple(
                Prometheus(latency("sightline_pipeline_result_latency_seconds", quantile, OF), f"p{quantile * 100:.0f}")
                for quantile in (0.5, 0.95, 0.99)
            ),
        ),
        Panel(
            "From capture to Kafka",
            "The same to Kafka's acknowledgement, when others can read the result; it grows while Kafka is away and results lie "
            "in the spool.",
            Kind.LINES,
            Unit.SECONDS,
            tuple(
                Prometheus(
                    latency("sightline_pipeline_acknowledged_latency_seconds", quantile, 'instance=~"$instance"'),
                    f"p{quantile * 100:.0f}",
                )
                for quantile in (0.5, 0.95, 0.99)
            ),
            alerts=("SightlineResultsLate", "SightlineSpoolOld"),
        ),
        Panel(
            "From capture to result by camera, the slowest 10",
            "The 95th percentile for each camera.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(
                    "topk(10, histogram_quantile(0.95, sum by (camera, le) "
                    f"(rate(sightline_pipeline_result_latency_seconds_bucket{{{OF}}}[{RATE}]))))",
                    "{{camera}}",
                ),
            ),
        ),
    ),
)

WHO = Row(
    "Who runs what",
    (
        Panel(
            "Cameras by pipeline",
            "Running cameras of each process. The registry moves some when loads differ.",
            Kind.LINES,
            Unit.COUNT,
            (Prometheus('sum by (instance) (sightline_pipeline_cameras{state="running",instance=~"$instance"})', "{{instance}}"),),
            stacked=True,
        ),
        Panel(
            "Claims",
            "Cameras that pipelines claimed: at a start, a take-over, a move. Contested ones are an error: two pods did not agree.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(f'sum(increase(sightline_pipeline_claims_total{{instance=~"$instance"}}[{RATE}]))', "claims"),
                Prometheus(
                    f'sum(increase(sightline_pipeline_claims_contested_total{{instance=~"$instance"}}[{RATE}]))', "contested"
                ),
                Prometheus(f"sum(increase(sightline_registry_evened_total[{RATE}]))", "moved to even out"),
            ),
            alerts=("SightlineClaimsContested",),
        ),
        Panel(
            "Wanted and possible results a second",
            "What the cameras of each pool want detected, and what its live pods can detect; a pool is scaled so that it is four "
            "fifths full.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus("max by (pool) (sightline_registry_pool_wanted_fps)", "{{pool}}: wanted"),
                Prometheus("max by (pool) (sightline_registry_pool_capacity_fps)", "{{pool}}: possible"),
            ),
            alerts=("SightlinePoolTooSmall",),
        ),
        Panel(
            "Which pipeline runs which camera",
            "By the results of the last minutes: the process, and what it gave.",
            Kind.TABLE,
            Unit.FRAMES_PER_SECOND,
            (Prometheus(f"sum by (camera, instance) (rate(sightline_pipeline_frames_published_total{{{OF}}}[{RATE}])) > 0"),),
            width=12,
            columns=(("camera", "camera"), ("instance", "pipeline"), ("Value", "results a second")),
            decimals=1,
        ),
        Panel(
            "What each process runs",
            "Device, model and pool of pipelines and workers.",
            Kind.TABLE,
            Unit.NONE,
            (Prometheus('max by (instance, pool, device, model) (sightline_pipeline_info{instance=~"$instance"})'),),
            width=12,
            columns=(("instance", "process"), ("pool", "pool"), ("device", "device"), ("model", "model")),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="sightline-fleet",
    title="Sightline / Fleet",
    description="Do the cameras run, do results come in time, what is left out, and who runs what.",
    source="prometheus",
    variables=(
        Variable("instance", "Process", "label_values(sightline_pipeline_info, instance)"),
        Variable("camera", "Camera", 'label_values(sightline_pipeline_frames_arrived_total{instance=~"$instance"}, camera)'),
    ),
    rows=(NOW, CAMERAS, FRAMES, LATENCY, WHO),
)
