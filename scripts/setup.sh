#!/bin/sh
# Installs what is missing: Debian packages (as root; otherwise says which, and stops) and the ONNX Runtime
# library. `setup.sh test` also what the tests need; `setup.sh chart`, `setup.sh images` and `setup.sh cluster` what the tests of the
# chart, of the images or on a real cluster need, and nothing else. Quick when everything is there.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
test) lists="$root/scripts/packages.txt $root/scripts/packages-test.txt" ;;
chart) lists=$root/scripts/packages-chart.txt ;;
images) lists=$root/scripts/packages-images.txt ;;
cluster) lists=$root/scripts/packages-cluster.txt ;;
*) lists=$root/scripts/packages.txt ;;
esac

missing=
# shellcheck disable=SC2086 # a list of files
for package in $(sed 's/#.*//' $lists); do
    # A newer JDK, a Maven or a Python that came another way will do.
    case $package in
    default-jdk-headless) command -v java >/dev/null && continue ;;
    maven) command -v mvn >/dev/null && continue ;;
    python3-venv) python3 -c 'import ensurepip' >/dev/null 2>&1 && continue ;;
    postgresql) ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && command -v psql >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done

if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "These packages are missing. Install them as root, then run this again:" >&2
        echo "  apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # A run beside ours may hold the lock for a while.
    apt-get -q -o DPkg::Lock::Timeout=300 update
    # shellcheck disable=SC2086
    apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing
fi

# A venv does not move: one that is not finished has no installed.txt, and is made anew.
venv() {
    list=$root/scripts/$1.txt
    deps=$root/.deps/$1
    if ! cmp -s "$list" "$deps/installed.txt"; then
        echo "fetching $2 for the tests"
        rm -rf "$deps"
        python3 -m venv "$deps"
        "$deps/bin/pip" install -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r "$list"
        cp "$list" "$deps/installed.txt"
    fi
}

[ "${1:-}" != cluster ] || exit 0
if [ "${1:-}" = chart ]; then
    mkdir -p "$root/.deps"
    venv chart PyYAML
    "$root/scripts/chart-tools.sh"
    exit 0
fi
if [ "${1:-}" = images ]; then
    mkdir -p "$root/.deps"
    venv images-checks "a validator of CycloneDX"
    exit 0
fi

if ! command -v cargo >/dev/null; then
    echo "No Rust here. Install rustup (https://rustup.rs), then run this again." >&2
    exit 1
fi

deps=$root/.deps/onnxruntime
want=$(sed -n 's/^onnxruntime==\([^ ]*\).*/\1/p' "$root/scripts/onnxruntime.txt")
if [ ! -f "$deps/libonnxruntime.so.$want" ]; then
    echo "fetching ONNX Runtime $want"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 \
        -d "$work" -r "$root/scripts/onnxruntime.txt"
    mkdir -p "$deps"
    rm -f "$deps"/libonnxruntime.so.*
    unzip -q -o -j "$work"/onnxruntime-*.whl 'onnxruntime/capi/libonnxruntime.so*' -d "$work/lib"
    mv "$work/lib/libonnxruntime.so.$want" "$deps/"
    rm -rf "$work"
fi

[ "${1:-}" = test ] || exit 0

list=$root/scripts/aio-rtsp-toolkit.txt
deps=$root/.deps/aio-rtsp-toolkit
if ! cmp -s "$list" "$deps/installed.txt"; then
    echo "fetching an RTSP server for the tests"
    work=$(mktemp -d "$root/.deps/aio-rtsp-toolkit.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 -m pip install -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --target "$work" -r "$list"
    cp "$list" "$work/installed.txt"
    chmod 755 "$work"
    rm -rf "$deps"
    mv "$work" "$deps"
fi

venv schemathesis schemathesis
venv oracle shapely
venv archive-readers "DuckDB and pandas"
venv dashboards matplotlib

# A real S3 server, Apache-2.0.
version=v1.8.0
deps=$root/.deps/versitygw
if [ "$(cat "$deps/version" 2>/dev/null)" != "$version" ]; then
    command -v go >/dev/null || {
        echo "No Go here, and the tests' S3 server wants it. Install it (https://go.dev/dl), then run this again." >&2
        exit 1
    }
    echo "building an S3 server for the tests"
    mkdir -p "$deps"
    GOBIN=$deps GOFLAGS=-trimpath go install "github.com/versity/versitygw/cmd/versitygw@$version"
    echo "$version" >"$deps/version"
fi
