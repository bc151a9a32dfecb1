#!/bin/bash
# Builds the images of docker/ with buildah, runs them as a cluster would (read-only root, no root user), and asserts what
# docs/IMAGES.md says of them. As root on Debian 12; no container engine and no image registry is needed: bases with the names
# of the Dockerfiles' defaults are made by debootstrap. Its record is target/images.log.
#
#   scripts/test-images.sh [--save DIR] [--tag TAG] [services|cpu|cuda]…      default: all three
#
# --save DIR   also writes DIR/sightline-services.tar and DIR/sightline-pipeline.tar (OCI archives, for `ctr images import`):
#              sightline.local/sightline-services:TAG, sightline.local/sightline-pipeline:TAG; the variant cuda is not saved
# --build-only stops after that
#
# What is kept between runs lies under $SIGHTLINE_IMAGES (default .deps/images): images, crates, what was compiled.
set -euo pipefail
cd "$(dirname "$0")/.."

save= tag=test build_only= variants=()
while [ $# -gt 0 ]; do
    case $1 in
    --save) save=$2 && shift ;;
    --tag) tag=$2 && shift ;;
    --build-only) build_only=yes ;;
    services | cpu | cuda) variants+=("$1") ;;
    *) echo "test-images.sh: $1 is not known; see the head of scripts/test-images.sh" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#variants[@]} -gt 0 ] || variants=(services cpu cuda)

if [ "$(id -u)" -ne 0 ]; then
    echo "test-images.sh: debootstrap and chroot need root; run it as root" >&2
    exit 1
fi
scripts/setup.sh images

state=${SIGHTLINE_IMAGES:-$PWD/.deps/images}
mkdir -p "$state" target
state=$(cd "$state" && pwd)
# Layers by the kernel where it has them; copies of whole images elsewhere.
if [ -z "${STORAGE_DRIVER:-}" ]; then
    modprobe -q overlay 2>/dev/null || true
    grep -qw overlay /proc/filesystems && STORAGE_DRIVER=overlay || STORAGE_DRIVER=vfs
fi
export STORAGE_DRIVER BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=oci
# Where `RUN --mount=type=cache` keeps its folders.
export TMPDIR=$state/tmp
mkdir -p "$TMPDIR"
store=(--root "$state/storage" --runroot "$state/run")

source tests/images/bases.sh
for part in tests/images/checks/*.sh; do source "$part"; done

record=target/images.log
[ -n "$build_only" ] || : >"$record"
# A line of the record.
note() { echo "$*" | tee -a "$record"; }
fail() { echo "test-images.sh: $*" >&2 && exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

# The image of a variant, by the name that this test gives it.
image() { case $1 in services) echo localhost/sightline-services:test ;; *) echo "localhost/sightline-pipeline:test-$1" ;; esac; }

build() {
    local variant=$1 begun=$SECONDS file=docker/pipeline.Dockerfile
    local target=(--target "$variant")
    [ "$variant" != services ] || { file=docker/services.Dockerfile && target=(); }
    echo "== build $variant"
    buildah bud "${store[@]}" --layers --pull-never -f "$file" "${target[@]}" -t "$(image "$variant")" \
        --build-arg VERSION="$version" --build-arg REVISION="$revision" . >"target/image-$variant.log" 2>&1 || {
        tail -40 "target/image-$variant.log" >&2
        fail "$variant was not built; the whole of it is in target/image-$variant.log"
    }
    [ -n "$build_only" ] || note "$variant: built in $((SECONDS - begun)) s"
}

bases
for variant in "${variants[@]}"; do
    build "$variant"
done

if [ -n "$save" ]; then
    mkdir -p "$save"
    for variant in "${variants[@]}"; do
        case $variant in services) name=sightline-services ;; cpu) name=sightline-pipeline ;; *) continue ;; esac
        rm -f "$save/$name.tar"
        buildah push -q "${store[@]}" "$(image "$variant")" "oci-archive:$save/$name.tar:sightline.local/$name:$tag"
        echo "$save/$name.tar: sightline.local/$name:$tag"
    done
fi
[ -z "$build_only" ] || exit 0

command -v go >/dev/null || fail "no Go here, and the reader of docker/compose.yaml is built with it; install it (https://go.dev/dl)"
(cd tests/images/compose && go build -trimpath -o "$state/compose" .)

note "buildah $(buildah --version | cut -d' ' -f3), storage $STORAGE_DRIVER; Debian $(cat /etc/debian_version); revision $revision"
for variant in "${variants[@]}"; do
    check "$variant"
done
has() { [[ " ${variants[*]} " == *" $1 "* ]]; }
if has services && has cpu; then together; fi
echo "== all: $SECONDS s; the record is $record"
