#!/bin/sh
# Builds an OpenTelemetry collector for `make test-traces`: OTLP in, OTLP out. Quick when it is there.
set -eu

version=0.165.0
root=$(cd "$(dirname "$0")/.." && pwd)
deps=$root/.deps/otel-collector
[ "$(cat "$deps/version" 2>/dev/null)" = "$version" ] && exit 0

command -v go >/dev/null || {
    echo "No Go here, and the tests' OpenTelemetry collector wants it. Install it (https://go.dev/dl), then run this again." >&2
    exit 1
}
echo "building an OpenTelemetry collector for the tests: some minutes, once"
mkdir -p "$deps"
GOBIN=$deps GOFLAGS=-trimpath go install "go.opentelemetry.io/collector/cmd/builder@v$version"
cat >"$deps/manifest.yaml" <<END
dist:
  name: otelcol
  description: OTLP in and out
  output_path: $deps/build
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v$version
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter v$version
END
"$deps/builder" --config "$deps/manifest.yaml"
mv "$deps/build/otelcol" "$deps/otelcol"
rm -rf "$deps/build" "$deps/builder"
echo "$version" >"$deps/version"
