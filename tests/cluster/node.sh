#!/bin/bash
# node.sh NODE NUMBER: a real kubelet on its containerd (containerd.sh first). Nodes share the machine and its address; ports and
# cgroups are each its own.
set -euo pipefail
. "$(dirname "$0")/env.sh"
name=$1 number=$2
mkdir -p "$live/$name/kubelet" "$live/$name/podlogs"
# Two kubelets in one cgroup would end each other's pods.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$name"
else
    for controller in /sys/fs/cgroup/*/; do
        [ ! -e "$controller/cgroup.procs" ] || mkdir -p "$controller/$name"
    done
    # A new cpuset has neither cores nor memory, and takes no process.
    for file in cpuset.cpus cpuset.mems; do
        cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$name/$file"
    done
fi
cat >"$live/$name/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
port: $((10250 + 20 * (number - 1)))
healthzPort: $((10248 + 20 * (number - 1)))
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/$name-server.crt
tlsPrivateKeyFile: $pki/$name-server.key
healthzBindAddress: 127.0.0.1
cgroupRoot: /$name
cgroupDriver: cgroupfs
# Debian 12 in a virtual machine may still have the old hierarchy.
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$run/$name.sock
resolvConf: ""
podLogsDir: $live/$name/podlogs
volumePluginDir: $live/$name/kubelet/volumeplugins
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 99
imageGCLowThresholdPercent: 98
syncFrequency: 10s
maxPods: 60
Y
start "kubelet-$name" kubelet --config="$live/$name/kubelet.yaml" --kubeconfig="$conf/$name.conf" \
    --root-dir="$live/$name/kubelet" --hostname-override="$name" --node-ip="$node_ip" --v=2
wait_for 600 kubectl wait --for=condition=Ready "node/$name" --timeout=5s
