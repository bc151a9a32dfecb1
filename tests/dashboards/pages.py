#!/usr/bin/env python3
"""Dashboards, rules, runbooks and documents agree with each other and with the command. Starts nothing that stays; takes seconds."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from processes import ROOT, Failed, binary

DASHBOARDS = sorted((ROOT / "helm/sightline/dashboards").glob("*.json"))
RULES = (ROOT / "helm/sightline/rules/sightline.yaml").read_text()
RULE_TESTS = (ROOT / "tests/dashboards/rules.test.yaml").read_text()
RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
PAGE = ROOT / "docs/OBSERVABILITY.md"
# Not what a log filter names: sightline_pipeline=debug.
METRIC = re.compile(r"\b(?:sightline|process)_[a-z0-9_]+\b(?!=)")


def alerts() -> set[str]:
    return set(re.findall(r"- alert: (\w+)", RULES))


def runbooks() -> Iterator[str]:
    """Each alert has its page and its test, and is in the table; no page is without an alert."""
    names, pages = alerts(), {path.stem for path in RUNBOOKS}
    yield from (f"docs/runbooks/{name}.md is missing" for name in names - pages)
    yield from (f"docs/runbooks/{name}.md is about no alert" for name in pages - names)
    links = dict(re.findall(r"- alert: (\w+)\n(?:(?!- alert:).*\n)*?\s+runbook_url: (\S+)", RULES))
    yield from (f"{name}: runbook_url is {links.get(name)}" for name in names if links.get(name) != f"docs/runbooks/{name}.md")
    tested = set(re.findall(r"alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:\s*(?:\[\{|\n)", RULE_TESTS))
    yield from (f"{name}: no test in rules.test.yaml in which it fires" for name in names - tested)
    table = set(re.findall(r"^\| \[(\w+)\]\(runbooks/\w+\.md\)", PAGE.read_text(), re.MULTILINE))
    yield from (f"{name}: not in the table of docs/OBSERVABILITY.md, or not a rule" for name in names ^ table)
    for path in RUNBOOKS:
        text = path.read_text()
        if not all(f"**{part}**" in text for part in ("It means", "Look", "Do")):
            yield f"{path.name}: what it means, how to look, what to do"


def panels() -> Iterator[str]:
    """What every panel has to have."""
    uids = [json.loads(path.read_text())["uid"] for path in DASHBOARDS]
    if len(set(uids)) != len(uids):
        yield f"uids are not unique: {uids}"
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        names = {one["name"] for one in dashboard["templating"]["list"]}
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                continue
            where = f"{path.name}: {panel['title']}"
            if not panel.get("description", "").strip() or not panel["fieldConfig"]["defaults"].get("unit"):
                yield f"{where}: a description and a unit"
            if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
                yield f"{where}: wider than the page"
            yield from (
                f"{where}: no such alert: {name}"
                for name in set(re.findall(r"\[(\w+)\]\(docs/runbooks", panel["description"])) - alerts()
            )
            for target in [panel, *panel["targets"]]:
                if target["datasource"]["uid"] != "${datasource}":
                    yield f"{where}: another source than $datasource"
            for target in panel["targets"]:
                text = target.get("expr") or target["rawSql"]
                for fixed in re.findall(r"\b(?:rate|increase)\([^\[]*\[(\w+)\]", text):
                    yield f"{where}: a fixed [{fixed}]; use $__rate_interval or $__range"
                for variable in re.findall(r"\$([a-z]\w*)", text):
                    if variable not in names:
                        yield f"{where}: no variable ${variable}"


def metrics() -> Iterator[str]:
    """What is asked about is on docs/METRICS.md."""
    documented = set(re.findall(r"^\| `((?:sightline|process)_\w+)`", (ROOT / "docs/METRICS.md").read_text(), re.MULTILINE))
    for path in [*DASHBOARDS, ROOT / "helm/sightline/rules/sightline.yaml", *RUNBOOKS, PAGE]:
        for name in set(METRIC.findall(path.read_text())):
            if name not in documented and re.sub(r"_(bucket|sum|count)$", "", name) not in documented:
                yield f"{path.relative_to(ROOT)}: {name} is not on docs/METRICS.md"


@cache
def help_of(command: tuple[str, ...]) -> str | None:
    asked = subprocess.run([binary("sightline"), *command, "--help"], capture_output=True, text=True)
    return asked.stdout if asked.returncode == 0 else None


def commands() -> Iterator[str]:
    """Every command line that begins with `sightline` is one that the command takes."""
    for path in [*RUNBOOKS, PAGE]:
        for line in re.findall(r"(?:^|`)(sightline [a-z][^`#\n|]*)", path.read_text().replace("\n  ", " "), re.MULTILINE):
            words = line.split()[1:]
            name: tuple[str, ...] = ()
            for word in words:
                if not re.fullmatch(r"[a-z]+", word) or help_of((*name, word)) is None:
                    break
                name = (*name, word)
            text = help_of(name) if name else None
            if text is None:
                yield f"{path.name}: no such command: {line}"
                continue
            if "Commands:" in text:
                yield f"{path.name}: a command of {' '.join(name)} is missing: {line}"
            for flag in [word for word in words if word.startswith("--")]:
                if not re.search(rf"{flag}\b", text):
                    yield f"{path.name}: {' '.join(name)} takes no {flag}"


def links() -> Iterator[str]:
    """Pages that are linked to are there, with their headings."""
    for path in [*RUNBOOKS, PAGE]:
        for target, heading in re.findall(r"\]\(([\w./-]+)?(?:#([\w-]+))?\)", path.read_text()):
            file = path.parent / target if target else path
            if not file.exists():
                yield f"{path.name}: no {target}"
            elif heading:
                titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                if heading not in slugs:
                    yield f"{path.name}: no heading #{heading} in {file.name}"


def main() -> int:
    stale = subprocess.run([sys.executable, ROOT / "helm/dashboards/generate.py", "--check"], capture_output=True, text=True)
    wrong = [*stale.stdout.splitlines(), *stale.stderr.splitlines()]
    for look in (runbooks, panels, metrics, commands, links):
        wrong += look()
    for line in wrong:
        print(f"WRONG {line}", file=sys.stderr)
    print(f"   {len(DASHBOARDS)} dashboards, {len(alerts())} alerts, {len(RUNBOOKS)} runbooks")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        print(f"WRONG {failed}", file=sys.stderr)
        sys.exit(1)
