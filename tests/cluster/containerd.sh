#!/bin/bash
# containerd.sh NODE: Debian's containerd 1.6 of a node, with the CRI plugin, pods on the bridge (bridge.sh), and the
# local images.
set -euo pipefail
. "$(dirname "$0")/env.sh"
name=$1
root_of=$live/$name/containerd
mkdir -p "$root_of" "$live/cni"

cat >"$root_of/config.toml" <<Y
version = 2
root = "$root_of/root"
state = "$root_of/state"
[grpc]
  address = "$run/$name.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "sightline.local/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$live/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
Y
cat >"$live/cni/10-sightline.conflist" <<Y
{"cniVersion": "1.0.0", "name": "sightline", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_cidr", "rangeStart": "$first_pod_ip"}]],
            "routes": [{"dst": "$service_cidr"}], "dataDir": "$run/cni-ipam"}},
  {"type": "loopback"}]}
Y
start "containerd-$name" containerd --config "$root_of/config.toml"
wait_for 600 ctr -a "$run/$name.sock" version
for archive in "$images"/*.tar; do
    import "$name" "$archive"
done
