#!/bin/bash
# The chart on a real cluster: builds Kubernetes, etcd and KEDA (once), the images, and what judges; brings all of it up, plays the
# scenes of tests/cluster/scenes, and takes it away again. Its record is target/cluster.log. Names of scenes play those alone;
# KEEP=1 leaves the cluster up.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
    echo "A cluster's nodes need root: containers, network namespaces and cgroups. Run this as root, on a machine that is yours." >&2
    exit 1
fi
scripts/setup.sh test
scripts/setup.sh chart
scripts/setup.sh cluster
scripts/kafka.sh
tests/cluster/build.sh
# Together, so that what they share is compiled once.
cargo build --release --locked -p sightline -p sightline-cluster-judge --bin sightline --bin sightline-cluster-judge --example test-camera
tests/cluster/images.sh

down() { [ -n "${KEEP:-}" ] || tests/cluster/down.sh; }
trap down EXIT
mkdir -p target
{
    tests/cluster/versions.sh
    tests/cluster/up.sh
    PYTHONDONTWRITEBYTECODE=1 tests/cluster/prove.py "$@"
} | tee target/cluster.log
