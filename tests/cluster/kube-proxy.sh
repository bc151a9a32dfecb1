#!/bin/bash
# Services' addresses, for pods and for processes beside them.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cat >"$conf/proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $conf/admin.conf}
clusterCIDR: $pod_cidr
hostnameOverride: ${nodes[0]}
bindAddress: $node_ip
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: [$node_ip/32]
conntrack: {maxPerCore: 0, min: 0}
Y
start kube-proxy kube-proxy --config="$conf/proxy.yaml"
wait_for 600 curl -sf http://127.0.0.1:10256/healthz
