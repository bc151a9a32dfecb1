#!/bin/sh
# Measures what docs/PERFORMANCE.md records, with the baselines in the same run. Takes about ten quiet minutes.
#
#   BENCH_MODEL  a YOLO26n export, dynamic=True (default: made here by scripts/bench_reference.py, which needs
#                the Python packages ultralytics, torch, onnx, onnxruntime)
#   BENCH_VIDEO  a 1080p H.264 file (default: the test data's retail clip, encoded anew)
set -eu
cd "$(dirname "$0")/.."

data=${SIGHTLINE_TEST_DATA:-$PWD/../shared/data}
work=.deps/bench
mkdir -p "$work"
video=${BENCH_VIDEO:-$work/1080p.mp4}
model=${BENCH_MODEL:-$work/yolo26n.onnx}

if [ ! -f "$video" ]; then
    ffmpeg -v error -y -i "$data/clips/retail02_a.mp4" -c:v libx264 -preset medium -b:v 4M -an "$video"
fi
[ -f "$model" ] || python3 scripts/bench_reference.py export "$model"

cargo build --release --locked
echo "== the product, against the limit of the machine"
target/release/sightline bench --model "$model" --video "$video"
if python3 -c 'import ultralytics' 2>/dev/null; then
    echo "== Ultralytics predict, same file, same weights"
    python3 scripts/bench_reference.py predict "$model" "$video"
else
    echo "== Ultralytics is not installed: its predict is left out"
fi
echo "== the parts alone"
cargo bench --locked -p sightline-pipeline
