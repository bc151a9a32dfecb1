#!/bin/sh
# Fetches the real Kafka that the tests start (jars by Maven, pinned in tests/kafka/pom.xml) into .deps/kafka, and
# makes its class data archive, which halves a broker's start. Quick when everything is there already.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pom=$root/tests/kafka/pom.xml
deps=$root/.deps/kafka
stamp=$deps/stamp

for tool in java mvn; do
    command -v "$tool" >/dev/null || {
        echo "kafka.sh: $tool is missing; apt-get install -y --no-install-recommends default-jre-headless maven" >&2
        exit 1
    }
done

# The archive fits only the same JVM and the same jars in the same place, so all of that is in the stamp.
want=$({ cat "$pom" "$root/tests/kafka/log4j2.properties"; java -version 2>&1; echo "$deps"; } | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -f "$deps/kafka.jsa" ]; then
    exit 0
fi

mkdir -p "$root/.deps"
work=$(mktemp -d "$root/.deps/kafka.XXXXXX")
broker=
trap '[ -z "$broker" ] || kill -9 "$broker" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "kafka.sh: fetching Kafka's jars by Maven" >&2
mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$work/libs" -DincludeScope=runtime
cp "$root/tests/kafka/log4j2.properties" "$work/"

# The jars move to their place before the archive is made: it remembers their paths.
rm -rf "$deps"
mv "$work" "$deps"
work=$deps/archive
mkdir "$work"
chmod 755 "$deps"

echo "kafka.sh: making the class data archive" >&2
made=
for attempt in 1 2 3 4 5; do
    # Below the range that the kernel hands out by itself.
    port=$(awk -v seed="$$$attempt" 'BEGIN { srand(seed); print 20000 + 2 * int(rand() * 6000) }')
    rm -rf "$work/data"
    cat >"$work/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$work/data
offsets.topic.replication.factor=1
EOF
    java -Dlog4j2.configurationFile="$deps/log4j2.properties" -cp "$deps/libs/*" kafka.tools.StorageTool format \
        -t AAAAAAAAAAAAAAAAAAAAAA --standalone -c "$work/server.properties" >"$work/format.log" 2>&1 || {
        cat "$work/format.log" >&2
        exit 1
    }
    java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit="$deps/kafka.jsa" \
        -Dlog4j2.configurationFile="$deps/log4j2.properties" -cp "$deps/libs/*" \
        kafka.Kafka "$work/server.properties" >"$work/broker.log" 2>&1 &
    broker=$!
    waited=0
    while kill -0 "$broker" 2>/dev/null && [ "$waited" -lt 600 ]; do
        if grep -qs 'Kafka Server started' "$work/broker.log"; then
            made=yes
            break
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
    kill "$broker" 2>/dev/null || true
    wait "$broker" || true
    broker=
    [ -z "$made" ] || break
done
if [ -z "$made" ] || [ ! -f "$deps/kafka.jsa" ]; then
    cat "$work/broker.log" >&2
    echo "kafka.sh: Kafka did not start; its log is above" >&2
    exit 1
fi
echo "$want" >"$stamp"
echo "kafka.sh: Kafka is in .deps/kafka" >&2
