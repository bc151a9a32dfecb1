#!/bin/bash
# The bridge that all pods are on. Its address is that of the nodes, and of all that runs beside them: nothing here uses another
# interface, so this comes first.
set -euo pipefail
. "$(dirname "$0")/env.sh"
ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
ip addr show dev "$bridge" | grep -q "$node_ip/" || ip addr add "$node_ip/24" dev "$bridge"
ip link set "$bridge" up
# Of processes beside the cluster, to services.
ip route replace "$service_cidr" dev "$bridge" src "$node_ip"
echo 1 >/proc/sys/net/ipv4/ip_forward
# Replies between two pods of one bridge must pass conntrack.
modprobe br_netfilter 2>/dev/null || true
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
