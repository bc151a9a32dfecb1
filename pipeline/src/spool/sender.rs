//! The outbox's thread that sends: by one client until it can't go on, and then by the next.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::HEADER_TRACEPARENT;
use sightline_service::backoff::Backoff;
use sightline_service::kafka::{Delivered, FaultKind, KafkaFault, OnDelivery, Producer, SendError};
use sightline_service::trace::{Current, Entered, Known, Role, Span, Value};

use super::entry::{Outgoing, Refusal, Step, Traced};
use super::log::Log;
use super::outbox::{Connect, LOOK, Shared, State, lock, since};
use crate::trace::time;

/// How long a client whose own queue is full is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// What the sender found to do, beside waiting.
enum Work {
    Send(Outgoing),
    Load,
    Reload,
    Renew(KafkaFault),
    End,
}

impl Shared {
    /// The sender's thread: makes a client, sends by it, replaces it.
    pub(super) fn send(self: &Arc<Self>, topic: &str, connect: &Connect) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
        let mut rng = rand::rng();
        loop {
            let fault = match connect() {
                Err(fault) => fault,
                Ok(producer) => {
                    let Some(fault) = self.send_by(topic, &producer) else { return };
                    // Here, too, every record that was handed reports: none is under way after this.
                    drop(producer);
                    fault
                }
            };
            let mut state = self.state();
            state.trouble = None;
            if std::mem::take(&mut state.arrives) {
                backoff.reset();
            }
            drop(state);
            let mut log = self.log.as_ref().map(lock);
            self.state().queue.rewind(log.as_deref_mut());
            drop(log);
            // Which record is refused shows at once by sending them alone.
            if is_of_record(&fault) {
                continue;
            }
            let wait = backoff.next(&mut rng);
            let mut state = self.state();
            let waiting = state.queue.left();
            if self.say.now("send") {
                tracing::error!(
                    code = fault.kind.code(),
                    records = waiting,
                    "{fault}; the records wait, and go out by a new client in {:.1} s",
                    wait.as_secs_f64()
                );
            }
            state.waiting = Some(fault);
            let go_on = |state: &mut State| !state.no_more_sending;
            let waited = self.to_send.wait_timeout_while(state, wait, go_on);
            if waited.unwrap_or_else(PoisonError::into_inner).0.no_more_sending {
                return;
            }
        }
    }

    /// Sends by one client until it can't go on; `None` at the end.
    fn send_by(self: &Arc<Self>, topic: &str, producer: &Producer) -> Option<KafkaFault> {
        loop {
            match self.next_work(topic, producer) {
                Work::End => return None,
                Work::Renew(fault) => return Some(fault),
                Work::Load => self.with_log(|log, state| state.queue.load(log, Instant::now())),
                Work::Reload => self.with_log(|log, state| state.queue.reload(log)),
                Work::Send(outgoing) => {
                    let sent = self.hand(topic, producer, &outgoing);
                    let Err(error) = sent else { continue };
                    self.metrics.under_way(-1);
                    match error {
                        SendError::QueueFull => {
                            let mut state = self.state();
                            state.queue.taken_back(outgoing);
                            drop(self.to_send.wait_timeout(state, PAUSE));
                        }
                        SendError::Fatal(fault) => {
                            self.state().queue.taken_back(outgoing);
                            return Some(fault);
                        }
                        // The client looks at the record itself before it takes it.
                        SendError::Other(fault) if is_of_record(&fault) => {
                            self.report(topic, &outgoing, Err((Refusal::ForGood, fault)));
                        }
                        SendError::Other(fault) => {
                            self.state().queue.taken_back(outgoing);
                            return Some(fault);
                        }
                    }
                }
            }
        }
    }

    fn with_log(&self, work: impl FnOnce(&mut Log, &mut State)) {
        if let Some(log) = &self.log {
            let mut log = lock(log);
            work(&mut log, &mut self.state());
        }
    }

    fn next_work(&self, topic: &str, producer: &Producer) -> Work {
        let mut state = self.state();
        loop {
            if state.no_more_sending {
                return Work::End;
            }
            if let Some(fault) = state.trouble.clone() {
                return Work::Renew(fault);
            }
            let step = state.queue.step(Instant::now());
            (0..state.queue.take_given_up()).for_each(|_| self.metrics.refused(topic));
            match step {
                Step::Send(outgoing) => {
                    state.queue.handed(outgoing.place);
                    // Before, since its report may come before `send` returns.
                    self.metrics.under_way(1);
                    return Work::Send(outgoing);
                }
                Step::Load => return Work::Load,
                Step::Reload => return Work::Reload,
                Step::Wait => {}
            }
            let waited = self.to_send.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out()
                && let Some(fault) = producer.fatal()
            {
                return Work::Renew(fault);
            }
        }
    }

    fn hand(
        self: &Arc<Self>,
        topic: &str,
        producer: &Producer,
        outgoing: &Outgoing,
    ) -> Result<(), SendError> {
        let (shared, name) = (self.clone(), topic.to_owned());
        let told = Outgoing { payload: Arc::default(), ..outgoing.clone() };
        let on_delivery: OnDelivery = Box::new(move |delivered: Result<Delivered, KafkaFault>| {
            shared.metrics.under_way(-1);
            let outcome = delivered.map_err(|fault| {
                let refusal = match fault.kind {
                    FaultKind::TooLarge => Refusal::TooLarge,
                    FaultKind::InvalidRecord => Refusal::OfRecord,
                    _ => Refusal::Passing,
                };
                (refusal, fault)
            });
            shared.report(&name, &told, outcome);
        });
        let Outgoing { kind, camera, payload, traced, .. } = outgoing;
        let sent = match traced {
            None => producer.send(topic, camera, payload, kind.schema(), on_delivery),
            Some(traced) => {
                let traceparent = traced.context.to_string();
                let more = [(HEADER_TRACEPARENT, &*traceparent)];
                producer.send_with(topic, camera, payload, (kind.schema(), &more[..]), on_delivery)
            }
        };
        sent.map_err(|refused| refused.error)
    }

    /// A record arrived at a topic, or did not.
    fn report(&self, topic: &str, outgoing: &Outgoing, outcome: Result<Delivered, (Refusal, KafkaFault)>) {
        let traced = outgoing.traced.as_ref();
        let _entered = traced.map(|traced| enter(traced, &outgoing.camera));
        let mut state = self.state();
        let told = outcome.as_ref().map(|_| ()).map_err(|(refusal, _)| *refusal);
        let reported = state.queue.reported(outgoing.place, told, Instant::now());
        if let Some(traced) = traced {
            match &outcome {
                Ok(delivered) if reported.known => self.tell(topic, outgoing, traced, Ok(*delivered)),
                Err((_, fault)) if reported.given_up => self.tell(topic, outgoing, traced, Err(fault)),
                _ => {}
            }
        }
        match outcome {
            Ok(_) => {
                state.arrives = true;
                state.waiting = None;
                self.metrics.acknowledged(topic, reported.captured_at.map(since));
                if outgoing.replayed {
                    self.metrics.spool().replayed.inc();
                }
            }
            Err((refusal, fault)) => {
                if reported.given_up && self.say.now("refused") {
                    tracing::error!(
                        camera = &*outgoing.camera,
                        code = fault.kind.code(),
                        schema = outgoing.kind.schema(),
                        "a record is lost: {fault}; where a frame was, a gap/1 says so"
                    );
                }
                if refusal != Refusal::ForGood && fault.kind != FaultKind::Purged {
                    state.trouble.get_or_insert(fault);
                }
            }
        }
        state.settle_hold();
        drop(state);
        self.to_send.notify_one();
        self.room.notify_all();
    }
}

impl Shared {
    /// The way of a sampled frame's record, from its acceptance on.
    fn tell(
        &self,
        topic: &str,
        outgoing: &Outgoing,
        traced: &Traced,
        outcome: Result<Delivered, &KafkaFault>,
    ) {
        let mut attributes = vec![
            ("messaging.system", Value::from("kafka")),
            ("messaging.operation.type", "send".into()),
            ("messaging.destination.name", topic.into()),
            ("sightline.camera", (&*outgoing.camera).into()),
            ("sightline.epoch", traced.epoch.into()),
            ("sightline.seq", traced.seq.into()),
            ("sightline.replayed", outgoing.replayed.into()),
        ];
        if let Ok(Delivered { partition, offset }) = outcome {
            attributes.push(("messaging.destination.partition.id", partition.to_string().into()));
            attributes.push(("messaging.kafka.offset", offset.into()));
        }
        self.tracer.tell(Span {
            context: traced.context,
            parent: Some(traced.context.trace.span(Known::Frame)),
            name: "publish",
            role: Role::Producer,
            start: time(traced.accepted_at),
            end: SystemTime::now(),
            attributes,
            error: outcome.err().map(ToString::to_string),
        });
    }
}

fn enter(traced: &Traced, camera: &Arc<str>) -> Entered {
    Current { context: traced.context, camera: Arc::clone(camera) }.enter()
}

/// Another record may be taken.
fn is_of_record(fault: &KafkaFault) -> bool {
    matches!(fault.kind, FaultKind::TooLarge | FaultKind::InvalidRecord)
}
