#!/bin/sh
# Recordings worked off by two workers, against `sightline bench` on the same file, from disk and from an S3 server; then what a killed worker
# costs. `BENCH_MODEL` and `BENCH_VIDEO` take other files than the sample's.
set -eu
cd "$(dirname "$0")/.."

scripts/setup.sh test
scripts/kafka.sh
cargo test --release --locked --test jobs -- --ignored --nocapture --test-threads 1 speed::
