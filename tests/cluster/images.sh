#!/bin/bash
# The images that the nodes import, as OCI archives in $SIGHTLINE_CLUSTER/images: the sandbox, and Sightline's as version `one`, and `two`
# that differs by a file. FROM_IMAGES names a folder where `scripts/test-images.sh --save` put those of docker/; without it one image
# for both is made of Debian's packages and the release build.
set -euo pipefail
. "$(dirname "$0")/env.sh"
parts=$state/image
mkdir -p "$parts"

if [ ! -e "$images/pause.tar" ]; then
    mkdir -p "$parts/pause/bin"
    cp "$bin/pause" "$parts/pause/bin/"
    "$here/mkimage.py" sightline.local/pause:1 "$images/pause.tar" '{"Entrypoint": ["/bin/pause"]}' "$parts/pause"
fi

for version in one two; do
    mkdir -p "$parts/$version/opt/sightline"
    echo $version >"$parts/$version/opt/sightline/version"
done
if [ -n "${FROM_IMAGES:-}" ]; then
    rm -f "$images"/sightline-*.tar
    for name in services pipeline; do
        for version in one two; do
            "$here/mkimage.py" "sightline.local/sightline-$name:$version" "$images/sightline-$name-$version.tar" \
                "from $FROM_IMAGES/sightline-$name.tar" "$parts/$version"
        done
    done
    exit
fi
# Those would come later by their names, and take the place of what is made here.
rm -f "$images"/sightline-{services,pipeline}-*.tar

# What it needs to run: plugins that decode, OpenCV's two libraries, SASL and TLS.
packages='ca-certificates glib-networking gstreamer1.0-libav gstreamer1.0-plugins-bad gstreamer1.0-plugins-base
    gstreamer1.0-plugins-good libcurl4 libopencv-core406 libopencv-imgproc406 libsasl2-2 libsasl2-modules libssl3'
if [ ! -e "$parts/root.packages" ] || [ "$(cat "$parts/root.packages")" != "$packages" ]; then
    echo "making a root file system" >&2
    base=$parts/root
    rm -rf "$base" "$images"/sightline-*.tar
    {
        debootstrap --variant=minbase bookworm "$base"
        cp /etc/resolv.conf /etc/hosts "$base/etc/"
        # shellcheck disable=SC2086 # a list
        chroot "$base" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
    } >"$logs/debootstrap.log" 2>&1 || { tail -20 "$logs/debootstrap.log" >&2; exit 1; }
    rm -rf "$base"/var/cache/apt "$base"/var/lib/apt/lists "$base"/usr/share/{doc,man,locale} "$base"/dev \
        "$base"/etc/{resolv.conf,hosts}
    mkdir "$base/dev"
    echo "$packages" >"$parts/root.packages"
fi
program=${SIGHTLINE_PROGRAM:-$root/target/release/sightline}
onnxruntime=$(ls "$root"/.deps/onnxruntime/libonnxruntime.so.*)
if ! cmp -s "$program" "$parts/program/opt/sightline/sightline"; then
    rm -rf "$parts/program" "$images"/sightline-*.tar
    mkdir -p "$parts/program/opt/sightline"
    cp "$program" "$onnxruntime" "$parts/program/opt/sightline/"
    chmod -R a+rX "$parts/program"
fi
config='{"Entrypoint": ["/opt/sightline/sightline"], "User": "10001:10001", "Env": ["PATH=/usr/bin:/bin",
    "SIGHTLINE_ONNXRUNTIME=/opt/sightline/'$(basename "$onnxruntime")'"]}'
for version in one two; do
    archive=$images/sightline-$version.tar
    [ -e "$archive" ] || "$here/mkimage.py" \
        "sightline.local/sightline-services:$version,sightline.local/sightline-pipeline:$version" \
        "$archive" "$config" "$parts/root" "$parts/program" "$parts/$version"
done
