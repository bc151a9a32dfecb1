#!/bin/bash
# Archives into Google Cloud Storage and Azure Blob Storage, and recorded video from there, on emulators of both; what was archived is
# read back by Google's and Microsoft's own clients. Not part of `make test`: the emulators are large. Makes what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh test
scripts/kafka.sh

for tool in go npm; do
    command -v "$tool" >/dev/null || {
        echo "The emulators want $tool. Install Go (https://go.dev/dl) and Node.js (https://nodejs.org), then run this again." >&2
        exit 1
    }
done

# Google Cloud Storage: fake-gcs-server, BSD-2-Clause.
version=v1.56.1
deps=$PWD/.deps/fake-gcs-server
if [ "$(cat "$deps/version" 2>/dev/null)" != "$version" ]; then
    echo "building an emulator of Google Cloud Storage"
    mkdir -p "$deps"
    GOBIN=$deps GOFLAGS=-trimpath go install "github.com/fsouza/fake-gcs-server@$version"
    echo "$version" >"$deps/version"
fi

# Azure Blob Storage: Azurite, MIT. Its packages' own scripts are not run: it needs none.
version=3.37.0
deps=$PWD/.deps/azurite
if [ "$(cat "$deps/version" 2>/dev/null)" != "$version" ]; then
    echo "fetching an emulator of Azure Blob Storage"
    rm -rf "$deps"
    mkdir -p "$deps"
    npm install --prefix "$deps" --ignore-scripts --no-audit --no-fund --loglevel error "azurite@$version"
    echo "$version" >"$deps/version"
fi

# The clouds' own clients.
list=scripts/cloud-clients.txt
deps=.deps/cloud-clients
if ! cmp -s "$list" "$deps/installed.txt"; then
    echo "fetching the clients of both clouds"
    rm -rf "$deps"
    python3 -m venv "$deps"
    "$deps/bin/pip" install -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r "$list"
    cp "$list" "$deps/installed.txt"
fi

cargo test --locked --test clouds -- --ignored --nocapture --test-threads 1
