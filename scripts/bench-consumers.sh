#!/bin/sh
# 400,000 frames of 1,000 cameras become events, and the events rows: what it costs, by stages, with the rules in Python beside it.
set -eu
cd "$(dirname "$0")/.."

scripts/kafka.sh
cargo test --release --locked --no-default-features --test consumers_bench -- --ignored --nocapture
