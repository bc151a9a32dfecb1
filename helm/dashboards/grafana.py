"""What a dashboard is made of, and its JSON as Grafana reads it (schema version 39: Grafana 10.4 and later).

Only what our dashboards use. A panel can't be made without a description and a unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Json = dict[str, Any]

WIDTH = 24
RUNBOOKS = "docs/runbooks/"


class Unit(Enum):
    """Grafana's names for units."""

    COUNT = "short"
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    PER_SECOND = "cps"
    FRAMES_PER_SECOND = "fps"
    SHARE = "percentunit"
    MOMENT = "dateTimeAsIso"
    NONE = "none"


class Kind(Enum):
    LINES = "timeseries"
    BARS = "timeseries bars"
    STAT = "stat"
    TABLE = "table"


@dataclass(frozen=True)
class Prometheus:
    """A PromQL expression; a table and a stat ask for now, lines for the range."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Sql:
    """A statement for PostgreSQL, with Grafana's macros; lines want a column `time`, and text columns become series."""

    statement: str


@dataclass(frozen=True)
class Panel:
    title: str
    description: str
    kind: Kind
    unit: Unit
    queries: tuple[Prometheus | Sql, ...]
    width: int = 8
    height: int = 8
    stacked: bool = False
    # From this value on it is yellow, red.
    warns: tuple[float, float] | None = None
    # Below the first it is red; from the second on green.
    wants: tuple[float, float] | None = None
    decimals: int | None = None
    # Columns of a table, in their order, by what they are called on the page; those not named are hidden.
    columns: tuple[tuple[str, str], ...] = ()
    # Units of columns that are not the panel's, by what they are called on the page.
    units: tuple[tuple[str, Unit], ...] = ()
    # Alerts that watch what is shown.
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the page, of many or all; named in queries by `$name`."""

    name: str
    label: str
    # What the choices are asked of the data source.
    query: str


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    # The type of the data source: prometheus, grafana-postgresql-datasource.
    source: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    tags: tuple[str, ...] = ("sightline",)
    # How far back it looks at first.
    since: str = "now-1h"
    others: tuple[tuple[str, str], ...] = field(default=())

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]

    def json(self) -> Json:
        return {
            "annotations": {"list": []},
            "description": self.description,
            "editable": True,
            "graphTooltip": 1,
            "id": None,
            "links": [_link(uid, title) for uid, title in self.others],
            "panels": list(self._laid_out()),
            "refresh": "30s",
            "schemaVersion": 39,
            "tags": list(self.tags),
            "templating": {"list": [self._datasource(), *(self._variable(one) for one in self.variables)]},
            "time": {"from": self.since, "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
            "version": 1,
        }

    def _laid_out(self) -> list[Json]:
        laid_out: list[Json] = []
        y = 0
        for row in self.rows:
            laid_out.append(_row(row.title, len(laid_out) + 1, y))
            y += 1
            x, tallest = 0, 0
            for panel in row.panels:
                if x + panel.width > WIDTH:
                    x, y, tallest = 0, y + tallest, 0
                position = {"h": panel.height, "w": panel.width, "x": x, "y": y}
                laid_out.append(_panel(panel, len(laid_out) + 1, position, self.source))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
        return laid_out

    def _datasource(self) -> Json:
        return {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": self.source,
            "current": {},
            "hide": 0,
            "includeAll": False,
            "multi": False,
            "refresh": 1,
            "regex": "",
        }

    def _variable(self, variable: Variable) -> Json:
        is_prometheus = self.source == "prometheus"
        query: Any = variable.query
        if is_prometheus:
            query = {"query": variable.query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1}
        return {
            "name": variable.name,
            "label": variable.label,
            "type": "query",
            "datasource": {"type": self.source, "uid": "${datasource}"},
            "definition": variable.query,
            "query": query,
            # One that was chosen is matched as it is; all of them need no list.
            "allValue": ".*" if is_prometheus else None,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "hide": 0,
            "includeAll": True,
            "multi": True,
            "refresh": 2,
            "regex": "",
            "sort": 1,
        }


def _link(uid: str, title: str) -> Json:
    return {
        "title": title,
        "type": "link",
        "url": f"/d/{uid}",
        "icon": "dashboard",
        "keepTime": True,
        "includeVars": False,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
        "tooltip": "",
    }


def _row(title: str, number: int, y: int) -> Json:
    position = {"h": 1, "w": WIDTH, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": position, "panels": []}


def _panel(panel: Panel, number: int, position: Json, source: str) -> Json:
    datasource = {"type": source, "uid": "${datasource}"}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": datasource, **_target(panel.kind, query)}
        for index, query in enumerate(panel.queries)
    ]
    made: Json = {
        "id": number,
        "type": panel.kind.value.split()[0],
        "title": panel.title,
        "description": described(panel),
        "datasource": datasource,
        "gridPos": position,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel.kind),
        "targets": targets,
    }
    if panel.columns:
        made["transformations"] = _transformations(panel, is_sql=source != "prometheus")
    return made


def described(panel: Panel) -> str:
    """The description, with a link to the runbook of each alert."""
    links = ", ".join(f"[{alert}]({RUNBOOKS}{alert}.md)" for alert in panel.alerts)
    return f"{panel.description}\n\nAlerts: {links}" if links else panel.description


def _target(kind: Kind, query: Prometheus | Sql) -> Json:
    match query:
        case Sql(statement):
            is_lines = kind in (Kind.LINES, Kind.BARS)
            return {
                "rawSql": statement,
                "rawQuery": True,
                "editorMode": "code",
                "format": "time_series" if is_lines else "table",
            }
        case Prometheus(expression, legend):
            is_now = kind is Kind.TABLE
            return {
                "expr": expression,
                "legendFormat": legend or "__auto",
                "instant": is_now,
                "range": not is_now,
                "format": "table" if is_now else "time_series",
                "editorMode": "code",
            }


def _defaults(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit.value, "color": {"mode": "palette-classic"}}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.unit is Unit.SHARE:
        defaults |= {"min": 0, "max": 1}
    if panel.kind in (Kind.LINES, Kind.BARS):
        bars = panel.kind is Kind.BARS
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "bars" if bars else "line",
            "fillOpacity": 60 if bars else 15 if panel.stacked else 0,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
        }
    steps = thresholds(panel)
    if steps:
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in steps],
        }
        if panel.kind is Kind.STAT:
            defaults["color"] = {"mode": "thresholds"}
        elif panel.kind is Kind.LINES:
            defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    return defaults


def thresholds(panel: Panel) -> list[tuple[float | None, str]]:
    """From which value on it has which color; the first holds for all below."""
    if panel.warns:
        yellow, red = panel.warns
        return [(None, "green"), (yellow, "yellow"), (red, "red")]
    if panel.wants:
        yellow, green = panel.wants
        return [(None, "red"), (yellow, "yellow"), (green, "green")]
    return []


def _overrides(panel: Panel) -> list[Json]:
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit.value}]}
        for name, unit in panel.units
    ]


def _options(kind: Kind) -> Json:
    match kind:
        case Kind.STAT:
            calculation = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"reduceOptions": calculation, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
        case Kind.TABLE:
            return {"showHeader": True, "cellHeight": "sm"}
        case Kind.LINES | Kind.BARS:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }


def _transformations(panel: Panel, is_sql: bool) -> list[Json]:
    """Puts columns in order and gives them their names; several queries are joined on the columns they share."""
    order = {name: index for index, (name, _) in enumerate(panel.columns)}
    names = {name: shown for name, shown in panel.columns if name != shown}
    organize = {"indexByName": order, "renameByName": names, "includeByName": dict.fromkeys(order, True)}
    hidden = {} if is_sql else {"excludeByName": {"Time": True}}
    merge = [{"id": "merge", "options": {}}] if len(panel.queries) > 1 else []
    return [*merge, {"id": "organize", "options": {**organize, **hidden}}]
