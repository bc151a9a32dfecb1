# The control plane and the consumers: `registry`, `consume …`, `topics`, `camera`, `job`, `tail`. No GStreamer, no ONNX Runtime.
#
#   docker build -f docker/services.Dockerfile -t sightline-services:0.1.0 .
#
# docs/IMAGES.md says what is in it and how it is proved.
ARG DEBIAN=debian:12-slim
ARG RUST=rust:1.95-bookworm

FROM ${DEBIAN} AS runtime
# librdkafka's two shared libraries, and the certificate authorities for brokers, databases and webhooks.
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends ca-certificates libsasl2-2 libssl3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && groupadd -g 10001 sightline \
    && useradd -u 10001 -g 10001 -M -d /tmp -s /usr/sbin/nologin sightline

FROM ${RUST} AS tools
# librdkafka asks for curl's header even where it is built without curl.
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
        ca-certificates cmake g++ libcurl4-openssl-dev libsasl2-dev libssl-dev make pkg-config python3 zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

FROM tools AS build
WORKDIR /src
COPY . .
# The caches hold crates and what was compiled of them: only what changed is compiled again. Line tables are left out of the
# image, function names are not: a backtrace names its functions.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features \
    && mkdir -p /out/bin \
    && objcopy --strip-debug target/release/sightline /out/bin/sightline
COPY --from=runtime /var/lib/dpkg/status /tmp/dpkg-status
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    mkdir -p /out/doc \
    && cp LICENSE docs/LICENCES.md /out/doc/ \
    && cargo metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu --no-default-features \
        | python3 docker/sbom.py --lock Cargo.lock --dpkg /tmp/dpkg-status \
            --out /out/doc/sbom.cdx.json --notices /out/doc/NOTICES.txt

FROM runtime
COPY --from=build /out/doc /usr/share/doc/sightline
COPY --from=build /out/bin/sightline /usr/local/bin/sightline
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG DEBIAN
LABEL org.opencontainers.image.title="sightline-services" \
    org.opencontainers.image.description="Sightline's registry, consumers and command line" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${DEBIAN}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.documentation="/usr/share/doc/sightline/LICENCES.md"
# By number, so that a cluster can tell that it is not root.
USER 10001:10001
ENV HOME=/tmp
WORKDIR /
EXPOSE 8700 9464
ENTRYPOINT ["/usr/local/bin/sightline"]
CMD ["--help"]
