"""What was seen: events and objects over time, from the tables of `sightline consume store`.

The questions are those of docs/QUERIES.md, with Grafana's time range and intervals in them."""

from grafana import Dashboard, Kind, Panel, Row, Sql, Unit, Variable

CAMERAS = "camera IN ($camera)"
# Labels of the model; what has none is a matter of the camera.
LABELS = "label IN ($label)"


def by_time(column: str, what: str, table: str, where: str, series: str | None = None) -> Sql:
    """A count or another figure for each interval, a line for each value of `series`."""
    metric = f", {series} AS metric" if series else ""
    return Sql(
        f"SELECT $__timeGroupAlias({column}, $__interval){metric}, {what}\n"
        f"FROM {table}\nWHERE $__timeFilter({column}) AND {where}\n"
        f"GROUP BY 1{', 2' if series else ''}\nORDER BY 1"
    )


NOW = Row(
    "At a glance",
    (
        Panel(
            "Events",
            "Everything that happened in the chosen time but the coming and going of objects.",
            Kind.STAT,
            Unit.COUNT,
            (
                Sql(
                    "SELECT count(*) FROM events\n"
                    f"WHERE $__timeFilter(at) AND {CAMERAS} AND type NOT IN ('track_started', 'track_ended')"
                ),
            ),
            width=6,
            height=4,
        ),
        Panel(
            "Objects",
            "Different objects that were seen and are gone. One that is seen on two cameras, or again after 2 s, is two.",
            Kind.STAT,
            Unit.COUNT,
            (Sql(f"SELECT count(*) FROM tracks\nWHERE $__timeFilter(first_seen) AND {CAMERAS} AND {LABELS}"),),
            width=6,
            height=4,
        ),
        Panel(
            "Cameras with events",
            "Cameras on which something happened in the chosen time.",
            Kind.STAT,
            Unit.COUNT,
            (Sql(f"SELECT count(DISTINCT camera) FROM events\nWHERE $__timeFilter(at) AND {CAMERAS}"),),
            width=6,
            height=4,
        ),
        Panel(
            "Newest row",
            "How long ago a row was last written. What happened since is on Kafka, or nothing happened.",
            Kind.STAT,
            Unit.SECONDS,
            (Sql("SELECT extract(epoch FROM now() - max(written_at)) AS age FROM events"),),
            width=6,
            height=4,
            decimals=0,
            alerts=("SightlineConsumerBehind", "SightlineDatabaseFails"),
        ),
    ),
)

EVENTS = Row(
    "Events",
    (
        Panel(
            "Events by type",
            "What happened, by the time of the event. docs/EVENTS.md says what each type means.",
            Kind.BARS,
            Unit.COUNT,
            (by_time("at", "count(*) AS events", "events", f"{CAMERAS} AND type NOT IN ('track_started', 'track_ended')", "type"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "Over which line, which way",
            "Crossings by camera, line and direction: docs/QUERIES.md, 1.",
            Kind.BARS,
            Unit.COUNT,
            (
                by_time(
                    "at",
                    "count(*) AS crossings",
                    "events",
                    f"{CAMERAS} AND {LABELS} AND type = 'line_crossed'",
                    "camera || ' ' || line || ' ' || direction",
                ),
            ),
            width=12,
            stacked=True,
        ),
        Panel(
            "In the zones now",
            "Whoever entered within a day and has not left: docs/QUERIES.md, 2.",
            Kind.TABLE,
            Unit.COUNT,
            (
                Sql(
                    "SELECT camera, zone, label, sum(CASE type WHEN 'zone_entered' THEN 1 ELSE -1 END) AS inside\n"
                    "FROM events\n"
                    f"WHERE type IN ('zone_entered', 'zone_left') AND at >= now() - interval '1 day' AND {CAMERAS} AND {LABELS}\n"
                    "GROUP BY camera, zone, label\n"
                    "ORDER BY inside DESC, camera, zone, label\nLIMIT 50"
                ),
            ),
        ),
        Panel(
            "How long they stay",
            "Visits of zones that ended in the chosen time: docs/QUERIES.md, 3.",
            Kind.TABLE,
            Unit.NONE,
            (
                Sql(
                    "SELECT camera, zone, label, count(*) AS visits,\n"
                    "       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS median,\n"
                    "       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_s) AS p95\n"
                    "FROM events\n"
                    f"WHERE type = 'zone_left' AND $__timeFilter(at) AND {CAMERAS} AND {LABELS}\n"
                    "GROUP BY camera, zone, label\nORDER BY visits DESC"
                ),
            ),
            units=(("median", Unit.SECONDS), ("p95", Unit.SECONDS)),
        ),
        Panel(
            "Latest events",
            "The newest 50 of the chosen time: docs/QUERIES.md, 5.",
            Kind.TABLE,
            Unit.NONE,
            (
                Sql(
                    "SELECT at, camera, type, label, coalesce(line, zone) AS place, direction, duration_s\n"
                    "FROM events\n"
                    f"WHERE $__timeFilter(at) AND {CAMERAS} AND type NOT IN ('track_started', 'track_ended')\n"
                    "ORDER BY at DESC\nLIMIT 50"
                ),
            ),
            units=(("at", Unit.MOMENT), ("duration_s", Unit.SECONDS)),
        ),
    ),
)

OBJECTS = Row(
    "Objects",
    (
        Panel(
            "Objects by label",
            "Different objects by when they were first seen: docs/QUERIES.md, 7.",
            Kind.BARS,
            Unit.COUNT,
            (by_time("first_seen", "count(*) AS objects", "tracks", f"{CAMERAS} AND {LABELS}", "label"),),
            stacked=True,
        ),
        Panel(
            "In the picture, on average",
            "Detections for each frame, by label: docs/QUERIES.md, 4. A minute without a row for a label counts as not there.",
            Kind.LINES,
            Unit.COUNT,
            (
                by_time(
                    "minute",
                    "sum(detections)::float / sum(frames) AS mean",
                    "detections_per_minute",
                    f"{CAMERAS} AND {LABELS}",
                    "label",
                ),
            ),
            decimals=1,
        ),
        Panel(
            "In the picture, at most",
            "The most of a label that were seen at once on one camera.",
            Kind.LINES,
            Unit.COUNT,
            (
                by_time(
                    "minute",
                    "max(max_simultaneous) AS most",
                    "detections_per_minute",
                    f"{CAMERAS} AND {LABELS}",
                    "label",
                ),
            ),
        ),
        Panel(
            "Where most is going on",
            "Objects by camera and label, and how long they were seen on average.",
            Kind.TABLE,
            Unit.COUNT,
            (
                Sql(
                    "SELECT camera, label, count(*) AS objects, avg(extract(epoch FROM last_seen - first_seen)) AS seen_for\n"
                    "FROM tracks\n"
                    f"WHERE $__timeFilter(first_seen) AND {CAMERAS} AND {LABELS}\n"
                    "GROUP BY camera, label\nORDER BY objects DESC\nLIMIT 50"
                ),
            ),
            width=12,
            units=(("seen_for", Unit.SECONDS),),
        ),
        Panel(
            "Cameras that were down",
            "When, and for how long; without an end, it is down: docs/QUERIES.md, 6.",
            Kind.TABLE,
            Unit.NONE,
            (
                Sql(
                    "SELECT camera, at AS down, back, extract(epoch FROM coalesce(back, now()) - at) AS lasted\n"
                    "FROM (\n"
                    "    SELECT camera, type, at, lead(at) OVER (PARTITION BY camera ORDER BY at) AS back\n"
                    "    FROM events\n"
                    f"    WHERE type IN ('camera_down', 'camera_up') AND $__timeFilter(at) AND {CAMERAS}\n"
                    ") AS turns\n"
                    "WHERE type = 'camera_down'\nORDER BY down DESC"
                ),
            ),
            width=12,
            units=(("down", Unit.MOMENT), ("back", Unit.MOMENT), ("lasted", Unit.SECONDS)),
            alerts=("SightlineCameraFails",),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="sightline-seen",
    title="Sightline / What was seen",
    description="Events and objects over time, from PostgreSQL.",
    source="grafana-postgresql-datasource",
    variables=(
        Variable(
            "camera",
            "Camera",
            "SELECT DISTINCT camera FROM detections_per_minute WHERE $__timeFilter(minute)\n"
            "UNION SELECT DISTINCT camera FROM events WHERE $__timeFilter(at)",
        ),
        Variable("label", "Label", "SELECT DISTINCT label FROM detections_per_minute WHERE $__timeFilter(minute)"),
    ),
    rows=(NOW, EVENTS, OBJECTS),
    since="now-6h",
)
