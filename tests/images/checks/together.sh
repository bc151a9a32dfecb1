# The services of docker/compose.yaml, out of both images, on a real Kafka.
# shellcheck shell=bash disable=SC2154

together() {
    local variant container folder where=() containers=() said
    echo "== check together"
    scripts/kafka.sh
    "$state/compose" docker/compose.yaml >"$state/compose.json"
    for variant in services cpu; do
        folder=$state/together-$variant
        rm -rf "$folder" && mkdir -p "$folder"
        container=$(buildah from "${store[@]}" --pull-never "$(image "$variant")")
        containers+=("$container")
        configuration "$variant" >"$folder/config.json"
        where+=("$(buildah mount "${store[@]}" "$container"),$folder/config.json,$folder")
    done
    said=$(python3 tests/images/together.py "$state/compose.json" .deps/kafka "${where[@]}") || exit 1
    note "together: $said"
    buildah rm "${store[@]}" "${containers[@]}" >/dev/null
}
