#!/bin/bash
# What the proof is made of, and on what machine.
set -euo pipefail
. "$(dirname "$0")/env.sh"
required() { sed -n "s|^\s*$2 v\(\S*\).*|\1|p" "$here/go/$1/go.mod" | head -1; }
debian() { dpkg-query -W -f '${Version}' "$1"; }
cat <<V
Sightline $(cd "$root" && git describe --always --dirty 2>/dev/null || echo unknown), images of $([ -n "${FROM_IMAGES:-}" ] && echo docker/ || echo "the release build")
Kubernetes $(kubectl version --client -o json | sed -n 's/.*"gitVersion": "v\(.*\)",/\1/p' | head -1), etcd $(required kube go.etcd.io/etcd/server/v3), KEDA $(required keda github.com/kedacore/keda/v2), helm $("$root/.deps/chart-tools/bin/helm" version --template '{{.Version}}' | tr -d v)
Apache Kafka $(ls "$root/.deps/kafka/libs" | sed -n 's/^kafka-clients-\(.*\)\.jar/\1/p'), PostgreSQL $(psql --version | awk '{ print $3 }')
containerd $(debian containerd), runc $(debian runc), CNI plugins $(debian containernetworking-plugins)
$(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r)

V
