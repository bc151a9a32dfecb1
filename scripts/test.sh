#!/bin/bash
# All tests that need no GPU, with the time of each step. Stops at the first step that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

export SIGHTLINE_TEST_DATA=${SIGHTLINE_TEST_DATA:-$PWD/../shared/data}
if [ ! -d "$SIGHTLINE_TEST_DATA/models" ]; then
    echo "The tests need the test data: models, clips, expected detections. Set SIGHTLINE_TEST_DATA to it." >&2
    exit 1
fi

started=$SECONDS
step() {
    local name=$1 begun=$SECONDS
    shift
    echo "== $name"
    "$@" || { echo "== $name FAILED after $((SECONDS - begun)) s"; exit 1; }
    echo "== $name: $((SECONDS - begun)) s"
}

step "set-up" scripts/setup.sh test
step "kafka" scripts/kafka.sh
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "control-plane build" cargo check --locked --no-default-features
step "build" cargo test --workspace --locked --no-run
# With the binary of the build above: another set of features would build everything anew.
step "dashboards" env SIGHTLINE_BIN="$PWD/target/debug/sightline" scripts/test-dashboards.sh --pages
# Most tests wait for something most of the time. By what they leave of the cores it is built meanwhile what later steps need.
ahead=$(mktemp)
setsid nice -n 19 sh -c 'scripts/setup.sh chart && scripts/fuzz.sh build' >"$ahead" 2>&1 &
building=$!
trap 'kill -- -"$building" 2>/dev/null || true; rm -f "$ahead"' EXIT
built() { wait "$building" || { cat "$ahead"; return 1; }; }
step "tests" cargo test --workspace --locked --no-fail-fast
step "built ahead" built
step "chart" scripts/test-chart.sh
step "fuzzing" env FUZZ_SEED=1 scripts/fuzz.sh 10
echo "== all: $((SECONDS - started)) s"
