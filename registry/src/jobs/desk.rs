//! Where wishes about jobs are handed in, and what whoever works them off needs.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use sightline_schema::Topics;
use sightline_service::kafka::{KafkaFault, KafkaSettings, Writer};
use sightline_service::shutdown::Shutdown;
use tokio::sync::oneshot;

use super::state::Known;
use super::view::JobsView;
use super::wish::{Outcome, Wish};
use crate::metrics::Metrics;
use crate::problem::Problem;

/// How long a new writer may wait for its coordinator.
const COORDINATOR: Duration = Duration::from_secs(30);

/// What came of a wish that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) known: Known,
    /// It is in its queue, and the view shows it. Else it will be.
    pub(crate) followed: bool,
}

pub(super) type Answer = Result<Done, Problem>;

/// A wish, and who waits for what comes of it.
pub(super) struct Handed {
    pub(super) wish: Wish,
    pub(super) who: String,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Takes wishes from any thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JobDesk(Sender<Handed>);

impl JobDesk {
    /// Hands a wish in; the answer comes when it is written, or refused.
    pub(crate) fn hand_in(&self, wish: Wish, who: &str) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        if let Err(mpsc::SendError(handed)) = self.0.send(Handed { wish, who: who.to_owned(), answer }) {
            // Who asked may be gone.
            let _ = handed.answer.send(Err(stopping()));
        }
        answered
    }
}

pub(super) fn stopping() -> Problem {
    Problem::unavailable("the registry is stopping; look, and try again")
}

/// The name that fences: there is one registry for each prefix of topics.
fn writer_name(topics: &Topics) -> String {
    format!("{}-jobs", crate::desk::writer_name(topics))
}

/// What the desk's thread works with.
pub(super) struct Clerk {
    pub(super) settings: KafkaSettings,
    pub(super) topics: Topics,
    pub(super) view: JobsView,
    pub(super) metrics: Metrics,
    /// Jobs that are over are forgotten after this; `None`: never.
    pub(super) keep: Option<Duration>,
    pub(super) shutdown: Shutdown,
}

impl Clerk {
    /// Fences whoever wrote before. Before anything is read, so that nothing is written behind what was read.
    pub(super) fn writer(&self) -> Result<Writer, KafkaFault> {
        Writer::new(&self.settings, &writer_name(&self.topics), COORDINATOR)
    }
}

/// The other end of a desk.
pub(super) struct Waiting(pub(super) Receiver<Handed>);

pub(super) fn desk() -> (JobDesk, Waiting) {
    let (wishes, waiting) = mpsc::channel();
    (JobDesk(wishes), Waiting(waiting))
}
