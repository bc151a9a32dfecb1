//! Where a file lies and what it is called: its name says which records it holds, so that writing it again is writing the
//! same name.

use std::fmt;

use sightline_schema::slot_of;

/// What says that a file is one of ours.
const ENDING: &str = ".parquet";

/// A day, UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day(i32);

const DAY_US: i64 = 86_400_000_000;

impl Day {
    /// `None` outside the years 0001 to 9999, which file names and readers have no room for.
    pub(super) fn of_micros(micros: i64) -> Option<Self> {
        const FIRST: i64 = -719_162;
        const LAST: i64 = 2_932_896;
        let day = micros.div_euclid(DAY_US);
        ((FIRST..=LAST).contains(&day)).then_some(Self(day as i32))
    }
}

impl fmt::Display for Day {
    /// "civil_from_days" (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shifted = i64::from(self.0) + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Which of `buckets` a camera is in: Kafka's own hash, so that a partition has one bucket where their number divides that of
/// the partitions.
pub(super) fn bucket(camera: &str, buckets: u32) -> u32 {
    slot_of(camera, buckets)
}

/// The records from `first` to `last` of a partition, as far as they are of this day and bucket.
pub(super) fn path(topic: &str, day: Day, bucket: u32, partition: i32, (first, last): (i64, i64)) -> String {
    format!("{topic}/day={day}/cameras={bucket:02}/{topic}-{partition}-{first}-{last}{ENDING}")
}

/// Whether this path, as it is below the archive's root, is one that `path` gives for the topic.
pub(super) fn is_ours(path: &str, topic: &str) -> bool {
    let name = || {
        let mut parts = path.split('/');
        let is_place = parts.next()? == topic
            && parts.next()?.strip_prefix("day=")?.len() == 10
            && is_number(parts.next()?.strip_prefix("cameras=")?);
        let name = parts.next()?.strip_suffix(ENDING)?.strip_prefix(topic)?.strip_prefix('-')?;
        let mut numbers = name.split('-');
        let are_numbers = numbers.by_ref().take(3).filter(|number| is_number(number)).count() == 3;
        Some(is_place && are_numbers && numbers.next().is_none() && parts.next().is_none())
    };
    name().unwrap_or(false)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // By `date -u -d … +%s`.
        for (seconds, day) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (1_795_459_212, "2026-11-23"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
            (-62_135_596_800, "0001-01-01"),
        ] {
            assert_eq!(Day::of_micros(seconds * 1_000_000).unwrap().to_string(), day);
        }
        for outside in [i64::MIN, i64::MAX, 253_402_300_800_000_000, -62_135_596_800_000_001] {
            assert_eq!(Day::of_micros(outside), None);
        }
    }

    #[test]
    fn a_partition_is_in_one_bucket_where_they_divide() {
        for camera in 0..1000 {
            let camera = format!("camera-{camera}");
            let partition = bucket(&camera, 48);
            assert_eq!(bucket(&camera, 8), partition % 8);
        }
        assert_eq!(bucket("", 0), 0);
    }

    #[test]
    fn only_names_that_are_made_here_are_ours() {
        let topic = "acme-1.detections";
        let made = path(topic, Day(20_780), 3, 12, (4711, 9822));
        assert_eq!(
            made,
            "acme-1.detections/day=2026-11-23/cameras=03/acme-1.detections-12-4711-9822.parquet"
        );
        assert!(is_ours(&made, topic));
        for foreign in [
            "",
            "acme-1.detections",
            "acme-1.detections/day=2026-11-23/cameras=03/notes.parquet",
            "acme-1.detections/day=2026-11-23/cameras=03/acme-1.detections-12-4711.parquet",
            "acme-1.detections/day=2026-11-23/cameras=03/acme-1.detections-12-4711-9822-3.parquet",
            "acme-1.detections/day=2026-11-23/cameras=03/acme-1.detections-12-4711-98x2.parquet",
            "acme-1.detections/day=2026-11-23/cameras=03/acme-1.detections-12-4711-9822.csv",
            "acme-1.detections/day=2026-11-23/cameras=03/more/acme-1.detections-12-4711-9822.parquet",
            "acme-1.detections/day=2026-11-23/acme-1.detections-12-4711-9822.parquet",
            "acme-1.events/day=2026-11-23/cameras=03/acme-1.events-12-4711-9822.parquet",
        ] {
            assert!(!is_ours(foreign, topic), "{foreign}");
        }
    }
}
