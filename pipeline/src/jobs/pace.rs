//! How long a job still takes, by how it went so far. Pure.

use std::time::Duration;

use sightline_schema::JobProgress;

/// What is said too early is not worth saying.
const LEAST: Duration = Duration::from_secs(1);

/// Until the end of a job that has come so far in this time; `None` where the recording does not say how long it is, or it has
/// hardly begun.
pub(super) fn time_left(progress: &JobProgress, passed: Duration) -> Option<Duration> {
    let of_s = progress.of_s?;
    if passed < LEAST || progress.at_s <= 0.0 {
        return None;
    }
    let left_s = (of_s - progress.at_s).max(0.0) * passed.as_secs_f64() / progress.at_s;
    Duration::try_from_secs_f64(left_s).ok()
}

/// Whether a worker that has to stop within `grace` goes on with a job: unless it is known to take longer.
pub(super) fn is_worth_finishing(left: Option<Duration>, grace: Duration) -> bool {
    !grace.is_zero() && left.is_none_or(|left| left <= grace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(at_s: f64, of_s: Option<f64>) -> JobProgress {
        JobProgress { at_s, of_s, frames: 0 }
    }

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done() {
        let ten = Duration::from_secs(10);
        assert_eq!(time_left(&at(50.0, Some(200.0)), ten), Some(Duration::from_secs(30)));
        assert_eq!(time_left(&at(201.0, Some(200.0)), ten), Some(Duration::ZERO));
        assert_eq!(time_left(&at(50.0, None), ten), None);
        assert_eq!(time_left(&at(0.0, Some(200.0)), ten), None);
        assert_eq!(time_left(&at(50.0, Some(200.0)), Duration::from_millis(10)), None);
        assert_eq!(time_left(&at(1e-300, Some(1e300)), ten), None);
    }

    #[test]
    fn a_job_that_takes_longer_than_the_grace_is_left() {
        let seconds = Duration::from_secs;
        assert!(is_worth_finishing(Some(seconds(9)), seconds(10)));
        assert!(is_worth_finishing(None, seconds(10)));
        assert!(!is_worth_finishing(Some(seconds(11)), seconds(10)));
        assert!(!is_worth_finishing(None, Duration::ZERO));
    }
}
