#!/bin/sh
# What one more 720p camera by RTSP costs in memory: `sightline up` with few cameras and with many, once their
# resident memory has settled. A measurement, not a test.
#
# With as many cameras as cores, decoders run with one thread each; fewer would flatter the difference.
#
#   scripts/bench-memory.sh [CLIP [MODEL]]       environment: FEW=2 MANY=10 SECONDS_EACH=40 TARGET=target/release
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
clip=${1:-$root/samples/junction.mp4}
model=${2:-$root/samples/junction.onnx}
few=${FEW:-2} many=${MANY:-10} seconds=${SECONDS_EACH:-40} target=${TARGET:-$root/target/release}
[ -n "${TARGET:-}" ] || cargo build --manifest-path "$root/Cargo.toml" --release --locked --bin sightline --example test-camera
work=$(mktemp -d)
camera= process=
cleanup() {
    for pid in $camera $process; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT INT TERM

# The camera ends with its standard input.
mkfifo "$work/hold"
"$target/examples/test-camera" "$clip" --loops forever --transport tcp <"$work/hold" >"$work/camera" &
camera=$!
exec 9>"$work/hold"
until grep -q '^port ' "$work/camera"; do sleep 0.1; done
uri="rtsp://127.0.0.1:$(sed -n 's/^port //p' "$work/camera")/cam"

resident() { # of that many cameras, in KiB
    set --
    n=$count
    while [ "$n" -gt 0 ]; do set -- "$@" "$uri"; n=$((n - 1)); done
    "$target/sightline" up "$@" --model "$model" --fps 1 --http 127.0.0.1:0 2>"$work/said" >/dev/null &
    process=$!
    sleep "$seconds"
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$process/status"
    kill -TERM "$process"
    wait "$process" || true
    process=
}

count=$few; before=$(resident)
count=$many; after=$(resident)
echo "$few cameras: $((before / 1024)) MiB, $many cameras: $((after / 1024)) MiB"
echo "each further camera: $(((after - before) / (many - few) / 102)) tenths of a MiB" |
    sed 's/\([0-9]*\)\([0-9]\) tenths of a MiB/\1.\2 MiB/'
