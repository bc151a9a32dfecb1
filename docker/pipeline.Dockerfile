# Pipelines and workers: what reads video and detects. Two variants, by --target:
#
#   docker build -f docker/pipeline.Dockerfile --target cpu  -t sightline-pipeline:0.1.0-cpu .
#   docker build -f docker/pipeline.Dockerfile --target cuda -t sightline-pipeline:0.1.0-cuda .
#
# docs/IMAGES.md says what is in them and how they are proved, docs/LICENCES.md under which licences.
ARG DEBIAN=debian:12-slim
ARG RUST=rust:1.95-bookworm

# ------------------------------------------------------------------------------------------------ what runs beside us
FROM ${DEBIAN} AS runtime
# Decoders, parsers and demuxers; TLS for rtsps and https. Not gstreamer1.0-plugins-ugly: nothing at run time needs it.
#
# GStreamer looks into each of its 250 plugins at its first start, which takes seconds, and a read-only root would make every
# start the first. So it looks now, but not into that of NVIDIA's decoders: which there are depends on the card, and each start
# looks for itself. The registry holds as long as the plugins' sizes and times do.
ENV GST_REGISTRY=/var/cache/gstreamer/registry.bin
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
        ca-certificates \
        glib-networking \
        gstreamer1.0-libav \
        gstreamer1.0-plugins-bad \
        gstreamer1.0-plugins-base \
        gstreamer1.0-plugins-good \
        gstreamer1.0-tools \
        libopencv-core406 \
        libopencv-imgproc406 \
        libsasl2-2 \
        libssl3 \
    && mkdir -p /var/cache/gstreamer \
    && nvcodec=$(dpkg -L gstreamer1.0-plugins-bad | grep '/libgstnvcodec.so$') \
    && mv "$nvcodec" /tmp/ \
    && gst-inspect-1.0 >/dev/null \
    && mv /tmp/libgstnvcodec.so "$nvcodec" \
    && test -s "$GST_REGISTRY" \
    && chmod 644 "$GST_REGISTRY" \
    && DEBIAN_FRONTEND=noninteractive apt-get -q purge -y gstreamer1.0-tools \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /tmp/* /root/.cache \
    && groupadd -g 10001 sightline \
    && useradd -u 10001 -g 10001 -M -d /tmp -s /usr/sbin/nologin sightline
# Where a volume for the spool goes: a new one of Docker's takes this folder's owner.
RUN install -d -o 10001 -g 10001 /var/lib/sightline/spool

# --------------------------------------------------------------------------------------------------------------- build
FROM ${RUST} AS tools
# librdkafka asks for curl's header even where it is built without curl.
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
        ca-certificates \
        clang \
        cmake \
        g++ \
        libclang-dev \
        libcurl4-openssl-dev \
        libgstreamer-plugins-base1.0-dev \
        libgstreamer1.0-dev \
        libopencv-core-dev \
        libopencv-imgproc-dev \
        libsasl2-dev \
        libssl-dev \
        make \
        nasm \
        pkg-config \
        python3 \
        python3-pip \
        unzip \
        zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

# ONNX Runtime's library out of its wheel: the one that `make deps` takes, too.
FROM tools AS onnxruntime-cpu
COPY scripts/onnxruntime.txt /tmp/
RUN python3 -m pip download -q --no-cache-dir --no-deps --require-hashes --only-binary :all: \
        --python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 \
        -d /tmp/wheels -r /tmp/onnxruntime.txt \
    && mkdir -p /out/lib /out/doc \
    && unzip -q -o -j /tmp/wheels/onnxruntime-*.whl 'onnxruntime/capi/libonnxruntime.so*' -d /out/lib \
    && unzip -q -o -j /tmp/wheels/onnxruntime-*.whl onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt -d /out/doc \
    && rm -rf /tmp/wheels

FROM tools AS build
WORKDIR /src
COPY . .
# The caches hold crates and what was compiled of them: only what changed is compiled again. Line tables are left out of the
# image, function names are not: a backtrace names its functions.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && mkdir -p /out/bin \
    && objcopy --strip-debug target/release/sightline /out/bin/sightline
COPY --from=runtime /var/lib/dpkg/status /tmp/dpkg-status
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    mkdir -p /out/cpu /out/cuda /out/samples \
    && cp LICENSE docs/LICENCES.md /out/cpu/ \
    && cp LICENSE docs/LICENCES.md /out/cuda/ \
    && cargo metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu >/tmp/metadata.json \
    && python3 docker/sbom.py --lock Cargo.lock --dpkg /tmp/dpkg-status --wheels scripts/onnxruntime.txt \
        --out /out/cpu/sbom.cdx.json --notices /out/cpu/NOTICES.txt </tmp/metadata.json \
    && python3 docker/sbom.py --lock Cargo.lock --dpkg /tmp/dpkg-status --wheels docker/onnxruntime-cuda.txt \
        --out /out/cuda/sbom.cdx.json --notices /out/cuda/NOTICES.txt </tmp/metadata.json \
    && cp samples/junction.mp4 samples/junction.onnx /out/samples/ \
    && sed 's#uri: junction.mp4#uri: /usr/share/sightline/samples/junction.mp4#' samples/cameras.yaml >/out/samples/cameras.yaml

# ---------------------------------------------------------------------------------------------------------------- cpu
FROM runtime AS cpu
COPY --from=onnxruntime-cpu /out/doc /usr/share/doc/onnxruntime
COPY --from=onnxruntime-cpu /out/lib /usr/local/lib
COPY --from=build /out/samples /usr/share/sightline/samples
COPY --from=build /out/cpu /usr/share/doc/sightline
COPY --from=build /out/bin/sightline /usr/local/bin/sightline
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG DEBIAN
LABEL org.opencontainers.image.title="sightline-pipeline" \
    org.opencontainers.image.description="Sightline's pipelines and workers on CPUs" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${DEBIAN}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.documentation="/usr/share/doc/sightline/LICENCES.md"
# By number, so that a cluster can tell that it is not root.
USER 10001:10001
ENV HOME=/tmp
WORKDIR /
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/sightline"]
CMD ["--help"]

# --------------------------------------------------------------------------------------------------------------- cuda
# ONNX Runtime with CUDA, and those of NVIDIA's libraries that it loads. The driver (libcuda) and the decoders (libnvcuvid) come
# from the host, by NVIDIA's container runtime.
FROM tools AS onnxruntime-cuda
COPY docker/onnxruntime-cuda.txt /tmp/
RUN python3 -m pip download -q --no-cache-dir --no-deps --require-hashes --only-binary :all: \
        --python-version 3.11 --implementation cp --abi cp311 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 \
        --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
        -d /tmp/wheels -r /tmp/onnxruntime-cuda.txt \
    && mkdir -p /out/lib /out/doc /nvidia/lib /nvidia/doc \
    && unzip -q -o -j /tmp/wheels/onnxruntime_gpu-*.whl 'onnxruntime/capi/libonnxruntime.so*' \
        onnxruntime/capi/libonnxruntime_providers_shared.so onnxruntime/capi/libonnxruntime_providers_cuda.so -d /out/lib \
    && unzip -q -o -j /tmp/wheels/onnxruntime_gpu-*.whl onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt -d /out/doc \
    && for wheel in /tmp/wheels/nvidia_*.whl; do \
        unzip -q -o -j "$wheel" '*/lib/lib*.so*' -x '*/libnvblas.so*' '*.alt.so*' -d /nvidia/lib || exit 1; \
        name=$(basename "$wheel" | sed 's/-.*//'); \
        unzip -q -p "$wheel" '*.dist-info/*icense*' >"/nvidia/doc/$name.txt" || exit 1; \
        rm "$wheel"; \
    done \
    && rm -rf /tmp/wheels

FROM runtime AS cuda
# A layer of its own: 2 GB that change when a version in onnxruntime-cuda.txt does, and not with Sightline.
COPY --from=onnxruntime-cuda /nvidia/lib /usr/local/nvidia-cuda
COPY --from=onnxruntime-cuda /nvidia/doc /usr/share/doc/nvidia-cuda
COPY --from=onnxruntime-cuda /out/doc /usr/share/doc/onnxruntime
COPY --from=onnxruntime-cuda /out/lib /usr/local/lib
RUN echo /usr/local/nvidia-cuda >/etc/ld.so.conf.d/nvidia-cuda.conf && ldconfig
COPY --from=build /out/samples /usr/share/sightline/samples
COPY --from=build /out/cuda /usr/share/doc/sightline
COPY --from=build /out/bin/sightline /usr/local/bin/sightline
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG DEBIAN
LABEL org.opencontainers.image.title="sightline-pipeline" \
    org.opencontainers.image.description="Sightline's pipelines and workers on NVIDIA GPUs" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${DEBIAN}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.documentation="/usr/share/doc/sightline/LICENCES.md"
USER 10001:10001
# `video` brings NVDEC. A pod that got no GPU refuses to start instead of taking cameras that its CPUs can't carry.
ENV HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    SIGHTLINE_DEVICE=cuda
WORKDIR /
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/sightline"]
CMD ["--help"]
