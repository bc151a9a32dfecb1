# The pipeline for NVIDIA's GPUs, where there is none: it refuses, and lacks nothing but what the driver brings.
# shellcheck shell=bash disable=SC2154

check_cuda() {
    local said code=0 library
    said=$(inside -- detect "$samples/junction.mp4" --model "$samples/junction.onnx" --out /dev/null 2>&1) || code=$?
    [ "$code" != 0 ] || fail "cuda: it ran without a GPU: $said"
    grep -q 'cuda' <<<"$said" || fail "cuda: it refuses without its sentence: $said"
    note "cuda: without a GPU it refuses with $code: $said"
    # Asked for the CPU, the same library runs it.
    sample cuda
    for library in "$root"/usr/local/nvidia-cuda/*.so* "$root"/usr/local/lib/libonnxruntime*.so*; do
        said=$(chroot "$root" ldd "${library#"$root"}" 2>&1 | grep 'not found' | grep -v 'libcuda.so.1' || true)
        [ -z "$said" ] || fail "cuda: ${library#"$root"} wants $said"
    done
    note "cuda: every library of NVIDIA's and of ONNX Runtime's finds what it links to, but for the driver's libcuda.so.1"
}
