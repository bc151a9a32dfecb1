#!/usr/bin/env python3
"""Writes helm/sightline/dashboards/*.json; with --check only says which of them are not what the code gives.

Needs Python 3.11 and nothing else."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import fleet
import seen
from grafana import Dashboard

import consumers
import pipeline

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "sightline" / "dashboards"


def dashboards() -> list[Dashboard]:
    """All, each with links to the others."""
    all_of_them = [fleet.DASHBOARD, pipeline.DASHBOARD, consumers.DASHBOARD, seen.DASHBOARD]
    return [
        dataclasses.replace(one, others=tuple((other.uid, other.title) for other in all_of_them if other is not one))
        for one in all_of_them
    ]


def files() -> dict[Path, str]:
    return {
        FOLDER / f"{dashboard.uid}.json": json.dumps(dashboard.json(), indent=1, ensure_ascii=False) + "\n"
        for dashboard in dashboards()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    wanted = files()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    stale += [path for path in FOLDER.glob("*.json") if path not in wanted]
    if check:
        for path in stale:
            print(f"{path.relative_to(FOLDER.parent.parent.parent)} is not what helm/dashboards gives; run make dashboards")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
