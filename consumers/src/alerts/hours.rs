//! When a rule holds: hours of the day on days of the week, as clocks on the wall show them. Pure.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use sightline_schema::Timestamp;

const DAY: u16 = 24 * 60;

/// From one minute of a day to another, on some days of the week. What goes over midnight belongs to the day it began.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    /// Minutes since midnight.
    from: u16,
    /// Not in it any more; 1440 is the day's end.
    to: u16,
    /// Monday first.
    days: [bool; 7],
    zone: TimeZone,
}

impl Hours {
    /// `from` and `to` as "22:00", whole days without them; no days are all days.
    pub(super) fn new(
        from: Option<&str>,
        to: Option<&str>,
        days: &[Weekday],
        zone: &str,
    ) -> Result<Self, String> {
        let (from, to) = match (from, to) {
            (None, None) => (0, DAY),
            (Some(from), Some(to)) => (minute("from", from)?, minute("to", to)?),
            _ => return Err("give `from` and `to` together, or neither for whole days".to_owned()),
        };
        if from == to {
            return Err("`from` and `to` are the same; leave both out for whole days".to_owned());
        }
        if from == DAY {
            return Err("`from` can't be 24:00; write 00:00, and the day after in `days`".to_owned());
        }
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("time_zone: {zone:?} is not known; write a name like Europe/Berlin, or UTC")
        })?;
        let all = days.is_empty();
        let mut on = [all; 7];
        for day in days {
            on[day.to_monday_zero_offset() as usize] = true;
        }
        Ok(Self { from, to, days: on, zone })
    }

    pub fn hold(&self, at: Timestamp) -> bool {
        let Ok(at) = jiff::Timestamp::from_microsecond(at.as_micros()) else { return false };
        let at = at.to_zoned_datetime(self.zone.clone());
        let minute = at.hour() as u16 * 60 + at.minute() as u16;
        let today = at.weekday().to_monday_zero_offset() as usize;
        let yesterday = (today + 6) % 7;
        if self.from < self.to {
            self.days[today] && (self.from..self.to).contains(&minute)
        } else {
            (self.days[today] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
        }
    }
}

fn minute(field: &str, text: &str) -> Result<u16, String> {
    let wrong = || format!("{field}: {text:?} is no time of day; write it like \"22:00\"");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    match (number(hour), number(minute)) {
        (Some(hour), Some(minute)) if minute < 60 && (hour < 24 || (hour == 24 && minute == 0)) => {
            Ok(hour * 60 + minute)
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn hold(hours: &Hours, at: &str) -> bool {
        hours.hold(at.parse().unwrap())
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began() {
        // 2026-11-23 is a Monday.
        let night = Hours::new(Some("22:00"), Some("06:00"), &[Weekday::Monday], "Europe/Berlin").unwrap();
        for (at, holds) in [
            ("2026-11-23T21:59:59+01:00", false),
            ("2026-11-23T22:00:00+01:00", true),
            ("2026-11-24T05:59:59+01:00", true),
            ("2026-11-24T06:00:00+01:00", false),
            ("2026-11-23T05:00:00+01:00", false),
            ("2026-11-24T22:00:00+01:00", false),
        ] {
            assert_eq!(hold(&night, at), holds, "{at}");
        }
    }

    #[test]
    fn clocks_on_the_wall_are_what_counts_when_they_are_set() {
        let early = Hours::new(Some("02:00"), Some("03:30"), &[], "Europe/Berlin").unwrap();
        // In spring there is no 2 o'clock; in autumn there are two.
        for (at, holds) in [
            ("2026-03-29T00:59:59Z", false),
            ("2026-03-29T01:00:00Z", true),
            ("2026-03-29T01:30:00Z", false),
            ("2026-10-25T00:00:00Z", true),
            ("2026-10-25T01:59:59Z", true),
            ("2026-10-25T02:29:59Z", true),
            ("2026-10-25T02:30:00Z", false),
        ] {
            assert_eq!(hold(&early, at), holds, "{at}");
        }
        let whole = Hours::new(None, None, &[Weekday::Sunday], "Asia/Kolkata").unwrap();
        assert!(hold(&whole, "2026-11-21T18:30:00Z") && !hold(&whole, "2026-11-21T18:29:59Z"));
        assert!(hold(&whole, "2026-11-22T18:29:59Z") && !hold(&whole, "2026-11-22T18:30:00Z"));
    }

    /// Against windows laid out one by one from their beginnings.
    #[test]
    fn any_hours_are_those_of_the_windows_that_begin_on_their_days() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let week = jiff::civil::date(2026, 11, 23);
        for _ in 0..2000 {
            let (from, to) = (rng.random_range(0..DAY), rng.random_range(0..=DAY));
            if from == to {
                continue;
            }
            let days: Vec<Weekday> = (0..7)
                .filter(|_| rng.random_bool(0.5))
                .map(|day| Weekday::from_monday_zero_offset(day).unwrap())
                .collect();
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let hours = Hours::new(Some(&clock(from)), Some(&clock(to)), &days, "UTC").unwrap();
            let minute = rng.random_range(0..7 * i64::from(DAY));
            let length = (i64::from(to) - i64::from(from)).rem_euclid(i64::from(DAY));
            let length = if length == 0 { i64::from(DAY) } else { length };
            let truly = (-1..7).any(|day: i64| {
                let weekday = Weekday::from_monday_zero_offset(day.rem_euclid(7) as i8).unwrap();
                let begin = day * i64::from(DAY) + i64::from(from);
                (days.is_empty() || days.contains(&weekday)) && (begin..begin + length).contains(&minute)
            });
            let at = week.to_zoned_datetime(TimeZone::UTC).unwrap().timestamp().as_microsecond();
            let at = Timestamp::from_micros(at + minute * 60_000_000);
            assert_eq!(hours.hold(at), truly, "{hours:?} at {at}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_its_field() {
        for (from, to, zone, why) in [
            (Some("22"), Some("06:00"), "UTC", "from: \"22\" is no time of day"),
            (Some("22:00"), Some("6:60"), "UTC", "to: \"6:60\" is no time of day"),
            (Some("22:00"), Some("24:01"), "UTC", "to: \"24:01\""),
            (Some("22:00"), Some("+6:00"), "UTC", "to: \"+6:00\""),
            (Some("24:00"), Some("06:00"), "UTC", "`from` can't be 24:00"),
            (Some("22:00"), None, "UTC", "together"),
            (Some("22:00"), Some("22:00"), "UTC", "the same"),
            (None, None, "Berlin", "time_zone: \"Berlin\" is not known"),
        ] {
            let error = Hours::new(from, to, &[], zone).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
