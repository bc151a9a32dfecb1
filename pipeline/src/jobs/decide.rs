//! What becomes of the record at the head of a partition. Pure.

use std::time::Duration;

use sightline_schema::{Job, JobState, Timestamp};

/// Who works at a job says so every 5 s; one that was not heard of for this long is dead.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// A job in which so many workers died is given up: it may well be what kills them, and would go on to kill one after the
/// other. More than a few, since a node that is lost and a Kafka that is away for long count, too.
pub(super) const DEATHS: u32 = 5;
/// A record that is not due is put behind the others at most this often.
pub(super) const MOVE: Duration = Duration::from_secs(1);

/// What the statuses say of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) state: JobState,
    pub(super) attempt: u32,
    /// How often its worker was not heard of any more, before this.
    pub(super) deaths: u32,
    /// How long ago it was said.
    pub(super) ago: Duration,
}

impl Known {
    /// How often its worker was not heard of any more, where the silence is one. Who leaves a job says so, and has not died.
    pub(super) fn deaths_by_now(&self) -> u32 {
        let is_silent = self.state.is_in_work() && self.ago >= SILENCE;
        self.deaths.saturating_add(u32::from(is_silent))
    }
}

/// A record, and what lies around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) job: &'a Job,
    pub(super) known: Option<Known>,
    /// Somebody wants it no more.
    pub(super) is_cancelled: bool,
    /// This very worker is at it.
    pub(super) is_here: bool,
    /// Something lies behind it in its partition.
    pub(super) holds_others_up: bool,
    /// How long it has been at the head.
    pub(super) waited: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is nothing left to do for it: commit past it.
    Pass,
    /// Say that it is cancelled, and commit past it.
    Cancel,
    /// Say that it failed for good, and commit past it: too many workers died in it.
    GiveUp,
    /// Claim it.
    Take,
    /// It is not due, and holds others up: write it again behind them.
    Move,
    /// Look again.
    Wait,
}

/// What to do with the record now.
pub(super) fn decide(head: &Head<'_>, now: Timestamp) -> Verdict {
    if head.is_here {
        return Verdict::Wait;
    }
    if let Some(Known { state, attempt, ago, .. }) = head.known {
        let is_over = match state {
            JobState::Done | JobState::Cancelled => true,
            JobState::Failed => attempt >= head.job.attempt,
            // A later attempt was made of it: this record was left by who died between two writes.
            _ => attempt > head.job.attempt,
        };
        if is_over {
            return Verdict::Pass;
        }
        if state.is_in_work() && ago < SILENCE {
            return Verdict::Wait;
        }
    }
    if head.is_cancelled {
        return Verdict::Cancel;
    }
    if head.known.is_some_and(|known| known.deaths_by_now() >= DEATHS) {
        return Verdict::GiveUp;
    }
    match head.job.not_before {
        Some(due) if due > now && head.holds_others_up && head.waited >= MOVE => Verdict::Move,
        Some(due) if due > now => Verdict::Wait,
        _ => Verdict::Take,
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use std::collections::BTreeMap;

    use sightline_schema::JobSpec;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
    const FRESH: Duration = Duration::from_secs(4);

    fn job(attempt: u32, due_in_s: Option<i64>) -> Job {
        Job {
            id: "job-1".into(),
            uri: "a.mp4".into(),
            pool: "default".into(),
            start: Timestamp::from_micros(0),
            spec: JobSpec::default(),
            labels: BTreeMap::new(),
            attempt,
            not_before: due_in_s.map(|seconds| NOW.saturating_add_micros(seconds * 1_000_000)),
        }
    }

    fn head<'a>(job: &'a Job, known: Option<(JobState, u32, Duration)>) -> Head<'a> {
        Head {
            job,
            known: known.map(|(state, attempt, ago)| Known { state, attempt, deaths: 0, ago }),
            is_cancelled: false,
            is_here: false,
            holds_others_up: true,
            waited: MOVE,
        }
    }

    #[test]
    fn a_job_is_taken_unless_it_is_over_or_in_work_elsewhere() {
        use JobState::{Cancelled, Claimed, Done, Failed, Queued, Running, Waiting};
        let cases = [
            (2, None, Verdict::Take),
            (1, Some((Queued, 1, FRESH)), Verdict::Take),
            (2, Some((Waiting, 2, FRESH)), Verdict::Take),
            (1, Some((Done, 1, FRESH)), Verdict::Pass),
            (3, Some((Done, 1, FRESH)), Verdict::Pass),
            (1, Some((Cancelled, 1, FRESH)), Verdict::Pass),
            (3, Some((Failed, 3, FRESH)), Verdict::Pass),
            (2, Some((Failed, 3, FRESH)), Verdict::Pass),
            (2, Some((Failed, 1, FRESH)), Verdict::Take),
            (1, Some((Waiting, 2, FRESH)), Verdict::Pass),
            (1, Some((Running, 2, FRESH)), Verdict::Pass),
            (1, Some((Running, 1, FRESH)), Verdict::Wait),
            (1, Some((Claimed, 1, FRESH)), Verdict::Wait),
            (1, Some((Running, 1, SILENCE)), Verdict::Take),
            // One that was left behind by a crash waits for the attempt before it.
            (2, Some((Running, 1, FRESH)), Verdict::Wait),
            (2, Some((Running, 1, SILENCE)), Verdict::Take),
        ];
        for (attempt, known, wanted) in cases {
            assert_eq!(decide(&head(&job(attempt, None), known), NOW), wanted, "{attempt} {known:?}");
        }
    }

    #[test]
    fn what_is_not_due_goes_behind_the_others() {
        let (due, later) = (job(2, Some(0)), job(2, Some(1)));
        assert_eq!(decide(&head(&due, None), NOW), Verdict::Take);
        assert_eq!(decide(&head(&later, None), NOW), Verdict::Move);
        let alone = Head { holds_others_up: false, ..head(&later, None) };
        assert_eq!(decide(&alone, NOW), Verdict::Wait);
        let just_seen = Head { waited: Duration::ZERO, ..head(&later, None) };
        assert_eq!(decide(&just_seen, NOW), Verdict::Wait);
    }

    #[test]
    fn a_cancel_ends_what_nobody_works_at() {
        let job = job(1, Some(60));
        let cancelled = |known| decide(&Head { is_cancelled: true, ..head(&job, known) }, NOW);
        assert_eq!(cancelled(None), Verdict::Cancel);
        assert_eq!(cancelled(Some((JobState::Waiting, 1, FRESH))), Verdict::Cancel);
        assert_eq!(cancelled(Some((JobState::Done, 1, FRESH))), Verdict::Pass);
        // Who works at it obeys, unless it is dead.
        assert_eq!(cancelled(Some((JobState::Running, 1, FRESH))), Verdict::Wait);
        assert_eq!(cancelled(Some((JobState::Running, 1, SILENCE))), Verdict::Cancel);
        let here = Head { is_here: true, is_cancelled: true, ..head(&job, None) };
        assert_eq!(decide(&here, NOW), Verdict::Wait);
    }

    /// A file that kills who reads it would kill one after the other.
    #[test]
    fn a_job_in_which_too_many_workers_died_is_given_up() {
        use JobState::{Claimed, Queued, Running};
        let job = job(1, None);
        let known = |state, deaths, ago| Some(Known { state, attempt: 1, deaths, ago });
        let of = |known| decide(&Head { known, ..head(&job, None) }, NOW);
        assert_eq!(of(known(Running, DEATHS - 2, SILENCE)), Verdict::Take);
        assert_eq!(of(known(Running, DEATHS - 1, SILENCE)), Verdict::GiveUp);
        assert_eq!(of(known(Claimed, DEATHS - 1, SILENCE)), Verdict::GiveUp);
        // Who is at it may yet finish it, and who left it at a stop has not died.
        assert_eq!(of(known(Running, DEATHS - 1, FRESH)), Verdict::Wait);
        assert_eq!(of(known(Queued, DEATHS - 1, SILENCE)), Verdict::Take);
        let known = known(Running, DEATHS - 1, SILENCE);
        let cancelled = Head { known, is_cancelled: true, ..head(&job, None) };
        assert_eq!(decide(&cancelled, NOW), Verdict::Cancel);
    }

    /// Each takeover counts one, and a stop in between takes none back.
    #[test]
    fn the_dead_are_counted_from_claim_to_claim() {
        let mut deaths = 0;
        for (state, ago, wanted) in [
            (JobState::Running, SILENCE, 1),
            (JobState::Queued, SILENCE, 1),
            (JobState::Waiting, SILENCE, 1),
            (JobState::Claimed, SILENCE, 2),
        ] {
            deaths = Known { state, attempt: 1, deaths, ago }.deaths_by_now();
            assert_eq!(deaths, wanted, "{state}");
        }
    }

    /// Of all there is: nothing is passed over that is not over, and nothing is taken that another has.
    #[test]
    fn every_verdict_has_its_reason() {
        for (state, attempt, of) in JobState::ALL
            .into_iter()
            .flat_map(|state| [1, 2, 3].map(|attempt| (state, attempt)))
            .flat_map(|(s, a)| [1, 2, 3].map(|of| (s, a, of)))
        {
            for (ago, due, cancelled) in
                [(FRESH, None, false), (SILENCE, Some(9), false), (FRESH, Some(9), true)]
            {
                let job = job(of, due);
                let head = Head { is_cancelled: cancelled, ..head(&job, Some((state, attempt, ago))) };
                match decide(&head, NOW) {
                    Verdict::Pass => {
                        assert!(matches!(state, JobState::Done | JobState::Cancelled) || attempt >= of);
                    }
                    Verdict::Take => {
                        assert!(!(state.is_in_work() && ago < SILENCE) && due.is_none() && !cancelled);
                    }
                    Verdict::Cancel => assert!(cancelled),
                    Verdict::GiveUp => panic!("nobody died"),
                    Verdict::Move => assert!(due.is_some() && !cancelled),
                    Verdict::Wait => assert!(state.is_in_work() && ago < SILENCE),
                }
            }
        }
    }
}
