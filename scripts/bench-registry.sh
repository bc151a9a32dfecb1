#!/bin/sh
# Registers 10,000 cameras on a real Kafka and prints what it took: import, a page of the list, a restart.
set -eu
cd "$(dirname "$0")/.."

scripts/kafka.sh
cargo test --release --locked --test registry_bench -- --ignored --nocapture
