#![allow(clippy::unwrap_used)]

use sightline_schema::JobSpec;

use super::*;

fn job() -> Job {
    Job {
        id: "job-1".to_owned(),
        uri: "file:///a.mp4".to_owned(),
        pool: "default".to_owned(),
        start: Timestamp::from_micros(0),
        spec: JobSpec::default(),
        labels: BTreeMap::new(),
        attempt: 1,
        not_before: None,
    }
}

#[derive(Default)]
struct Desk {
    state: JobsState,
    above: BTreeMap<String, Known>,
}

impl Desk {
    fn decide(&mut self, wish: Wish) -> Result<Decision, Problem> {
        let at = Timestamp::from_micros(1_000_000);
        Draft { state: &self.state, above: &mut self.above, at }.decide(&wish, "ops")
    }

    fn add(&mut self) -> Decision {
        self.decide(Wish::Add(Box::new(job()))).unwrap()
    }

    fn set(&mut self, state: JobState) {
        let at = Timestamp::from_micros(0);
        let mut status = JobStatus::of(&Job { attempt: 2, ..job() }, state, at, at);
        status.epoch = Some(7);
        let known = self.above.entry("job-1".to_owned()).or_default();
        known.status = Some(Arc::new(status));
    }

    fn cancel(&mut self) -> Result<Decision, Problem> {
        self.decide(Wish::Cancel("job-1".to_owned()))
    }

    fn retry(&mut self) -> Result<Decision, Problem> {
        self.decide(Wish::Retry("job-1".to_owned()))
    }
}

#[test]
fn adding_twice_is_one_job() {
    let mut desk = Desk::default();
    let first = desk.add();
    assert_eq!((first.outcome, first.queue.unwrap().id.as_str()), (Outcome::Added, "job-1"));
    assert_eq!(first.status.unwrap().state, JobState::Queued);
    assert_eq!(first.audit.unwrap().camera, "job-1");
    for state in JobState::ALL {
        let again = desk.add();
        assert_eq!(again.outcome, Outcome::Unchanged);
        assert!(again.status.is_none() && again.queue.is_none() && again.audit.is_none());
        desk.set(state);
    }
}

#[test]
fn a_cancel_ends_what_nobody_has_and_tells_whoever_has_it() {
    for state in [JobState::Queued, JobState::Waiting] {
        let mut desk = Desk::default();
        desk.set(state);
        let cancelled = desk.cancel().unwrap();
        assert_eq!(cancelled.status.unwrap().state, JobState::Cancelled);
        assert_eq!(cancelled.cancel.unwrap().unwrap().who, "ops");
        assert_eq!(desk.cancel().unwrap().outcome, Outcome::Unchanged);
    }
    for state in [JobState::Claimed, JobState::Running] {
        let mut desk = Desk::default();
        desk.set(state);
        let cancelled = desk.cancel().unwrap();
        assert!(cancelled.status.is_none() && cancelled.cancel.is_some());
        assert_eq!(desk.cancel().unwrap().outcome, Outcome::Unchanged);
        assert_eq!(desk.retry().unwrap_err().status, 409);
    }
    for state in [JobState::Done, JobState::Failed] {
        let mut desk = Desk::default();
        desk.set(state);
        let problem = desk.cancel().unwrap_err();
        assert_eq!(problem.status, 409);
        assert!(problem.detail.contains(state.as_str()), "{problem:?}");
    }
    assert_eq!(Desk::default().cancel().unwrap_err().status, 404);
}

#[test]
fn a_retry_begins_with_the_first_attempt_and_takes_a_cancel_back() {
    let mut desk = Desk::default();
    desk.set(JobState::Failed);
    let retried = desk.retry().unwrap();
    assert_eq!(retried.outcome, Outcome::Retried);
    assert_eq!((retried.status.unwrap().attempt, retried.queue.unwrap().attempt), (1, 1));
    assert!(retried.cancel.is_none());
    assert_eq!(desk.retry().unwrap_err().status, 409, "it is queued by now");
    desk.cancel().unwrap();
    let retried = desk.retry().unwrap();
    assert_eq!(retried.cancel, Some(None));
    assert_eq!(retried.known.cancel, None);
    assert!(retried.known.is_provisional() || retried.known.epoch.is_none());
    desk.set(JobState::Done);
    assert!(desk.retry().unwrap_err().detail.contains("other settings"));
    assert_eq!(Desk::default().retry().unwrap_err().status, 404);
}

#[test]
fn what_is_not_over_is_put_into_the_queue_again_and_nothing_else_is() {
    let mut desk = Desk::default();
    desk.add();
    let queued = desk.decide(Wish::Queue("job-1".to_owned())).unwrap();
    assert_eq!(
        (queued.outcome, queued.queue.map(|job| job.id)),
        (Outcome::Unchanged, Some("job-1".to_owned()))
    );
    // Left behind by a worker that stopped in its second attempt.
    desk.set(JobState::Queued);
    let left = desk.decide(Wish::Queue("job-1".to_owned())).unwrap();
    assert_eq!(left.queue.map(|job| job.attempt), Some(2));
    // Begun, and no worker for so long that Kafka has thrown its record away.
    desk.set(JobState::Running);
    let begun = desk.decide(Wish::Queue("job-1".to_owned())).unwrap();
    assert_eq!(begun.queue.map(|job| job.attempt), Some(2));
    desk.set(JobState::Done);
    assert!(desk.decide(Wish::Queue("job-1".to_owned())).unwrap().queue.is_none());
}
