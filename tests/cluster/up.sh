#!/bin/bash
# The whole cluster: certificates, control plane, nodes, KEDA; and Kafka and PostgreSQL beside it. Says when each was there.
# What failed or was there before goes first.
set -euo pipefail
. "$(dirname "$0")/env.sh"
begun=$(date +%s.%N)
done_at() { awk -v what="$1" -v from="$begun" -v to="$(date +%s.%N)" 'BEGIN { printf "%6.1f s  %s\n", to - from, what }'; }

"$here/down.sh"
mkdir -p "$live" "$pki" "$conf" "$run" "$logs"
rm -f "$logs"/*.log
# Pods' network namespaces of others stay when ours go.
ls -d /run/netns/cni-* >"$run/netns-before" 2>/dev/null || true
"$here/pki.sh"
"$here/bridge.sh"
done_at certificates
"$here/kafka.sh" & kafka=$!
"$here/postgres.sh" & postgres=$!
"$here/control-plane.sh"
done_at "control plane"
number=0
for name in "${nodes[@]}"; do
    number=$((number + 1))
    "$here/containerd.sh" "$name"
    "$here/node.sh" "$name" $number
    done_at "$name"
done
"$here/kube-proxy.sh"
done_at kube-proxy
"$here/keda.sh" >"$logs/keda.log"
done_at KEDA
wait $kafka
done_at Kafka
wait $postgres
done_at PostgreSQL
