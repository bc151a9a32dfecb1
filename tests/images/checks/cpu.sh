# The pipeline on CPUs: the sample gives what it gives, and what people's cameras and recordings hold is decoded.
# shellcheck shell=bash disable=SC2154

samples=/usr/share/sightline/samples

check_cpu() {
    sample cpu
    started
    formats
    fetched
    local said
    # The proof that what ran above ran on a root that can't be written.
    said=$(inside -- detect "$samples/junction.mp4" --model "$samples/junction.onnx" --out /var/lib/out.jsonl 2>&1) &&
        fail "cpu: the root can be written"
    grep -qi 'read-only' <<<"$said" || fail "cpu: the root is not read-only: $said"
    said=$(inside -- detect "$samples/junction.mp4" --model "$samples/junction.onnx" --device cuda --out /dev/null 2>&1) &&
        fail "cpu: --device cuda did not refuse"
    grep -q 'onnxruntime-gpu' <<<"$said" || fail "cpu: --device cuda refuses without its sentence: $said"
}

# The sample clip, as docs/IMAGES.md says: what was seen in it, and nothing that GStreamer complains of.
sample() {
    local begun=$SECONDS
    inside -- detect "$samples/junction.mp4" --model "$samples/junction.onnx" --device cpu --out /mnt/out.jsonl >"$share/said" 2>&1 ||
        { cat "$share/said" >&2 && fail "$1: the sample was not detected"; }
    [ "$(grep -c '"schema":"frame/1"' "$share/out.jsonl")" = 750 ] || fail "$1: not all of the 750 frames"
    grep -q '30 persons, 21 cars, 8 bicycles, 2 buses (61 tracks)' "$share/said" ||
        fail "$1: the sample gave something else: $(cat "$share/said")"
    ! grep -qiE 'warning|critical|home directory' "$share/said" || fail "$1: complaints: $(cat "$share/said")"
    note "$1: the sample's 750 frames in $((SECONDS - begun)) s: $(grep -m1 . "$share/said")"
}

# GStreamer has looked into its plugins when the image was built, and does it again for NVIDIA's decoders and for the few plugins that
# ask for it: what they offer depends on folders and variables.
started() {
    local begun=${EPOCHREALTIME/./} looked anew
    pattern >"$share/said" 2>&1 || { cat "$share/said" >&2 && fail "cpu: a test pattern was not read"; }
    local took=$((${EPOCHREALTIME/./} - begun))
    looked=$(looked_into)
    grep -aq 'Plugin scanner loading file .*libgstnvcodec' "$share"/loading-* || fail "cpu: NVIDIA's decoders are not looked for"
    # The proof that this sees it.
    anew=$(looked_into GST_REGISTRY=/tmp/none)
    [ "$anew" -gt 200 ] || fail "cpu: $anew plugins seen of a start without a registry: this test proves nothing"
    [ "$looked" -le 10 ] || fail "cpu: GStreamer looked into $looked plugins at its start"
    note "cpu: from nothing to the end of one frame in $((took / 1000)) ms; of $anew plugins $looked were looked into"
}

pattern() { inside "$@" -- detect 'test://ball?size=640x360&frames=1' --model "$samples/junction.onnx" --out /dev/null; }

looked_into() {
    # A file for each process: it is a child that looks.
    rm -f "$share"/loading-*
    pattern GST_DEBUG=GST_PLUGIN_LOADING:6 GST_DEBUG_FILE=/mnt/loading-%p GST_DEBUG_NO_COLOR=1 "$@" >/dev/null 2>&1
    cat "$share"/loading-* | grep -ac 'Plugin scanner loading file' || true
}

# Fifty frames of the sample as other encoders and containers have them.
formats() {
    local name frames list=()
    format() {
        SVT_LOG=1 ffmpeg -nostdin -v error -y -i samples/junction.mp4 -frames:v 50 -an "${@:2}" "$share/$1" || fail "ffmpeg made no $1"
        list+=("$1")
    }
    format h264.mkv -c:v libx264 -preset ultrafast -pix_fmt yuv420p
    format h264.ts -c:v libx264 -preset ultrafast -pix_fmt yuv420p
    format h265.mp4 -c:v libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1
    format h265-10bit.mkv -c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10le
    format mjpeg.avi -c:v mjpeg -q:v 3 -pix_fmt yuvj420p
    format mpeg4.mov -c:v mpeg4 -q:v 3
    format mpeg2.ts -c:v mpeg2video -q:v 3
    format vp8.webm -c:v libvpx -deadline realtime -cpu-used 8 -b:v 2M
    format vp9.webm -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 2M
    format av1.mkv -c:v libsvtav1 -preset 12
    for name in "${list[@]}"; do
        inside -- detect "/mnt/$name" --model "$samples/junction.onnx" --out "/mnt/$name.jsonl" >"$share/said" 2>&1 ||
            { cat "$share/said" >&2 && fail "cpu: $name can't be read"; }
        frames=$(grep -c '"schema":"frame/1"' "$share/$name.jsonl")
        [ "$frames" = 50 ] || fail "cpu: $name: $frames frames, not 50"
    done
    note "cpu: reads ${list[*]}"
    inside -- detect /mnt/h264.mkv --model "$samples/junction.onnx" --out /dev/null --annotate /mnt/drawn.mp4 >"$share/said" 2>&1 ||
        { cat "$share/said" >&2 && fail "cpu: no annotated video"; }
    [ "$(ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 "$share/drawn.mp4")" = 50 ] ||
        fail "cpu: the annotated video does not hold 50 frames"
}

# By HTTP, which GStreamer does by libraries that it looks for when it is asked to.
fetched() {
    local port server
    port=$(free_port)
    python3 -m http.server --bind 127.0.0.1 --directory "$share" "$port" >/dev/null 2>&1 &
    server=$!
    waits 20 answers "http://127.0.0.1:$port/h264.mkv" 200 || fail "no server"
    inside -- detect "http://127.0.0.1:$port/h264.mkv" --model "$samples/junction.onnx" --out /mnt/fetched.jsonl >"$share/said" 2>&1 ||
        { kill "$server" && cat "$share/said" >&2 && fail "cpu: nothing was read by HTTP"; }
    kill "$server"
    [ "$(grep -c '"schema":"frame/1"' "$share/fetched.jsonl")" = 50 ] || fail "cpu: by HTTP not all frames"
    note "cpu: reads by HTTP"
}
