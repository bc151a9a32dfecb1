#!/bin/sh
# What docs/sizing.py counts with and no other bench measures: bytes on Kafka, series of Prometheus, the registry's memory.
set -eu
cd "$(dirname "$0")/.."

scripts/kafka.sh
cargo build --release --locked
exec python3 -B scripts/bench_sizing.py target/release/sightline
