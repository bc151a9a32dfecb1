#!/bin/sh
# Twelve cameras for an hour, with a fault every 20 s: tests/soak, which `make test` runs for 90 s, with its record kept.
set -eu
cd "$(dirname "$0")/.."

scripts/kafka.sh
cargo build --release --locked --examples
SOAK_SECONDS=${SOAK_SECONDS:-3600} SOAK_EVERY=${SOAK_EVERY:-20} \
    cargo test --release --locked --test soak -- --nocapture | tee target/soak.log
echo "the record is target/soak.log"
