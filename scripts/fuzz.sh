#!/bin/bash
# Feeds what is read from outside with whatever libFuzzer comes upon: `fuzz.sh SECONDS [TARGET…]`, each target for so
# long; `fuzz.sh build` builds them alone. A finding stops it, and lies in fuzz/findings. What is worth keeping goes into fuzz/corpus by hand. FUZZ_SEED
# chooses the chance; 0 is another each time.
#
# The compiler is the stable one: the coverage that libFuzzer steers by is LLVM's, and needs no sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
if [ $# -eq 0 ]; then
    set -- $(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | grep -v sightline-fuzz)
fi

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
# With --target the flags leave build scripts alone.
export RUSTFLAGS="$coverage --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
cargo build --manifest-path fuzz/Cargo.toml --locked --target "$host" --target-dir fuzz/target
[ "$seconds" != build ] || exit 0

mkdir -p fuzz/findings
for target in "$@"; do
    echo "== $target"
    found=fuzz/target/corpus/$target
    mkdir -p "$found"
    # A memory limit and a time limit for one input: what is read must not be a bomb either.
    "fuzz/target/$host/debug/$target" -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -rss_limit_mb=2048 -timeout=10 -max_len=4096 \
        -artifact_prefix="fuzz/findings/$target-" "$found" "fuzz/corpus/$target"
done
