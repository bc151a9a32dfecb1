#!/bin/bash
# The tests' own Apache Kafka (scripts/kafka.sh) as one process on the bridge's address, so that pods and processes beside them use
# one bootstrap.
set -euo pipefail
. "$(dirname "$0")/env.sh"
"$root/scripts/kafka.sh"
kafka=$root/.deps/kafka
java=(java -Xms256m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-XX:SharedArchiveFile=$kafka/kafka.jsa"
    "-Dlog4j2.configurationFile=$kafka/log4j2.properties" -cp "$kafka/libs/*")
mkdir -p "$live/kafka"
properties=$live/kafka/server.properties
cat >"$properties" <<Y
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:29093
listeners=PLAINTEXT://$bootstrap,CONTROLLER://127.0.0.1:29093
advertised.listeners=PLAINTEXT://$bootstrap
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$live/kafka/data
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=8388608
Y
"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA --standalone -c "$properties" >"$logs/kafka-format.log" 2>&1 ||
    { cat "$logs/kafka-format.log" >&2; exit 1; }
start kafka "${java[@]}" kafka.Kafka "$properties"
wait_for 600 bash -c "exec 3<>/dev/tcp/${bootstrap%:*}/${bootstrap#*:}"
