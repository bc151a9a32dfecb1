#!/bin/sh
# Runs eight looped cameras for a while (SOAK_MINUTES, default 30) and checks what a short test can't: that memory and
# threads stay where they were, that every account closes, and that order holds.
set -eu
cd "$(dirname "$0")/.."

minutes=${SOAK_MINUTES:-30}
cargo build --release --locked
work=$(mktemp -d)
trap 'kill "$up" "$reader" 2>/dev/null || true; rm -rf "$work"' EXIT
up= reader=

inputs=
for _ in 1 2 3 4 5 6 7 8; do inputs="$inputs samples/junction.mp4"; done
# shellcheck disable=SC2086 # a list
target/release/sightline up $inputs --model samples/junction.onnx --fps 5 --http 127.0.0.1:0 2>"$work/log" &
up=$!
tries=0
until grep -q 'kcat -C' "$work/log"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat "$work/log" >&2; exit 1; }
    sleep 0.2
done
broker=$(sed -n 's/.*kcat -C -q -b \([^ ]*\) -t sightline.detections .*/\1/p' "$work/log" | head -1)
kcat -C -q -u -b "$broker" -t sightline.detections -o beginning >"$work/records" &
reader=$!

echo "minute rss_kib threads records"
end=$(($(date +%s) + minutes * 60))
while [ "$(date +%s)" -lt "$end" ]; do
    sleep 60
    kill -0 "$up" || { echo "sightline ended by itself" >&2; exit 1; }
    rss=$(sed -n 's/VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$up/status")
    threads=$(sed -n 's/Threads:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$up/status")
    echo "$(((minutes * 60 - end + $(date +%s)) / 60)) $rss $threads $(wc -l <"$work/records")" | tee -a "$work/minutes"
done
kill -INT "$up"
wait "$up"
python3 scripts/soak_check.py "$work/records" "$work/minutes"
