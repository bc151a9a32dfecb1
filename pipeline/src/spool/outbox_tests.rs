//! The outbox against librdkafka's mock cluster, which refuses what it is told to.
#![allow(clippy::unwrap_used, clippy::panic)]

use prometheus_client::registry::Registry;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sightline_service::kafka::KafkaSettings;

use super::*;
use crate::spool::{FrameAt, Kind};

const DEADLINE: Duration = Duration::from_secs(60);
const TOPIC: &str = "detections";

fn give(outbox: &Outbox, seq: u64) -> bool {
    let frame = FrameAt { seq, skipped: 0, captured_at: Timestamp::from_micros(seq as i64), sampled: false };
    let given = Given {
        kind: Kind::Frame,
        camera: if seq.is_multiple_of(2) { "even".into() } else { "odd".into() },
        epoch: 1,
        frame: Some(frame),
        payload: seq.to_string().into_bytes().into(),
        live: true,
    };
    outbox.take(given, false)
}

/// All numbers in the topic's one partition.
fn read(bootstrap: &str, count: usize) -> Vec<u64> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "test").create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let end = Instant::now() + DEADLINE;
    let mut found = Vec::new();
    while found.len() < count {
        assert!(Instant::now() < end, "{} of {count}: {found:?}", found.len());
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            found.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap());
        }
    }
    found
}

/// 2,000 records while produce requests fail with `error`: all arrive, each camera's in order.
fn survives(error: RDKafkaRespErr, spooled: bool) {
    let folder = tempfile::tempdir().unwrap();
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    let settings = KafkaSettings::plain(&bootstrap);
    let spool = spooled.then(|| SpoolOptions { folder: folder.path().to_owned(), max: 64 << 20 });
    let options = OutboxOptions { bytes: 64 << 20, records: 100_000, spool, tracer: Tracer::default() };
    let outbox = Outbox::open(&options, PipelineMetrics::register(&mut Registry::default())).unwrap();
    let beside = Producer::new(&settings, 5).unwrap();
    outbox.start(TOPIC.to_owned(), Box::new(move || beside.gapless(&settings, 5))).unwrap();
    for round in 0..4 {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        for seq in round * 500..(round + 1) * 500 {
            assert!(give(&outbox, seq));
            if seq % 50 == 0 {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
    assert_eq!(outbox.stop(DEADLINE), Left::default());
    let found = read(&bootstrap, 2_000);
    for parity in [0, 1] {
        let mut of_camera: Vec<_> = found.iter().copied().filter(|seq| seq % 2 == parity).collect();
        // The reader's rule: what is not above the last one is a repeat.
        let mut last = None;
        of_camera.retain(|seq| {
            let is_new = last.is_none_or(|last| *seq > last);
            last = last.max(Some(*seq));
            is_new
        });
        assert_eq!(of_camera, (0..1_000).map(|n| n * 2 + parity).collect::<Vec<_>>(), "{error:?}");
    }
}

#[test]
fn too_few_replicas_are_waited_for() {
    survives(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, true);
    survives(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, false);
}

#[test]
fn a_client_that_can_not_go_on_is_replaced_and_all_is_sent_again_in_order() {
    survives(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, true);
    survives(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, false);
    survives(RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, true);
    survives(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, false);
}
