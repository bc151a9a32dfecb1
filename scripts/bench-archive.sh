#!/bin/sh
# Archives 400,000 frames of a real Kafka and prints what a record costs, against reading and parsing alone.
set -eu
cd "$(dirname "$0")/.."

scripts/kafka.sh
cargo test --release --locked --no-default-features --test archive_bench -- --ignored --nocapture
