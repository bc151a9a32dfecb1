//! Brokers that name no broker for a moment, as after a long silence: clients that forgot them go on when they are back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../tests/support/kafka.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use sightline_schema::TopicSpec;
use sightline_service::kafka::{
    self, Follower, From, KafkaSettings, Member, Producer, Reader, ReaderOptions, Start, Step, Tail, Write,
    Writer,
};
use support::Kafka;

const DEADLINE: Duration = Duration::from_secs(90);
const TOPIC: &str = "things";

/// Stands before a broker, and takes the brokers out of what it answers while it is told to.
struct Front {
    port: u16,
    to: Arc<Mutex<Option<u16>>>,
    names_none: Arc<AtomicBool>,
    named_none: Arc<AtomicUsize>,
}

impl Front {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Self {
            port: listener.local_addr().unwrap().port(),
            to: Arc::default(),
            names_none: Arc::default(),
            named_none: Arc::default(),
        };
        let (to, names_none, named_none) =
            (Arc::clone(&front.to), Arc::clone(&front.names_none), Arc::clone(&front.named_none));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Some(broker) =
                    to.lock().unwrap().and_then(|to| TcpStream::connect(("127.0.0.1", to)).ok())
                else {
                    continue;
                };
                let asked = Arc::new(Mutex::new(BTreeSet::new()));
                let (from, into, noted) =
                    (client.try_clone().unwrap(), broker.try_clone().unwrap(), Arc::clone(&asked));
                thread::spawn(move || {
                    relay(from, into, |request| {
                        let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
                        if number(0) == 3 {
                            assert!((9..=13).contains(&number(2)), "metadata of version {}", number(2));
                            noted.lock().unwrap().insert(request[4..8].to_vec());
                        }
                        None
                    });
                });
                let (names_none, named_none) = (Arc::clone(&names_none), Arc::clone(&named_none));
                thread::spawn(move || {
                    relay(broker, client, |answer| {
                        let is_metadata = asked.lock().unwrap().remove(&answer[..4]);
                        (is_metadata && names_none.load(Ordering::SeqCst)).then(|| {
                            named_none.fetch_add(1, Ordering::SeqCst);
                            without_brokers(answer)
                        })
                    });
                });
            }
        });
        front
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Frames from one to the other, changed where `change` says so, until one of them ends.
fn relay(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        let frame = change(&frame).unwrap_or(frame);
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        if to.write_all(&[&length, &frame[..]].concat()).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A MetadataResponse of version 9 to 13 with its brokers left out
/// (<https://kafka.apache.org/protocol.html#The_Messages_Metadata>).
fn without_brokers(answer: &[u8]) -> Vec<u8> {
    // Correlation, the header's tags (none), throttle time; lengths are one more than they are and fit one byte here.
    let brokers = 4 + 1 + 4;
    let mut at = brokers + 1;
    for _ in 1..answer[brokers] {
        let host = answer[at + 4] as usize;
        at += 4 + host + 4;
        let rack = (answer[at] as usize).max(1);
        at += rack;
        assert_eq!(answer[at], 0, "no tags of a broker");
        at += 1;
    }
    [&answer[..brokers], &[1], &answer[at..]].concat()
}

/// Everything of ours that stays connected, each with what it has seen or done so far.
struct Clients {
    producer: Producer,
    gapless: Producer,
    writer: Writer,
    tail: Tail,
    follower: Follower,
    reader: Reader,
    member: Member,
    tailed: BTreeSet<String>,
    followed: BTreeSet<String>,
    read: BTreeSet<String>,
}

impl Clients {
    fn connect(settings: &KafkaSettings) -> Self {
        let producer = Producer::new(settings, 5).unwrap();
        let options = ReaderOptions {
            group: "readers".to_owned(),
            topics: vec![TOPIC.to_owned()],
            from: From::Earliest,
            most_bytes: 1 << 20,
        };
        Self {
            gapless: producer.gapless(settings, 5).unwrap(),
            producer,
            writer: Writer::new(settings, "writer", DEADLINE).unwrap(),
            tail: Tail::open(settings, &[TOPIC], DEADLINE).unwrap(),
            follower: Follower::open(settings, TOPIC, &Start::Offsets(vec![0; 3]), DEADLINE).unwrap(),
            reader: Reader::join(settings, &options).unwrap(),
            member: Member::join(settings, "members", "slots").unwrap(),
            tailed: BTreeSet::new(),
            followed: BTreeSet::new(),
            read: BTreeSet::new(),
        }
    }

    fn poll(&mut self) -> bool {
        let wait = Duration::from_millis(20);
        let note = |seen: &mut BTreeSet<String>, key: Option<&[u8]>| {
            seen.insert(String::from_utf8(key.unwrap().to_vec()).unwrap());
        };
        self.tail.poll(wait, |record| note(&mut self.tailed, record.key));
        self.follower.poll(wait, |record| note(&mut self.followed, record.key));
        if let Some(Step::Records(batch)) = self.reader.next(wait).unwrap() {
            batch.records().for_each(|record| note(&mut self.read, record.key));
        }
        let held = self.member.poll(wait);
        held.generation.is_some() && held.slots.len() == 2
    }

    /// A record by each of those that write; all of those that read see all of them.
    fn do_their_work(&mut self, round: usize) {
        let (sender, delivered) = mpsc::channel();
        for (name, producer) in [("producer", &self.producer), ("gapless", &self.gapless)] {
            let sender = sender.clone();
            let key = format!("{name}-{round}");
            producer
                .send(TOPIC, &key, b"{}", "thing/1", Box::new(move |outcome| sender.send(outcome).unwrap()))
                .map_err(|refused| refused.error)
                .unwrap();
        }
        let deadline = Instant::now() + DEADLINE;
        let record = Write {
            topic: TOPIC.to_owned(),
            key: format!("writer-{round}"),
            value: Some(b"{}".to_vec()),
            schema: "thing/1",
            partition: None,
        };
        while let Err(error) = self.writer.write(std::slice::from_ref(&record), None) {
            assert!(Instant::now() < deadline, "the writer in round {round}: {error}");
            self.poll();
        }
        for _ in 0..2 {
            delivered.recv_timeout(DEADLINE).expect("a record is acknowledged").unwrap();
        }
        let wanted: BTreeSet<_> = (0..=round)
            .flat_map(|round| ["producer", "gapless", "writer"].map(|name| format!("{name}-{round}")))
            .collect();
        loop {
            let is_member = self.poll();
            let seen = [&self.tailed, &self.followed, &self.read];
            if is_member && seen.iter().all(|seen| seen.is_superset(&wanted)) {
                assert_eq!(self.reader.check(), Ok(()));
                return;
            }
            let why = format!(
                "round {round}: tail {:?}, follower {:?}, reader {:?}, member {is_member}",
                self.tailed, self.followed, self.read
            );
            assert!(Instant::now() < deadline, "{why}");
        }
    }
}

#[test]
fn clients_that_forgot_their_brokers_go_on() {
    let front = Front::new();
    let broker = Kafka::start_behind(front.port);
    *front.to.lock().unwrap() = Some(broker.bootstrap.rsplit_once(':').unwrap().1.parse().unwrap());
    let topic = |name: &str, partitions| TopicSpec { name: name.to_owned(), partitions, config: vec![] };
    let plain = KafkaSettings::plain(&front.address());
    kafka::apply(&plain, &[topic(TOPIC, 3), topic("slots", 2)], 1, DEADLINE).unwrap();
    // Asked for often, so that the moment finds a question of each.
    let often = "SIGHTLINE_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS";
    let settings = KafkaSettings::load_with(&front.address(), None, [(often.into(), "500".into())]).unwrap();
    let mut clients = Clients::connect(&settings);
    clients.do_their_work(0);

    front.names_none.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        clients.poll();
    }
    assert!(front.named_none.load(Ordering::SeqCst) >= 7, "each client is to forget its brokers");
    front.names_none.store(false, Ordering::SeqCst);

    clients.do_their_work(1);
    clients.do_their_work(2);
}
