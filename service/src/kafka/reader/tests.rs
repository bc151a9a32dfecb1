use std::time::Instant;

use super::*;
use crate::kafka::{EmbeddedBroker, Producer};

const DEADLINE: Duration = Duration::from_secs(60);

/// Takes steps until one is of this kind.
fn until<T>(reader: &Reader, mut wanted: impl FnMut(Step) -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if let Some(found) = reader.next(Duration::from_millis(50)).unwrap().and_then(&mut wanted) {
            return found;
        }
    }
    panic!("not within {DEADLINE:?}");
}

#[test]
fn a_partition_that_was_held_back_flows_again_when_it_comes_back() {
    let broker = EmbeddedBroker::start(&[("jobs", 2)]).unwrap();
    let settings = KafkaSettings::plain(broker.bootstrap_servers());
    let producer = Producer::new(&settings, 0).unwrap();
    let write = |partition: i32| {
        let sent = producer.send_to(("jobs", partition), "a", b"{}", "job/1", Box::new(|_| {}));
        sent.map_err(|refused| refused.error).unwrap();
        assert_eq!(producer.flush(DEADLINE), 0);
    };
    let options = ReaderOptions {
        group: "workers".to_owned(),
        topics: vec!["jobs".to_owned()],
        from: From::Earliest,
        most_bytes: 1 << 20,
    };
    let first = Reader::join(&settings, &options).unwrap();
    let mut held = Vec::new();
    until(&first, |step| {
        if let Step::Assigned(partitions) = step {
            held.extend(partitions);
        }
        (held.len() == 2).then_some(())
    });
    [0, 1].into_iter().for_each(write);
    // Held back once it is read, as by who works at it.
    let mut read = std::collections::BTreeSet::new();
    until(&first, |step| {
        if let Step::Records(batch) = step {
            first.hold(&(batch.topic.to_string(), batch.partition));
            read.insert(batch.partition);
        }
        (read.len() == 2).then_some(())
    });
    let second = Reader::join(&settings, &options).unwrap();
    let gone = until(&first, |step| match step {
        Step::Revoked(partitions, _) | Step::Lost(partitions, _) => partitions.first().cloned(),
        _ => None,
    });
    until(&second, |step| matches!(step, Step::Assigned(_)).then_some(()));
    drop(second);
    until(&first, |step| {
        matches!(step, Step::Assigned(partitions) if partitions.contains(&gone)).then_some(())
    });
    write(gone.1);
    until(&first, |step| matches!(step, Step::Records(batch) if batch.partition == gone.1).then_some(()));
    // The other one is still held back, until it is not.
    let other = 1 - gone.1;
    write(other);
    first.release(&("jobs".to_owned(), other));
    until(&first, |step| matches!(step, Step::Records(batch) if batch.partition == other).then_some(()));
}

#[test]
fn a_rebalance_in_the_last_moments_of_the_client_waits_for_nobody() {
    let broker = EmbeddedBroker::start(&[("jobs", 2)]).unwrap();
    let options = ReaderOptions {
        group: "workers".to_owned(),
        topics: vec!["jobs".to_owned()],
        from: From::Earliest,
        most_bytes: 1 << 20,
    };
    // Its poller has ended before the partitions were taken back, as after a session that ran out.
    let reader = Reader::unpolled(&KafkaSettings::plain(broker.bootstrap_servers()), &options).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !matches!(reader.steps.try_recv(), Ok(Step::Assigned(_))) {
        assert!(Instant::now() < deadline, "no partitions came");
        let _ = reader.consumer.poll(Duration::from_millis(50));
    }
    let dropping = thread::spawn(move || drop(reader));
    while !dropping.is_finished() {
        assert!(Instant::now() < deadline, "it still waits for an answer");
        thread::sleep(Duration::from_millis(20));
    }
}
