#!/bin/bash
# Builds Kubernetes, etcd, KEDA and the lag tool from their Go modules, by package path from small go.mods of our own
# (`go install` refuses modules with replace lines). About 30 CPU minutes once; kept in $SIGHTLINE_CLUSTER/built,
# by the hash of what asked for them, so that a change rebuilds its own module alone.
set -euo pipefail
. "$(dirname "$0")/env.sh"
export GOFLAGS='-buildvcs=false -mod=mod' CGO_ENABLED=0

kubernetes=1.37.2
keda=2.21.0

command -v go >/dev/null || {
    echo "build.sh: no Go here. Install it (https://go.dev/dl), then run this again." >&2
    exit 1
}

# Versions stamped in, as releases have them: charts and KEDA look at them.
stamps() {
    local package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- '-X %s.gitVersion=v%s -X %s.gitMajor=%s -X %s.gitMinor=%s ' \
            $package $kubernetes $package "${kubernetes%%.*}" $package "$(cut -d. -f2 <<<$kubernetes)"
        printf -- '-X %s.gitCommit=%040d -X %s.gitTreeState=clean -X %s.buildDate=2026-11-01T00:00:00Z ' \
            $package 0 $package $package
    done
}

build_kube() {
    go build -trimpath -ldflags "-s -w $(stamps)" -o "$1/" \
        k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubectl,kubelet,kube-proxy} ./etcd
}

build_keda() {
    local module=github.com/kedacore/keda/v2
    go build -trimpath -ldflags "-s -w -X $module/version.Version=$keda" -o "$1/" $module/cmd/{operator,adapter}
    mv "$1/operator" "$1/keda-operator"
    mv "$1/adapter" "$1/keda-adapter"
    cp -r "$(go list -m -f '{{.Dir}}' $module)/config/crd/bases" "$1/keda-crds"
    chmod -R u+w "$1/keda-crds"
}

build_lagtool() {
    go build -trimpath -ldflags '-s -w' -o "$1/lagtool" .
}

for module in kube keda lagtool; do
    asked=$({ cd "$here/go/$module" && find . -type f | sort | xargs sha256sum; declare -f "build_$module" stamps; echo $kubernetes $keda; } | sha256sum | cut -c1-16)
    built=$state/built/$module-$asked
    if [ ! -d "$built" ]; then
        echo "building $module" >&2
        work=$state/built/$module.work
        rm -rf "$work"
        mkdir -p "$work/out"
        # A copy: -mod=mod may touch go.sum.
        cp -r "$here/go/$module" "$work/source"
        (cd "$work/source" && "build_$module" "$work/out")
        mv "$work/out" "$built"
        rm -rf "$work"
    fi
    for program in "$built"/*; do
        ln -sfn "$program" "$bin/$(basename "$program")"
    done
done
[ -x "$bin/pause" ] || cc -Os -static -o "$bin/pause" "$here/pause.c"
