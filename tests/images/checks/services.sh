# The small image: its commands, and that a process of it lives without a broker and ends when told.
# shellcheck shell=bash disable=SC2154

check_services() {
    local command
    for command in registry topics\ apply camera\ add job\ add tail consume\ {events,store,alerts,archive}; do
        # shellcheck disable=SC2086 # words
        inside -- $command --help >"$share/help" || fail "services: $command has no help"
        grep -q -- --help "$share/help" || fail "services: the help of $command is empty"
    done
    [ -z "$(find "$root" -name 'libgstreamer*' -o -name 'libonnxruntime*' -o -name 'libav*')" ] ||
        fail "services: media libraries are in the image"
    lives "registry" SIGHTLINE_INSECURE_NO_AUTH=true SIGHTLINE_LISTEN="127.0.0.1:$(free_port)" -- registry
    lives "consume events" -- consume events
    lives "consume store" SIGHTLINE_DATABASE="postgresql://nobody@127.0.0.1:$(free_port)/none" -- consume store
}

# lives NAME [SETTING]… -- ARG… : while its broker is away a process is alive and not ready, and SIGTERM ends it.
lives() {
    local name=$1 http broker begun=$SECONDS pid
    shift
    http=127.0.0.1:$(free_port) broker=127.0.0.1:$(free_port)
    inside SIGHTLINE_KAFKA="$broker" SIGHTLINE_HTTP="$http" "$@" 2>"$share/log" &
    pid=$!
    waits 60 answers "http://$http/livez" 200 || { cat "$share/log" >&2 && fail "services: $name does not live"; }
    answers "http://$http/readyz" 503 || fail "services: $name says that it is ready without a broker: $(cat "$state/answer")"
    local why
    why=$(head -c 200 "$state/answer")
    # `inside`, and a shell before it, wait for it.
    local last=$pid child
    while child=$(pgrep -P "$last" | head -1) && [ -n "$child" ]; do last=$child; done
    kill -TERM "$last"
    local code=0
    wait "$pid" || code=$?
    [ "$code" = 0 ] || { cat "$share/log" >&2 && fail "services: $name ended with $code when it was told to"; }
    note "services: $name lives without Kafka, is not ready (\"$why\"), and ended in $((SECONDS - begun)) s, all in all"
}
