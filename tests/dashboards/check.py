#!/usr/bin/env python3
"""Every panel and every alert against a real Prometheus and a real PostgreSQL, while the real programs work.

    tests/dashboards/check.py [--pictures DIR]

Needs Kafka (scripts/kafka.sh), PostgreSQL, Prometheus, kcat, and a build with examples: `make test-dashboards` sees to all of it."""

import argparse
import json
import re
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from ask import Answer, Json, Range, ask_postgres, ask_prometheus, get
from evening import INTERVAL_S, RECORDED_EARLIER_S, Evening
from processes import ROOT, Failed, wait_for
from silent import METRICS, REASONS

# Of what is read from PostgreSQL.
SQL_INTERVAL_S = 10
# What the evening brings about has to be seen by the alerts that are about it.
SEEN_BY = {"SightlineCamerasRetrying", "SightlineDeadLetters", "SightlineJobsFail", "SightlineCamerasUnreadable"}


@dataclass
class Asked:
    dashboard: Json
    panel: Json
    over: Range
    answers: list[Answer]


def dashboards() -> list[Json]:
    return [json.loads(path.read_text()) for path in sorted((ROOT / "helm/sightline/dashboards").glob("*.json"))]


def ask(evening: Evening, over: Range) -> list[Asked]:
    asked = []
    # What was recorded earlier and worked off now lies some minutes back.
    with_recordings = Range(over.start - RECORDED_EARLIER_S, over.end, over.step)
    for dashboard in dashboards():
        variables = dashboard["templating"]["list"]
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                continue
            answers = []
            for target in panel["targets"]:
                if "rawSql" in target:
                    answers.append(ask_postgres(evening.postgres, target, variables, with_recordings, SQL_INTERVAL_S))
                else:
                    answers.append(ask_prometheus(evening.prometheus, target, variables, over))
            is_sql = "rawSql" in panel["targets"][0]
            asked.append(Asked(dashboard, panel, with_recordings if is_sql else over, answers))
    return asked


def panels_without_data(asked: list[Asked]) -> list[str]:
    wrong, known = [], set()
    for one in asked:
        for number, answer in enumerate(one.answers):
            key = (one.dashboard["uid"], one.panel["title"], number)
            known.add(key)
            reason = REASONS.get(key)
            if not answer.has_data() and reason is None:
                target = one.panel["targets"][number]
                wrong.append(f"{key}: no data, and no reason for it: {target.get('expr') or target['rawSql']}")
            if answer.has_data() and reason is not None:
                wrong.append(f"{key}: has data; take it out of silent.py, which says: {reason}")
    return wrong + [f"{key}: silent.py names a query that is not there" for key in REASONS.keys() - known]


SELECTOR = re.compile(r"\b((?:sightline|process)_[a-z0-9_]+|up)(\{[^}]*\})?")


def alerts_without_data(evening: Evening, over: Range) -> list[str]:
    """That each rule was evaluated, and that everything it looks at is there."""
    wrong, known = [], set()

    def rules_now() -> list[Json]:
        groups = get(f"{evening.prometheus}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing_now() -> set[str]:
        return {rule["name"] for rule in rules_now() if rule["state"] in ("pending", "firing")}

    # Rules are evaluated by and by.
    with suppress(Failed):
        wait_for("the alerts", lambda: firing_now() >= SEEN_BY, 30)
    rules, firing = rules_now(), firing_now()
    for rule in rules:
        if rule["health"] != "ok":
            wrong.append(f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}")
        for name, labels in SELECTOR.findall(rule["query"]):
            selector = name + labels
            key = (rule["name"], selector)
            known.add(key)
            series = get(f"{evening.prometheus}/api/v1/series?" + _match(selector, over))["data"]
            if not series and key not in METRICS:
                wrong.append(f"{key}: no such series, and no reason for it")
            if series and key in METRICS:
                wrong.append(f"{key}: there are series; take it out of silent.py, which says: {METRICS[key]}")
    print(f"   {len(rules)} rules evaluated; pending or firing: {', '.join(sorted(firing))}")
    wrong += [f"{name} does not see what happened" for name in SEEN_BY - firing]
    return wrong + [f"{key}: silent.py names what is not there" for key in METRICS.keys() - known]


def _match(selector: str, over: Range) -> str:
    return urlencode({"match[]": selector, "start": over.start, "end": over.end})


def metrics_nobody_shows(evening: Evening) -> list[str]:
    """Of all that is scraped: what neither a panel nor an alert asks about."""
    names = get(f"{evening.prometheus}/api/v1/label/__name__/values")["data"]
    asked = "\n".join(
        path.read_text() for folder in ("dashboards", "rules") for path in (ROOT / "helm/sightline" / folder).iterdir()
    )
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names if name.startswith("sightline_")}
    return sorted(name for name in families if name not in asked)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="draw each dashboard into this folder")
    pictures = parser.parse_args().pictures
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sightline-dashboards-") as folder:
        # PostgreSQL's own user has to get in.
        Path(folder).chmod(0o755)
        with Evening(Path(folder)) as evening:
            print(f"   everything runs after {time.monotonic() - begun:.0f} s", flush=True)
            over = Range(*evening.live(), INTERVAL_S)
            asked = ask(evening, over)
            wrong = panels_without_data(asked) + alerts_without_data(evening, over)
            unseen = metrics_nobody_shows(evening)
            queries = sum(len(one.answers) for one in asked)
            print(f"   {len(asked)} panels with {queries} queries asked, {len(REASONS)} of them silent for a reason")
            print(f"   metrics that no panel and no alert shows: {', '.join(unseen) or 'none'}")
    if pictures:
        from draw import draw

        draw(asked, pictures)
    for line in wrong:
        print(f"WRONG {line}", file=sys.stderr)
    print(f"   {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        print(f"WRONG {failed}", file=sys.stderr)
        sys.exit(1)
