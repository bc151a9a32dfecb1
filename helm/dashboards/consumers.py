"""Consumers and scaling: what lies behind, how old it is, how many work at it, what went wrong, and jobs."""

from grafana import Dashboard, Kind, Panel, Prometheus, Row, Unit, Variable

RATE = "$__rate_interval"
OF = 'consumer=~"$consumer"'


def p(quantile: float, metric: str, by: str = "", labels: str = "") -> str:
    group = f"{by}, le" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({group}) (rate({metric}_bucket{{{labels}}}[{RATE}])))"


NOW = Row(
    "Now",
    (
        Panel(
            "Records behind",
            "The lag of the consumer that is furthest behind.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus(f"max(sum by (consumer) (sightline_consumer_lag_records{{{OF}}}))"),),
            width=4,
            height=4,
            warns=(1_000, 10_000),
            alerts=("SightlineConsumerBehind", "SightlineConsumerStuck"),
        ),
        Panel(
            "Age of data",
            "The oldest record that a consumer took last was so old when it was taken.",
            Kind.STAT,
            Unit.SECONDS,
            (Prometheus(f"max(sightline_consumer_data_age_seconds{{{OF}}})"),),
            width=4,
            height=4,
            decimals=1,
            warns=(60, 300),
            alerts=("SightlineConsumerBehind",),
        ),
        Panel(
            "Dead letters",
            "Records in the chosen time that nobody could read or deliver: they lie on the topic dead-letter with their reason.",
            Kind.STAT,
            Unit.COUNT,
            (
                Prometheus(
                    '(sum(increase(sightline_consumer_records_passed_over_total{reason="unreadable"}[$__range])) or vector(0)) + '
                    '(sum(increase(sightline_consumer_records_passed_over_total{consumer=~"alerts-.*",reason="unknown"}[$__range])) '
                    "or vector(0)) + "
                    "(sum(increase(sightline_alerts_given_up_total[$__range])) or vector(0)) + "
                    "(sum(increase(sightline_store_rows_refused_total[$__range])) or vector(0)) + "
                    "(sum(increase(sightline_registry_dead_letters_total[$__range])) or vector(0))"
                ),
            ),
            width=4,
            height=4,
            decimals=0,
            warns=(1, 100),
            alerts=("SightlineDeadLetters", "SightlineAlertsGivenUp"),
        ),
        Panel(
            "Targets that are down",
            "Addresses of Alertmanagers and webhooks that failed again and again.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus("sum(sightline_alerts_circuits_open)"),),
            width=4,
            height=4,
            warns=(1, 2),
            alerts=("SightlineAlertTargetDown",),
        ),
        Panel(
            "Jobs to do",
            "Recordings that are queued, wait for their next attempt, or are being worked off.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus('sum(max by (state) (sightline_registry_jobs{state=~"queued|claimed|running|waiting"}))'),),
            width=4,
            height=4,
            alerts=("SightlineJobsWait",),
        ),
        Panel(
            "Time left for jobs",
            "Until the last of the jobs in work ends, as it goes now; queued ones are not in it.",
            Kind.STAT,
            Unit.SECONDS,
            (Prometheus("max(sightline_worker_time_left_seconds)"),),
            width=4,
            height=4,
        ),
    ),
)

LAG = Row(
    "Lag and age",
    (
        Panel(
            "Lag by consumer",
            "Records that lie behind what was done. Of alerts: what the target has not taken.",
            Kind.LINES,
            Unit.COUNT,
            (Prometheus(f"sum by (consumer) (sightline_consumer_lag_records{{{OF}}})", "{{consumer}}"),),
            alerts=("SightlineConsumerBehind", "SightlineConsumerStuck"),
        ),
        Panel(
            "Age of data by consumer",
            "How old the record taken last was when it was taken, of the partition where it was oldest. Recorded video and replays "
            "are as old as they are.",
            Kind.LINES,
            Unit.SECONDS,
            (Prometheus(f"max by (consumer) (sightline_consumer_data_age_seconds{{{OF}}})", "{{consumer}}"),),
            alerts=("SightlineConsumerBehind",),
        ),
        Panel(
            "Lag by partition, the longest 10",
            "One partition far behind the others: a camera with very much in it, or a process that hangs.",
            Kind.LINES,
            Unit.COUNT,
            (
                Prometheus(
                    f"topk(10, sum by (consumer, partition) (sightline_consumer_lag_records{{{OF}}}))",
                    "{{consumer}} {{partition}}",
                ),
            ),
        ),
        Panel(
            "Records read",
            "By consumer.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum by (consumer) (rate(sightline_consumer_records_total{{{OF}}}[{RATE}]))", "{{consumer}}"),),
        ),
        Panel(
            "Bytes read",
            "Keys, values and headers, by consumer.",
            Kind.LINES,
            Unit.BYTES_PER_SECOND,
            (Prometheus(f"sum by (consumer) (rate(sightline_consumer_bytes_total{{{OF}}}[{RATE}]))", "{{consumer}}"),),
        ),
        Panel(
            "Passed over by reason",
            "Read and not acted on. late, repeat and backwards are what a take-over leaves behind; unreadable went to the dead letters.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(
                    f"sum by (reason) (increase(sightline_consumer_records_passed_over_total{{{OF}}}[{RATE}])) > 0",
                    "{{reason}}",
                ),
            ),
            stacked=True,
            alerts=("SightlineDeadLetters",),
        ),
    ),
)

SCALING = Row(
    "Replicas",
    (
        Panel(
            "Processes by consumer",
            "How many processes share the work of each consumer. More than there are partitions have nothing to do.",
            Kind.LINES,
            Unit.COUNT,
            (
                Prometheus(
                    f"count by (consumer) (count by (consumer, instance) (sightline_consumer_records_total{{{OF}}}))",
                    "{{consumer}}",
                ),
            ),
        ),
        Panel(
            "Pods by pool: there and wanted",
            "Wanted is what the scaler is told by /v1/scaling/pipeline: results a second that cameras want, over four fifths of what a "
            "pod can do. It is rounded up.",
            Kind.LINES,
            Unit.COUNT,
            (
                Prometheus("max by (pool) (sightline_registry_pool_pods)", "{{pool}}: there"),
                Prometheus("max by (pool) (sightline_registry_pool_pods_wanted)", "{{pool}}: wanted"),
            ),
            decimals=1,
            alerts=("SightlinePoolTooSmall",),
        ),
        Panel(
            "Commits refused, and begun anew",
            "Kafka refused a commit, or a process left its group and began from what it had committed. Some of it goes with every "
            "rebalance; much of it means that processes are thrown out again and again.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(f"sum(increase(sightline_consumer_commits_refused_total{{{OF}}}[{RATE}]))", "refused"),
                Prometheus(f"sum(increase(sightline_consumer_begun_anew_total{{{OF}}}[{RATE}]))", "begun anew"),
            ),
            alerts=("SightlineConsumerUnsettled",),
        ),
    ),
)

WRITING = Row(
    "Events, rows, archive",
    (
        Panel(
            "Events written by type",
            "Events that consume events wrote.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum by (type) (rate(sightline_events_written_total{{{OF}}}[{RATE}]))", "{{type}}"),),
            stacked=True,
        ),
        Panel(
            "Rows written by table",
            "Rows handed to PostgreSQL.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum by (table) (rate(sightline_store_rows_written_total{{{OF}}}[{RATE}]))", "{{table}}"),),
            alerts=("SightlineRowsRefused",),
        ),
        Panel(
            "Time of a write",
            "95th percentile: up to 5,000 rows to PostgreSQL; one file to the archive's store.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(p(0.95, "sightline_store_write_seconds", labels=OF), "rows"),
                Prometheus(p(0.95, "sightline_archive_write_seconds"), "file"),
            ),
        ),
        Panel(
            "What database and store did not do",
            "Tried again, until it is done. By reason; docs/METRICS.md says what each is.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(
                    f"sum by (reason) (increase(sightline_store_database_failures_total{{{OF}}}[{RATE}])) > 0",
                    "database: {{reason}}",
                ),
                Prometheus(
                    f"sum by (reason) (increase(sightline_archive_store_failures_total[{RATE}])) > 0", "archive: {{reason}}"
                ),
                Prometheus(
                    f"sum by (reason) (increase(sightline_registry_history_failures_total[{RATE}])) > 0", "history: {{reason}}"
                ),
            ),
            stacked=True,
            alerts=("SightlineDatabaseFails", "SightlineArchiveFails"),
        ),
        Panel(
            "Archived",
            "Bytes of Parquet files written, by topic.",
            Kind.LINES,
            Unit.BYTES_PER_SECOND,
            (Prometheus(f"sum by (topic) (rate(sightline_archive_bytes_total[{RATE}]))", "{{topic}}"),),
            alerts=("SightlineArchiveFails",),
        ),
        Panel(
            "Held in memory by the archive",
            "Records that are not in a file yet; at 128 MiB a topic, reading waits.",
            Kind.LINES,
            Unit.BYTES,
            (Prometheus("sum by (instance, topic) (sightline_archive_open_bytes)", "{{instance}} {{topic}}"),),
            alerts=("SightlineArchiveFails",),
        ),
    ),
)

ALERTS = Row(
    "Alerts",
    (
        Panel(
            "Alerts sent and failed",
            "What targets took, and attempts that failed, by reason; a failed one is tried again.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(f"sum by (consumer) (increase(sightline_alerts_sent_total{{{OF}}}[{RATE}]))", "{{consumer}}: sent"),
                Prometheus(
                    f"sum by (consumer, reason) (increase(sightline_alerts_failed_total{{{OF}}}[{RATE}])) > 0",
                    "{{consumer}}: {{reason}}",
                ),
            ),
            stacked=True,
            alerts=("SightlineAlertTargetDown", "SightlineAlertsGivenUp"),
        ),
        Panel(
            "From event to target",
            "From an event being written to the target having taken it, 95th percentile.",
            Kind.LINES,
            Unit.SECONDS,
            (Prometheus(p(0.95, "sightline_alerts_delivery_seconds", "consumer", OF), "{{consumer}}"),),
            alerts=("SightlineAlertTargetDown",),
        ),
        Panel(
            "Events that rules are about",
            "By rule.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum by (rule) (rate(sightline_alerts_matched_total{{{OF}}}[{RATE}]))", "{{rule}}"),),
            stacked=True,
        ),
    ),
)

JOBS = Row(
    "Jobs",
    (
        Panel(
            "Jobs by state",
            "Recordings that the registry knows.",
            Kind.LINES,
            Unit.COUNT,
            (Prometheus("max by (state) (sightline_registry_jobs) > 0", "{{state}}"),),
            stacked=True,
            alerts=("SightlineJobsWait", "SightlineJobsFail", "SightlineJobsUnqueued"),
        ),
        Panel(
            "Attempts that ended",
            "By outcome: done, failed for good, to be retried, cancelled, left to another worker, superseded.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(
                    f"sum by (outcome) (increase(sightline_worker_jobs_total[{RATE}])) > 0",
                    "{{outcome}}",
                ),
            ),
            stacked=True,
            alerts=("SightlineJobsFail",),
        ),
        Panel(
            "Workers and what they have",
            "Workers, jobs that they are at, and records that they have read and not begun.",
            Kind.LINES,
            Unit.COUNT,
            (
                Prometheus("count(sightline_worker_jobs_in_work)", "workers"),
                Prometheus("sum(sightline_worker_jobs_in_work)", "jobs in work"),
                Prometheus("sum(sightline_worker_records_waiting)", "records waiting"),
            ),
            alerts=("SightlineJobsWait",),
        ),
        Panel(
            "Frames of recordings",
            "Results a second of all workers together. It holds one core for each worker of a process, if decoding keeps up.",
            Kind.LINES,
            Unit.FRAMES_PER_SECOND,
            (
                Prometheus(
                    f'sum by (instance) (rate(sightline_pipeline_frames_published_total{{camera="jobs"}}[{RATE}]))',
                    "{{instance}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Video worked off",
            "Seconds of video that became done in the chosen time.",
            Kind.STAT,
            Unit.SECONDS,
            (Prometheus("sum(increase(sightline_worker_video_seconds_total[$__range]))"),),
            width=6,
        ),
        Panel(
            "Not in their queue yet",
            "Jobs that were added and are not acknowledged by their queue. Above 0 for long, Kafka does not take them.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus("max(sightline_registry_jobs_unqueued)"),),
            width=6,
            warns=(1, 100),
            alerts=("SightlineJobsUnqueued",),
        ),
    ),
)

REGISTRY = Row(
    "Registry",
    (
        Panel(
            "Requests by status",
            "Answers of the API a second.",
            Kind.LINES,
            Unit.PER_SECOND,
            (Prometheus(f"sum by (status) (rate(sightline_registry_requests_total[{RATE}]))", "{{status}}"),),
            stacked=True,
            alerts=("SightlineRegistryErrors",),
        ),
        Panel(
            "Time of answers",
            "p50 and p99 of a request, p99 of a question to the database, and p99 of a write being seen by the registry's own view.",
            Kind.LINES,
            Unit.SECONDS,
            (
                Prometheus(p(0.5, "sightline_registry_request_seconds"), "request p50"),
                Prometheus(p(0.99, "sightline_registry_request_seconds"), "request p99"),
                Prometheus(p(0.99, "sightline_registry_history_seconds"), "history p99"),
                Prometheus(p(0.99, "sightline_registry_view_lag_seconds"), "view p99"),
            ),
            alerts=("SightlineRegistrySlow",),
        ),
        Panel(
            "Changes of cameras and jobs",
            "Accepted changes, by what was done.",
            Kind.BARS,
            Unit.COUNT,
            (
                Prometheus(f"sum by (outcome) (increase(sightline_registry_writes_total[{RATE}])) > 0", "cameras: {{outcome}}"),
                Prometheus(f"sum by (outcome) (increase(sightline_registry_job_writes_total[{RATE}])) > 0", "jobs: {{outcome}}"),
            ),
            stacked=True,
        ),
        Panel(
            "Who watches events",
            "Open streams of /v1/events, and events sent in them a second.",
            Kind.LINES,
            Unit.COUNT,
            (
                Prometheus("sum(sightline_registry_event_watchers)", "streams"),
                Prometheus(f"sum(rate(sightline_registry_events_sent_total[{RATE}]))", "events a second"),
                Prometheus(f"sum(increase(sightline_registry_event_watchers_slow_total[{RATE}]))", "ended for slowness"),
            ),
            width=12,
        ),
        Panel(
            "Records that can't be read",
            "Cameras whose newest record can't be read; the settings known before stay.",
            Kind.STAT,
            Unit.COUNT,
            (Prometheus("max(sightline_registry_cameras_unreadable)"),),
            width=12,
            warns=(1, 10),
            alerts=("SightlineCamerasUnreadable",),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="sightline-consumers",
    title="Sightline / Consumers and scaling",
    description="What lies behind, how old it is, how many work at it, what went wrong, and how jobs go on.",
    source="prometheus",
    variables=(Variable("consumer", "Consumer", "label_values(sightline_consumer_records_total, consumer)"),),
    rows=(NOW, LAG, SCALING, WRITING, ALERTS, JOBS, REGISTRY),
)
