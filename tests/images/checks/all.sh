# What holds of every image. `root`, `config` and `share` are those of the image that is checked.
# shellcheck shell=bash disable=SC2154,SC2034 # variables of scripts/test-images.sh

check() {
    local variant=$1 container
    echo "== check $variant"
    container=$(buildah from "${store[@]}" --pull-never "$(image "$variant")")
    root=$(buildah mount "${store[@]}" "$container")
    share=$state/share
    rm -rf "$share" && mkdir -m 777 "$share"
    config=$state/config.json
    configuration "$variant" >"$config"

    configured "$variant"
    linked
    billed "$variant"
    "check_$variant"
    composed "$variant"
    weighed "$variant"
    buildah rm "${store[@]}" "$container" >/dev/null
}

# An image's configuration, as JSON.
configuration() {
    buildah inspect "${store[@]}" --type image "$(image "$1")" |
        python3 -c 'import json, sys; json.dump(json.load(sys.stdin)["OCIv1"]["config"], sys.stdout)'
}

# inside [NAME=VALUE]… -- ARG…
inside() { tests/images/inside "$root" "$config" "$share" "$@"; }

# Of the image's configuration, by a Python expression.
configured() {
    python3 - "$config" "$version" "$1" <<'PY' || fail "the configuration of $1 is not as it should be"
import json, re, sys
config, version, variant = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"]), config["User"]
assert config["Entrypoint"] == ["/usr/local/bin/sightline"], config["Entrypoint"]
labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
assert labels["version"] == version, labels
assert labels["base.name"] == "debian:12-slim", labels
assert re.fullmatch("[0-9a-f]{40}", labels["revision"]), labels
for name in ("title", "description", "licenses"):
    assert labels[name], name
capabilities = dict(one.split("=", 1) for one in config["Env"]).get("NVIDIA_DRIVER_CAPABILITIES")
assert capabilities == ("compute,utility,video" if variant == "cuda" else None), capabilities
PY
    [ "$(inside -- --version)" = "sightline $version" ] || fail "$1 does not say its version: $(inside -- --version)"
    inside -- --help | grep -q 'sightline' || fail "$1 has no help"
}

# Everything that the program links to is there.
linked() {
    local missing
    missing=$(chroot "$root" ldd /usr/local/bin/sightline | grep 'not found' || true)
    [ -z "$missing" ] || fail "not in the image: $missing"
}

# The bill of materials is CycloneDX, and lists what is installed: no more, no less.
billed() {
    local said bill=target/sightline-$1.cdx.json
    cp "$root/usr/share/doc/sightline/sbom.cdx.json" "$bill"
    chroot "$root" dpkg-query -W -f '${Package} ${Version} ${source:Package}\n' >"$state/installed"
    said=$(.deps/images-checks/bin/python tests/images/check_sbom.py "$bill" "$state/installed" "$root") || exit 1
    note "$1: $said"
}

# The compressed size of each layer above the base, as a registry would hold it.
weighed() {
    local limit said
    case $1 in services) limit=60 ;; cpu) limit=350 ;; *) limit=0 ;; esac
    rm -rf "$state/oci"
    buildah push -q "${store[@]}" --format oci "$(image "$1")" "oci:$state/oci:image"
    said=$(python3 tests/images/weigh.py "$state/oci" "$1" "$limit") || exit 1
    note "$1: $said"
    rm -rf "$state/oci"
}

# Each command of docker/compose.yaml that runs this image is understood by it, and each variable is one that it knows.
composed() {
    local name said
    case $1 in services) name=sightline-services ;; cpu) name=sightline-pipeline ;; *) return 0 ;; esac
    "$state/compose" docker/compose.yaml >"$state/compose.json" || fail "docker/compose.yaml is not valid"
    said=$(python3 tests/images/check_compose.py "$state/compose.json" "$name" "$root" "$config" "$share") || exit 1
    note "$1: $said"
}

# waits SECONDS COMMAND… : until it succeeds.
waits() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.2
    done
}

# answers URL CODE
answers() { [ "$(curl -s -o "$state/answer" -w '%{http_code}' --max-time 5 "$1")" = "$2" ]; }

# A port that is free now, below those that the kernel hands out.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
}
