# Settings that the scripts of this folder share; source it. Everything lives below $SIGHTLINE_CLUSTER.
# shellcheck shell=bash disable=SC2034 # used by those who source it

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
state=${SIGHTLINE_CLUSTER:-$root/.deps/cluster}
bin=$state/bin      # links into the cache of built programs
images=$state/images # OCI archives that the node imports
live=$state/live    # of one run of the cluster: gone after down.sh
pki=$live/pki
conf=$live/conf
run=$live/run       # pids, sockets
logs=$state/logs    # stay after down.sh

nodes=(sightline-node-1 sightline-node-2) # two, so that one can be drained
bridge=sightline0
node_ip=10.244.0.1 # the bridge's: nodes, API server, Kafka, PostgreSQL and cameras for pods and processes beside them
pod_cidr=10.244.0.0/24
first_pod_ip=10.244.0.10
service_cidr=10.96.0.0/16
api=https://$node_ip:6443
bootstrap=$node_ip:29092
database_password=correct-horse-battery

export KUBECONFIG=$conf/admin.conf
export PATH=$bin:$PATH
mkdir -p "$bin" "$images" "$pki" "$conf" "$run" "$logs"

# start NAME COMMAND...: in a session of its own, its pid in $run/NAME.pid, its output in $logs/NAME.log.
start() {
    local name=$1
    shift
    setsid nohup "$@" >>"$logs/$name.log" 2>&1 </dev/null &
    echo $! >"$run/$name.pid"
}

# stop NAME: ends that process by its pid, and waits for it.
stop() {
    local pid
    pid=$(cat "$run/$1.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$run/$1.pid"
}

# import NODE ARCHIVE: an image into the node's containerd.
import() { ctr -a "$run/$1.sock" -n k8s.io images import "$2" >>"$logs/import.log" 2>&1; }

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "timed out waiting for: $*" >&2
            return 1
        fi
        sleep 0.5
    done
}
