#!/bin/bash
# Ends all that up.sh started, by pid, with mounts, network namespaces, bridge and cgroups. What was built stays, and the logs.
. "$(dirname "$0")/env.sh"
for name in keda-adapter keda-operator kube-proxy; do stop $name; done
for name in "${nodes[@]}"; do
    stop "kubelet-$name"
    ctr=(timeout 60 ctr -a "$run/$name.sock" -n k8s.io)
    [ -S "$run/$name.sock" ] || { stop "containerd-$name"; continue; }
    for task in $("${ctr[@]}" tasks ls -q 2>/dev/null); do "${ctr[@]}" tasks kill -s KILL "$task" 2>/dev/null; done
    sleep 1
    for task in $("${ctr[@]}" tasks ls -q 2>/dev/null); do "${ctr[@]}" tasks rm -f "$task" >/dev/null 2>&1; done
    for container in $("${ctr[@]}" containers ls -q 2>/dev/null); do "${ctr[@]}" containers rm "$container" >/dev/null 2>&1; done
    stop "containerd-$name"
done
for name in kube-scheduler kube-controller-manager kube-apiserver etcd kafka postgres; do stop $name; done
# Of the pods: mounts below our folder, the network namespaces that the CRI made, cgroups.
awk -v under="$live/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n1 umount -l 2>/dev/null
for namespace in /run/netns/cni-*; do
    [ -e "$namespace" ] && [ -e "$run/netns-before" ] || continue
    ! grep -qxF "$namespace" "$run/netns-before" || continue
    umount -l "$namespace" 2>/dev/null
    rm -f "$namespace"
done
ip link del "$bridge" 2>/dev/null
for family in ip ip6; do nft delete table $family kube-proxy 2>/dev/null; done
for name in "${nodes[@]}"; do
    for controller in "/sys/fs/cgroup/$name" /sys/fs/cgroup/*/"$name"; do
        [ ! -d "$controller" ] || find "$controller" -depth -type d -exec rmdir {} + 2>/dev/null
    done
done
rm -rf "$live"
true
