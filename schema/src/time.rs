//! Wall-clock time as it travels: RFC 3339, UTC, milliseconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A point on the wall clock: microseconds since the Unix epoch.
///
/// It is written with milliseconds ("2026-11-23T18:40:12.033Z"), rounded down, so that what was in order stays in
/// order; any RFC 3339 offset is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Times beyond what 64 bits of microseconds hold (292,000 years) become the nearest that they do.
    pub fn from_system_time(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => {
                Self(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros))
            }
        }
    }

    pub const fn saturating_add_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // jiff ends at the years ±9999; so does RFC 3339.
        let millis = self.0.div_euclid(1000);
        let nearest = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(nearest);
        write!(f, "{time:.3}")
    }
}

/// A text that should have been a time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a time; write it like 2026-11-23T18:40:12.033Z (RFC 3339)")]
pub struct ParseTimestampError {
    text: String,
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self(time.as_microsecond())),
            Err(_) => Err(ParseTimestampError { text: text.to_owned() }),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "RFC 3339, UTC, with milliseconds.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-11-23T18:40:12.033Z"]
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-11-23T18:40:12.033Z, by `date -u -d … +%s`.
    const MICROS: i64 = 1_795_459_212_033_000;

    #[test]
    fn is_written_with_milliseconds_in_utc() {
        assert_eq!(Timestamp::from_micros(MICROS).to_string(), "2026-11-23T18:40:12.033Z");
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            serde_json::to_string(&Timestamp::from_micros(MICROS)).unwrap(),
            "\"2026-11-23T18:40:12.033Z\""
        );
    }

    #[test]
    fn rounds_down_on_both_sides_of_the_epoch() {
        assert_eq!(Timestamp::from_micros(MICROS + 999).to_string(), "2026-11-23T18:40:12.033Z");
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_micros(-1001).to_string(), "1969-12-31T23:59:59.998Z");
    }

    #[test]
    fn reads_any_offset_and_any_number_of_decimals() {
        for text in [
            "2026-11-23T18:40:12.033Z",
            "2026-11-23T19:40:12.033+01:00",
            "2026-11-23T13:10:12.033-05:30",
            "2026-11-23t18:40:12.033000z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().as_micros(), MICROS, "{text}");
        }
        assert_eq!("1970-01-01T00:00:00.000001Z".parse(), Ok(Timestamp::from_micros(1)));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Timestamp::from_micros(1_000_000)));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "yesterday", "2026-11-23", "2026-11-23T18:40:12.033", "2026-13-23T18:40:12Z"] {
            let error = text.parse::<Timestamp>().unwrap_err().to_string();
            assert!(error.contains("RFC 3339"), "{error}");
        }
        assert!(serde_json::from_str::<Timestamp>("17").is_err());
    }

    #[test]
    fn the_ends_of_time_are_written_and_not_a_panic() {
        assert!(Timestamp::from_micros(i64::MAX).to_string().starts_with("9999-"));
        assert!(Timestamp::from_micros(i64::MIN).to_string().starts_with("-009999-"));
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end.saturating_add_micros(1), end);
    }

    #[test]
    fn converts_from_the_system_clock() {
        let after = UNIX_EPOCH + Duration::from_micros(1_234_567);
        assert_eq!(Timestamp::from_system_time(after).as_micros(), 1_234_567);
        let before = UNIX_EPOCH - Duration::from_micros(5);
        assert_eq!(Timestamp::from_system_time(before).as_micros(), -5);
    }
}
