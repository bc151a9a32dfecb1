"""Pipeline: where a frame's time goes, on which device, and how results get out."""

from grafana import Dashboard, Kind, Panel, Prometheus, Row, Unit, Variable

RATE = "$__rate_interval"
OF = 'instance=~"$instance"'
# What keeps a detect worker busy; decoding has threads of its own, and the queue is waiting.
DETECTING = 'stage=~"letterbox|session|head|track"'
INFO = f"on (instance) group_left (device, model) max by (instance, device, model) (sightline_pipeline_info{{{OF}}})"
OURS = f"and on (instance) sightline_pipeline_info{{{OF}}}"

STAGES = Row(
    "Stages",
    (
        Panel(
            "Mean time of a frame by stage",
            "Wall-clock time: decode (to the frame that comes out), queue (waiting for a worker), letterbox, session (the model), "
            "head, track. A recording waits in the queue by intention.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(
                    f"sum by (stage) (rate(sightline_pipeline_stage_seconds_sum{{{OF}}}[{RATE}])) / "
                    f"sum by (stage) (rate(sightline_pipeline_stage_seconds_count{{{OF}}}[{RATE}]))",
                    "{{stage}}",
                ),
            ),
            stacked=True,
            alerts=("SightlineOverloaded",),
        ),
        Panel(
            "95th percentile by stage",
            "A queue that grows while the session does not: too few workers.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(
                    f"histogram_quantile(0.95, sum by (stage, le) (rate(sightline_pipeline_stage_seconds_bucket{{{OF}}}[{RATE}])))",
                    "{{stage}}",
                ),
            ),
        ),
        Panel(
            "Frames through each stage",
            "Frames a second. What is decoded and not detected was left out by sampling, or for overload.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus(
                    f"sum by (stage) (rate(sightline_pipeline_stage_seconds_count{{{OF}}}[{RATE}]))",
                    "{{stage}}",
                ),
            ),
        ),
    ),
)

DEVICES = Row(
    "Devices",
    (
        Panel(
            "Frames detected by device and model",
            "Runs of the model a second. Each run takes one frame.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus(
                    "sum by (device, model) (sum by (instance) "
                    f'(rate(sightline_pipeline_stage_seconds_count{{stage="session",{OF}}}[{RATE}])) * {INFO})',
                    "{{device}}, {{model}}",
                ),
            ),
        ),
        Panel(
            "Mean time of the model by device",
            "Of one run of the session, without letterbox and head.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(
                    "sum by (device, model) (sum by (instance) "
                    f'(rate(sightline_pipeline_stage_seconds_sum{{stage="session",{OF}}}[{RATE}])) * {INFO}) / '
                    "sum by (device, model) (sum by (instance) "
                    f'(rate(sightline_pipeline_stage_seconds_count{{stage="session",{OF}}}[{RATE}])) * {INFO})',
                    "{{device}}, {{model}}",
                ),
            ),
        ),
        Panel(
            "Busy detect workers",
            "Seconds of work in a second: 2 is two workers that are always busy. At the number of workers the process is full, and "
            "live frames are left out.",
            Kind.LINES,
            Unit.COUNT,
            (
                Prometheus(
                    f"sum by (instance) (rate(sightline_pipeline_stage_seconds_sum{{{DETECTING},{OF}}}[{RATE}]))",
                    "{{instance}}",
                ),
            ),
            decimals=2,
            alerts=("SightlineOverloaded",),
        ),
    ),
)

PUBLISHING = Row(
    "Publishing",
    (
        Panel(
            "Records acknowledged",
            "By Kafka, by topic.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum by (topic) (rate(sightline_pipeline_records_acknowledged_total{{{OF}}}[{RATE}])) > 0", "{{topic}}"),),
            width=6,
        ),
        Panel(
            "From capture: detected, and acknowledged",
            "Mean age of live results when they were ready, and when Kafka acknowledged them. What lies between the two is publishing.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(
                    f"sum(rate(sightline_pipeline_result_latency_seconds_sum{{{OF}}}[{RATE}])) / "
                    f"sum(rate(sightline_pipeline_result_latency_seconds_count{{{OF}}}[{RATE}]))",
                    "ready",
                ),
                Prometheus(
                    f"sum(rate(sightline_pipeline_acknowledged_latency_seconds_sum{{{OF}}}[{RATE}])) / "
                    f"sum(rate(sightline_pipeline_acknowledged_latency_seconds_count{{{OF}}}[{RATE}]))",
                    "acknowledged",
                ),
            ),
            alerts=("SightlineResultsLate",),
            width=6,
        ),
        Panel(
            "Records on their way",
            "Handed to the Kafka client and not acknowledged yet.",
            Kind.LINES,
            Unit.COUNT,
            (Prometheus(f"sightline_pipeline_records_in_flight{{{OF}}}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Records lost",
            "Refused by Kafka for good, gone because the spool was full, or left out because there was no room to wait. Should be 0.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(f"sum(increase(sightline_pipeline_records_refused_total{{{OF}}}[{RATE}]))", "refused"),
                Prometheus(f"sum(increase(sightline_pipeline_spool_evicted_total{{{OF}}}[{RATE}]))", "spool full"),
                Prometheus(
                    f'sum(increase(sightline_pipeline_frames_skipped_total{{reason="unpublished",{OF}}}[{RATE}]))', "no room"
                ),
            ),
            stacked=True,
            alerts=("SightlineResultsLost",),
            width=6,
        ),
    ),
)

SPOOL = Row(
    "Spool",
    (
        Panel(
            "What the spool takes on disk",
            "Results that Kafka has not acknowledged. 0 while it does so within a second, and without --spool.",
            Kind.LINES,
            Unit.BYTES,
            (Prometheus(f"sightline_pipeline_spool_bytes{{{OF}}}", "{{instance}}"),),
            alerts=("SightlineSpoolOld",),
        ),
        Panel(
            "Age of the oldest record",
            "How long Kafka has been away, as seen by what waits for it.",
            Kind.LINES,
            Unit.SECONDS,
            (Prometheus(f"sightline_pipeline_spool_oldest_age_seconds{{{OF}}}", "{{instance}}"),),
            alerts=("SightlineSpoolOld",),
        ),
        Panel(
            "Replayed and failed",
            "Records of an earlier process that were published from the spool, and attempts to write to it that failed.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(f"sum(increase(sightline_pipeline_spool_replayed_total{{{OF}}}[{RATE}]))", "replayed"),
                Prometheus(f"sum(increase(sightline_pipeline_spool_errors_total{{{OF}}}[{RATE}]))", "failed"),
            ),
            alerts=("SightlineSpoolFails",),
        ),
    ),
)

PROCESSES = Row(
    "Processes",
    (
        Panel(
            "Memory",
            "Resident memory of pipelines and workers.",
            Kind.LINES,
            Unit.BYTES,
            (Prometheus(f"process_resident_memory_bytes {OURS}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "CPU",
            "Busy cores, decoding and all.",
            Kind.LINES,
            Unit.COUNT,
            (Prometheus(f"rate(process_cpu_seconds_total[{RATE}]) {OURS}", "{{instance}}"),),
            decimals=2,
            width=6,
        ),
        Panel(
            "Open files",
            "The share of the files and sockets that the process may open.",
            Kind.LINES,
            Unit.SHARE,
            (Prometheus(f"process_open_fds / process_max_fds {OURS}", "{{instance}}"),),
            alerts=("SightlineFilesRunOut",),
            width=6,
        ),
        Panel(
            "Running for",
            "Time since the process was started. A fall to 0 is a restart.",
            Kind.LINES,
            Unit.SECONDS,
            (Prometheus(f"time() - process_start_time_seconds {OURS}", "{{instance}}"),),
            alerts=("SightlineRestarts",),
            width=6,
        ),
    ),
)


DASHBOARD = Dashboard(
    uid="sightline-pipeline",
    title="Sightline / Pipeline",
    description="Where a frame's time goes, on which device, and how results get out: pipelines, and workers of recorded video.",
    source="prometheus",
    variables=(Variable("instance", "Process", "label_values(sightline_pipeline_info, instance)"),),
    rows=(STAGES, DEVICES, PUBLISHING, SPOOL, PROCESSES),
)
