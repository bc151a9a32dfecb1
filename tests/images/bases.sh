# Stand-ins for the two base images that the Dockerfiles name, made of Debian's packages and of this machine's Rust.
# shellcheck shell=bash disable=SC2154 # variables of scripts/test-images.sh

# As debian:12-slim leaves out of each package; its licence stays.
slim='path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
path-exclude /usr/share/groff/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/linda/*'

bases() {
    base_of_debian
    base_of_rust
}

exists() { buildah inspect "${store[@]}" --type image "$1" >/dev/null 2>&1; }

base_of_debian() {
    exists docker.io/library/debian:12-slim && return
    echo "== a base: debian:12-slim"
    local root=$state/debian
    rm -rf "$root"
    debootstrap --variant=minbase bookworm "$root" >"target/debootstrap.log" 2>&1 ||
        fail "debootstrap failed; see target/debootstrap.log"
    echo "$slim" >"$root/etc/dpkg/dpkg.cfg.d/docker"
    # From where debootstrap took it.
    local mirror
    mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list")
    printf "deb ${mirror%/}%s\n" ' bookworm main' ' bookworm-updates main' '-security bookworm-security main' \
        >"$root/etc/apt/sources.list"
    # Where this machine's apt is told what it may believe of its mirrors, the image's is, too.
    cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    chroot "$root" sh -ec 'apt-get -q update && apt-get -q -y upgrade && apt-get clean' >>"target/debootstrap.log" 2>&1 ||
        fail "the base was not brought up to date; see target/debootstrap.log"
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    find "$root/usr/share/doc" -xtype l -delete
    find "$root/usr/share/doc" -depth -type d -empty -delete
    rm -rf "$root"/usr/share/{info,locale,man,groff,lintian,linda}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin \
        "$root"/var/cache/debconf/*-old "$root"/var/log/* "$root/etc/resolv.conf"
    commit "$root" docker.io/library/debian:12-slim
    rm -rf "$root"
}

base_of_rust() {
    exists docker.io/library/rust:1.95-bookworm && return
    echo "== a base: rust:1.95-bookworm"
    local container root sysroot
    sysroot=$(rustc --print sysroot)
    container=$(buildah from "${store[@]}" --pull-never docker.io/library/debian:12-slim)
    root=$(buildah mount "${store[@]}" "$container")
    mkdir -p "$root/usr/local/cargo/bin"
    tar -C "$sysroot" --exclude=./lib/rustlib/src --exclude=./share --exclude='./bin/*doc*' -c ./bin ./lib | tar -C "$root/usr/local" -x
    # Whom this machine trusts: a proxy may stand between it and the package registries.
    mkdir -p "$root/usr/local/share/ca-certificates"
    cp /etc/ssl/certs/ca-certificates.crt "$root/usr/local/share/ca-certificates/this-machine.crt"
    buildah config "${store[@]}" --env CARGO_HOME=/usr/local/cargo \
        --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit -q "${store[@]}" --rm "$container" docker.io/library/rust:1.95-bookworm >/dev/null
}

# An image of one layer: a folder.
commit() {
    local container
    container=$(buildah from "${store[@]}" scratch)
    buildah add -q "${store[@]}" "$container" "$1" / >/dev/null
    buildah config "${store[@]}" --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit -q "${store[@]}" --rm "$container" "$2" >/dev/null
}
