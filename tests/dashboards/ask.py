"""Asks what a panel asks, as Grafana would: its JSON, with variables and macros filled in."""

import csv
import io
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from processes import Failed, Postgres

Json = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """Seconds since 1970, and between two points."""

    start: float
    end: float
    step: int

    def rate_interval(self) -> int:
        """Grafana's: an interval and a scrape, at least four scrapes."""
        return max(2 * self.step, 4 * self.step)


@dataclass
class Answer:
    """Of one query: lines by name, or a table."""

    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def has_data(self) -> bool:
        return any(self.lines.values()) or bool(self.rows)


def get(url: str) -> Json:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return cast(Json, json.load(answer))
    except urllib.error.HTTPError as error:
        raise Failed(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error


def _prometheus(address: str, path: str, **parameters: object) -> list[Json]:
    answer = get(f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
    return cast(list[Json], answer["data"]["result"])


def filled_in(expression: str, variables: list[Json], over: Range) -> str:
    """An expression with everything chosen."""
    intervals = {
        "$__rate_interval": f"{over.rate_interval()}s",
        "$__range": f"{int(over.end - over.start)}s",
        "$__interval": f"{over.step}s",
    }
    for name, value in intervals.items():
        expression = expression.replace(name, value)
    for variable in variables:
        if variable["type"] == "query":
            expression = expression.replace("$" + variable["name"], variable["allValue"])
    if "$" in expression:
        raise Failed(f"a variable that the dashboard does not have: {expression}")
    return expression


def ask_prometheus(address: str, target: Json, variables: list[Json], over: Range) -> Answer:
    expression = filled_in(target["expr"], variables, over)
    if target["instant"]:
        found = _prometheus(address, "query", query=expression, time=over.end)
        names = sorted({name for one in found for name in one["metric"]})
        rows = [[one["metric"].get(name, "") for name in names] + [one["value"][1]] for one in found]
        return Answer(columns=[*names, "Value"], rows=rows)
    found = _prometheus(address, "query_range", query=expression, start=over.start, end=over.end, step=over.step)
    lines = {}
    for one in found:
        points = [(at, float(value)) for at, value in one["values"] if value != "NaN"]
        lines[_name(one["metric"], target["legendFormat"])] = points
    return Answer(lines=lines)


def _name(metric: dict[str, str], legend: str) -> str:
    if legend == "__auto":
        return ", ".join(value for name, value in sorted(metric.items()) if name != "__name__")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: metric.get(match.group(1), ""), legend)


def ask_postgres(database: Postgres, target: Json, variables: list[Json], over: Range, interval_s: int) -> Answer:
    statement = as_sql(target["rawSql"], database, variables, over, interval_s)
    text = database.psql("video", statement, "sightline", "--csv")
    columns, *rows = list(csv.reader(io.StringIO(text)))
    if target["format"] == "table":
        return Answer(columns=columns, rows=rows)
    answer = Answer()
    at, value = columns.index("time"), next(i for i, name in enumerate(columns) if name not in ("time", "metric"))
    for row in rows:
        name = row[columns.index("metric")] if "metric" in columns else columns[value]
        answer.lines.setdefault(name, []).append((float(row[at]), float(row[value])))
    return answer


def as_sql(statement: str, database: Postgres, variables: list[Json], over: Range, interval_s: int) -> str:
    """With the macros that Grafana's PostgreSQL source knows and everything chosen."""

    def between(match: re.Match[str]) -> str:
        start, end = (datetime.fromtimestamp(at, UTC).isoformat() for at in (over.start, over.end))
        return f"{match.group(1)} BETWEEN '{start}' AND '{end}'"

    statement = statement.replace("$__interval", f"'{interval_s}s'")
    statement = re.sub(r"\$__timeFilter\((\w+)\)", between, statement)
    by = rf"floor(extract(epoch FROM \1) / {interval_s}) * {interval_s}"
    statement = re.sub(rf"\$__timeGroupAlias\((\w+), '{interval_s}s'\)", f'{by} AS "time"', statement)
    for variable in variables:
        if variable["type"] == "query" and "$" + variable["name"] in statement:
            choices = database.psql("video", as_sql(variable["query"], database, [], over, interval_s), "sightline", "-A", "-t")
            chosen = ",".join(f"'{one}'" for one in choices.splitlines() if one)
            statement = statement.replace("$" + variable["name"], chosen or "''")
    if "$" in statement:
        raise Failed(f"a macro or variable that is not known: {statement}")
    return statement
