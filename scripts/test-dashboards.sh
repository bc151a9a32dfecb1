#!/bin/sh
# Dashboards, alerts and runbooks: against each other, by promtool, and against real programs under load (docs/OBSERVABILITY.md).
# --pages stops before the programs; --pictures DIR draws the dashboards, too.
set -eu
cd "$(dirname "$0")/.."

scripts/setup.sh test
scripts/kafka.sh
if [ -z "${SIGHTLINE_BIN:-}" ]; then
    cargo build --locked --workspace --bins --examples
fi
echo "-- pages"
python3 tests/dashboards/pages.py
echo "-- rules"
promtool check rules helm/sightline/rules/sightline.yaml
promtool test rules tests/dashboards/rules.test.yaml
[ "${1:-}" != --pages ] || exit 0
echo "-- real programs"
exec .deps/dashboards/bin/python tests/dashboards/check.py "$@"
