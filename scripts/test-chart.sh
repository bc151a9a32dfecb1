#!/bin/bash
# The chart's tests: every variant linted, rendered and held against the schemas of those who read it; what can't work refused;
# what holds of the manifests asserted.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh chart
# Helm looks for nothing outside.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HELM_CACHE_HOME=$home HELM_CONFIG_HOME=$home HELM_DATA_HOME=$home
cd tests/chart
../../.deps/chart/bin/python -B -m unittest "${@:-discover}"
