//! A broker inside this process, for trying out.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::fault::{FaultKind, KafkaFault};
use super::link::Link;
use super::producer::Context;

/// librdkafka's mock cluster of one broker: the real protocol on a port of 127.0.0.1, all in memory and gone at the
/// end. It keeps some 5 MB a partition, compacts nothing and takes transactions without doing them, so it is for
/// trying out and for tests, never for keeping results.
pub struct EmbeddedBroker {
    /// The client that the mock cluster lives in.
    client: ThreadedProducer<Context>,
    bootstrap: String,
}

impl EmbeddedBroker {
    /// Starts empty, with these topics and their numbers of partitions.
    pub fn start(topics: &[(&str, i32)]) -> Result<EmbeddedBroker, KafkaFault> {
        let mut config = ClientConfig::new();
        config.set("client.id", "sightline-embedded").set("test.mock.num.brokers", "1");
        // Its warning that a mock cluster is enabled is what was asked for.
        config.set("log_level", "3").set_log_level(RDKafkaLogLevel::Error);
        let client: ThreadedProducer<Context> = config
            .create_with_context(Context::new(Link::new("embedded")))
            .map_err(|error| KafkaFault::of_client(&error))?;
        let fault = |what: &str| KafkaFault::new(FaultKind::Other, format!("the embedded broker: {what}"));
        let cluster = client.client().mock_cluster().ok_or_else(|| fault("it did not start"))?;
        for (name, partitions) in topics {
            cluster
                .create_topic(name, *partitions, 1)
                .map_err(|error| fault(&format!("topic {name} with {partitions} partitions: {error}")))?;
        }
        let bootstrap = cluster.bootstrap_servers();
        drop(cluster);
        Ok(EmbeddedBroker { client, bootstrap })
    }

    /// 127.0.0.1:PORT.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap
    }

    /// Closes its connections and answers nobody until `go_online`: what a lost broker looks like.
    pub fn go_offline(&self) -> Result<(), KafkaFault> {
        self.set_up(false)
    }

    pub fn go_online(&self) -> Result<(), KafkaFault> {
        self.set_up(true)
    }

    fn set_up(&self, up: bool) -> Result<(), KafkaFault> {
        let fault = |what: String| KafkaFault::new(FaultKind::Other, format!("the embedded broker: {what}"));
        let cluster = self.client.client().mock_cluster().ok_or_else(|| fault("it is gone".to_owned()))?;
        if up { cluster.broker_up(1) } else { cluster.broker_down(1) }
            .map_err(|error| fault(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::{Delivered, KafkaSettings, LinkState, Producer, cluster, require};
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn it_has_its_topics_and_keeps_what_waits_while_it_is_offline() {
        let broker = EmbeddedBroker::start(&[("detections", 4), ("camera-status", 1)]).unwrap();
        let settings = KafkaSettings::plain(broker.bootstrap_servers());
        let found = cluster(&settings, DEADLINE).unwrap();
        let partitions: Vec<_> =
            found.topics.iter().map(|(name, size)| (name.as_str(), size.partitions)).collect();
        assert_eq!(partitions, [("camera-status", 1), ("detections", 4)]);
        require(&settings, &["detections", "camera-status"], DEADLINE).unwrap();

        let producer = Producer::new(&settings, 5).unwrap();
        let (sender, receiver) = mpsc::channel();
        let send = || {
            let sender = sender.clone();
            let on_delivery = Box::new(move |outcome| sender.send(outcome).unwrap());
            producer
                .send("camera-status", "gate-3", b"{}", "status/1", on_delivery)
                .map_err(|r| r.error)
                .unwrap();
        };
        send();
        assert_eq!(receiver.recv_timeout(DEADLINE).unwrap(), Ok(Delivered { partition: 0, offset: 0 }));

        broker.go_offline().unwrap();
        send();
        let fault = producer.link.await_down();
        assert_eq!(fault.kind, FaultKind::Unreachable, "{fault}");
        assert_eq!(producer.in_flight(), 1);

        broker.go_online().unwrap();
        assert_eq!(receiver.recv_timeout(DEADLINE).unwrap(), Ok(Delivered { partition: 0, offset: 1 }));
        assert_eq!(producer.link(), LinkState::Up);
    }
}
