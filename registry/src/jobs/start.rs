//! When a recording began, by its name: a pattern with `%Y%m%d_%H%M%S` in it.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use sightline_schema::Timestamp;

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    /// `*`: whatever stands there.
    Anything,
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millis,
    Epoch,
}

impl Field {
    const fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'Y' => Self::Year,
            'y' => Self::YearOfCentury,
            'm' => Self::Month,
            'd' => Self::Day,
            'j' => Self::DayOfYear,
            'H' => Self::Hour,
            'M' => Self::Minute,
            'S' => Self::Second,
            'L' => Self::Millis,
            's' => Self::Epoch,
            _ => return None,
        })
    }

    /// Each has its number of digits: a name is read in one way.
    const fn digits(self) -> usize {
        match self {
            Self::Year => 4,
            Self::DayOfYear | Self::Millis => 3,
            Self::Epoch => 10,
            _ => 2,
        }
    }
}

/// What the fields said.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    millis: i64,
    epoch: Option<i64>,
}

impl Parts {
    fn set(&mut self, field: Field, value: i64) {
        match field {
            Field::Year => self.year = Some(value),
            Field::YearOfCentury => self.year = Some(2000 + value),
            Field::Month => self.month = Some(value),
            Field::Day => self.day = Some(value),
            Field::DayOfYear => self.day_of_year = Some(value),
            Field::Hour => self.hour = value,
            Field::Minute => self.minute = value,
            Field::Second => self.second = value,
            Field::Millis => self.millis = value,
            Field::Epoch => self.epoch = Some(value),
        }
    }

    /// `None`: there is no such time.
    fn time(self, offset: Offset) -> Option<Timestamp> {
        let millis = self.millis * 1000;
        if let Some(epoch) = self.epoch {
            return Some(Timestamp::from_micros(epoch.checked_mul(1_000_000)? + millis));
        }
        let year = i16::try_from(self.year?).ok()?;
        let small = |value: i64| i8::try_from(value).ok();
        let date = match (self.month, self.day, self.day_of_year) {
            (Some(month), Some(day), _) => Date::new(year, small(month)?, small(day)?).ok()?,
            (_, _, Some(day)) => {
                let first = Date::new(year, 1, 1).ok()?;
                let date = first.checked_add(jiff::Span::new().try_days(day - 1).ok()?).ok()?;
                (date.year() == year).then_some(date)?
            }
            _ => return None,
        };
        let (hour, minute, second) = (small(self.hour)?, small(self.minute)?, small(self.second)?);
        let time = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0).ok()?;
        let time = offset.to_timestamp(time).ok()?;
        Some(Timestamp::from_micros(time.as_microsecond() + millis))
    }
}

/// How names tell when a recording began.
#[derive(Clone, Debug)]
pub(crate) struct NamePattern {
    text: String,
    pieces: Vec<Piece>,
    offset: Offset,
}

/// What can't be a pattern: of which field, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PatternError {
    pub(crate) field: &'static str,
    pub(crate) reason: String,
    pub(crate) next_step: &'static str,
}

const LONGEST: usize = 256;
const FIELDS: &str =
    "%Y %m %d or %j, %H %M %S %L, or %s for seconds since 1970; * stands for anything, %% for a percent sign";

impl NamePattern {
    /// `utc_offset` is that of the clock that gave the names: `+02:00`.
    pub(crate) fn parse(text: &str, utc_offset: Option<&str>) -> Result<Self, PatternError> {
        let wrong = |reason: String| PatternError { field: "start_from_name", reason, next_step: FIELDS };
        if text.len() > LONGEST {
            return Err(wrong(format!("is longer than {LONGEST} bytes")));
        }
        let mut pieces = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            pieces.push(match letter {
                '*' => Piece::Anything,
                '%' => match letters.next() {
                    Some('%') => Piece::Char('%'),
                    other => {
                        let field = other.and_then(Field::of);
                        let shown = other.map(String::from).unwrap_or_default();
                        Piece::Field(field.ok_or_else(|| wrong(format!("%{shown} is not known")))?)
                    }
                },
                other => Piece::Char(other),
            });
        }
        let has = |field| pieces.contains(&Piece::Field(field));
        let year = has(Field::Year) || has(Field::YearOfCentury);
        let day = has(Field::Month) && has(Field::Day) || has(Field::DayOfYear);
        if !(year && day || has(Field::Epoch)) {
            return Err(wrong("names no day".to_owned()));
        }
        let offset = match utc_offset {
            None => Offset::UTC,
            Some(given) => offset(given).ok_or_else(|| PatternError {
                field: "utc_offset",
                reason: format!("{given:?} is no offset"),
                next_step: "write it like +02:00 or -05:30, or leave it out for UTC",
            })?,
        };
        Ok(Self { text: text.to_owned(), pieces, offset })
    }

    /// When the recording at this path began. A pattern with slashes is about as many folders, too.
    pub(crate) fn start(&self, path: &str) -> Result<Timestamp, String> {
        let folders = self.text.matches('/').count();
        let begin = path.rmatch_indices('/').nth(folders).map_or(0, |(at, _)| at + 1);
        let name: Vec<char> = path[begin..].chars().collect();
        let shown: String = name.iter().collect();
        let Some(parts) = self.read(&name) else {
            return Err(format!("the name {shown:?} does not fit {:?}", self.text));
        };
        parts.time(self.offset).ok_or_else(|| format!("the name {shown:?} names no time that there is"))
    }

    /// Going back to the last `*` alone is enough, as for any pattern whose other pieces have a fixed length.
    fn read(&self, name: &[char]) -> Option<Parts> {
        let mut parts = Parts::default();
        let (mut piece, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            let step = match self.pieces.get(piece) {
                None if at == name.len() => return Some(parts),
                None => None,
                Some(Piece::Anything) => {
                    star = Some((piece + 1, at));
                    piece += 1;
                    continue;
                }
                Some(Piece::Char(letter)) => (name.get(at) == Some(letter)).then_some(1),
                Some(Piece::Field(field)) => number(name, at, field.digits()).map(|value| {
                    parts.set(*field, value);
                    field.digits()
                }),
            };
            match (step, star) {
                (Some(length), _) => {
                    piece += 1;
                    at += length;
                }
                (None, Some((behind, from))) if from < name.len() => {
                    star = Some((behind, from + 1));
                    (piece, at) = (behind, from + 1);
                }
                (None, _) => return None,
            }
        }
    }
}

fn number(name: &[char], at: usize, digits: usize) -> Option<i64> {
    let digits = name.get(at..at + digits)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 10 + i64::from(digit.to_digit(10)?)))
}

fn offset(text: &str) -> Option<Offset> {
    if matches!(text, "Z" | "z") {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest: Vec<char> = text.chars().skip(1).filter(|letter| *letter != ':').collect();
    let (hours, minutes) = match rest.len() {
        2 => (number(&rest, 0, 2)?, 0),
        4 => (number(&rest, 0, 2)?, number(&rest, 2, 2)?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok().filter(|_| minutes < 60 && hours < 24)?;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn start(pattern: &str, offset: Option<&str>, path: &str) -> Result<String, String> {
        NamePattern::parse(pattern, offset).unwrap().start(path).map(|time| time.to_string())
    }

    #[test]
    fn names_tell_when_a_recording_began() {
        for (pattern, offset, path, told) in [
            ("*%Y%m%d_%H%M%S*", None, "a/gate-3_20261123_184012.mp4", "2026-11-23T18:40:12.000Z"),
            ("gate_%Y-%m-%d.mp4", None, "gate_2026-11-23.mp4", "2026-11-23T00:00:00.000Z"),
            ("*_%Y%m%d%H%M%S%L.ts", Some("+02:00"), "x_20261123184012033.ts", "2026-11-23T16:40:12.033Z"),
            (
                "%Y-%m-%d/%H-%M-%S.mp4",
                Some("-0530"),
                "cam/2026-11-23/23-00-00.mp4",
                "2026-11-24T04:30:00.000Z",
            ),
            ("%y%j-*", None, "26327-cam.mkv", "2026-11-23T00:00:00.000Z"),
            ("*%s*", None, "cam1795459212.mp4", "2026-11-23T18:40:12.000Z"),
            ("*-%Y%m%d*", None, "a-12-20261123.mp4", "2026-11-23T00:00:00.000Z"),
            ("100%%-%Y%m%d.mp4", None, "100%-20261123.mp4", "2026-11-23T00:00:00.000Z"),
        ] {
            assert_eq!(start(pattern, offset, path).as_deref(), Ok(told), "{pattern} {path}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_said() {
        for path in ["gate.mp4", "20261123.mp4", "x20261123_1840.mp4"] {
            assert!(start("*%Y%m%d_%H%M%S*", None, path).unwrap_err().contains("does not fit"), "{path}");
        }
        assert!(start("%Y%m%d", None, "20261323").unwrap_err().contains("no time that there is"));
        assert!(start("%Y%j", None, "2026366").unwrap_err().contains("no time that there is"));
        assert!(start("%Y%m%d%H", None, "2026112324").unwrap_err().contains("no time that there is"));
        let long = "a".repeat(1000);
        assert!(start("*a*a*a*a*a*a*a*a*b%Y%m%d", None, &long).is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (pattern, reason) in
            [("%H%M", "names no day"), ("%Y%m", "names no day"), ("%Q%Y%m%d", "%Q is not known")]
        {
            let error = NamePattern::parse(pattern, None).unwrap_err();
            assert_eq!((error.field, error.reason.as_str()), ("start_from_name", reason));
        }
        assert!(NamePattern::parse("%Y%m%d%", None).is_err());
        for offset in ["2", "+25:00", "+02:75", "Berlin", ""] {
            assert_eq!(NamePattern::parse("%s", Some(offset)).unwrap_err().field, "utc_offset", "{offset}");
        }
    }
}
