#!/bin/bash
# The tests that take long: what `make test` runs for a minute or two each, for as long as it takes, with its record kept in
# target/NAME.log. `scripts/soak.sh NAME…` runs some of them.
set -euo pipefail
cd "$(dirname "$0")/.."

# Twelve cameras, with a fault every 20 s.
soak() {
    SOAK_SECONDS=${SOAK_SECONDS:-3600} SOAK_EVERY=${SOAK_EVERY:-20} run soak
}

# Consumers, Kafka and the database die for five minutes; eight cameras' events against the truth.
consumers() {
    EVENT_SECONDS=${EVENT_SECONDS:-300} EVENT_CAMERAS=${EVENT_CAMERAS:-8} run consumers
}

# A pipeline is killed every minute; then all are rolled, four times over.
pipelines_die() {
    DEATH_SECONDS=${DEATH_SECONDS:-390} DEATH_EVERY=${DEATH_EVERY:-60} ROLL_ROUNDS=${ROLL_ROUNDS:-4} run pipelines_die
}

# Workers die over forty recordings.
jobs() {
    JOB_FILES=${JOB_FILES:-40} JOB_KILLS=${JOB_KILLS:-12} run jobs proof::
}

# A recording of ten hours.
hours() {
    JOB_HOURS=${JOB_HOURS:-10} run jobs a_long_recording
}

# Fails where the test does. `run TEST [FILTER]`
run() {
    local log=target/${FUNCNAME[1]}.log
    cargo test --release --locked --test "$1" -- --nocapture --test-threads 1 "${@:2}" | tee "$log"
    echo "the record is $log"
}

scripts/kafka.sh
cargo build --release --locked --examples
[ $# -gt 0 ] || set -- consumers pipelines_die jobs hours soak
for name in "$@"; do
    "$name"
done
