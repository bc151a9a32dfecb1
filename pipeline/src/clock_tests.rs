use super::*;

const PICTURE_US: i64 = 40_000;
const HOUR_US: i64 = 3_600_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A camera that is looked at by a clock: true time counts from 0, our wall clock is true.
struct Watched {
    clock: CaptureClock,
    n: i64,
    /// Its wall clock minus the truth.
    set_us: i64,
    /// Its pts run faster than the truth by this, ppm.
    drift_ppm: i64,
    reports: bool,
    stamps: Vec<(i64, Timestamp)>,
    changes: Vec<Change>,
}

impl Watched {
    fn new(assumed_ms: i64) -> Self {
        Self {
            clock: CaptureClock::new(Clock::Arrival, assumed_ms),
            n: 0,
            set_us: 0,
            drift_ppm: 0,
            reports: false,
            stamps: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Pictures for so long, each 30 to 90 ms on its way.
    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds * 1_000_000 / PICTURE_US {
            let taken = self.n * PICTURE_US;
            let pts = taken + taken * self.drift_ppm / 1_000_000;
            let delay = 30_000 + if self.n % 3 == 0 { (self.n * 7_919) % 60_000 } else { 0 };
            let camera = self.reports.then(|| at(taken + self.set_us));
            let stamp = self.clock.stamp(pts, at(taken + delay), camera);
            self.stamps.push((taken, stamp.captured_at));
            self.changes.extend(stamp.change);
            self.n += 1;
        }
    }

    /// `captured_at` minus the truth of the last picture, µs.
    fn error_us(&self) -> i64 {
        let (taken, captured_at) = self.stamps.last().copied().unwrap_or((0, at(0)));
        captured_at.as_micros() - taken
    }

    fn assert_never_back(&self) {
        assert!(self.stamps.is_sorted_by(|a, b| a.1 < b.1), "captured_at went back or stood still");
    }

    /// The largest step between two neighbours from picture `from` on, beyond the pictures' distance, ppm.
    fn steepest_ppm(&self, from: usize) -> i64 {
        let step = |pair: &[(i64, Timestamp)]| {
            (pair[1].1.as_micros() - pair[0].1.as_micros() - PICTURE_US).abs() * 1_000_000 / PICTURE_US
        };
        self.stamps[from..].windows(2).map(step).max().unwrap_or(0)
    }
}

#[test]
fn the_first_report_anchors_the_clock() {
    let mut watched = Watched::new(0);
    watched.run(2);
    assert_eq!(watched.clock.kind(), Clock::Arrival);
    (watched.reports, watched.set_us) = (true, 2_500_000);
    watched.run(1);
    assert_eq!((watched.clock.kind(), watched.error_us()), (Clock::Ntp, 2_500_000));
    assert_eq!(watched.clock.offset_ms(), Some(2_470));
    assert_eq!(watched.changes, [Change::Kind]);
    watched.assert_never_back();
}

#[test]
fn a_report_from_before_the_arrival_is_reached_without_going_back() {
    let mut watched = Watched::new(0);
    watched.run(2);
    (watched.reports, watched.set_us) = (true, -400_000);
    watched.run(5);
    assert_eq!(watched.error_us(), -400_000);
    watched.assert_never_back();
}

#[test]
fn a_late_first_report_moves_the_clock_little_by_little() {
    let mut watched = Watched::new(0);
    watched.run(8);
    (watched.reports, watched.set_us) = (true, 200_000);
    watched.run(100);
    assert!(watched.steepest_ppm(25 * 8) <= 501, "{} ppm", watched.steepest_ppm(25 * 8));
    assert!((75_000..85_000).contains(&watched.error_us()), "{}", watched.error_us());
    watched.run(400);
    assert_eq!((watched.error_us(), watched.clock.kind()), (200_000, Clock::Ntp));
    watched.assert_never_back();
}

#[test]
fn absurd_reports_are_shown_and_not_believed() {
    for set_us in [-56 * 365 * 24 * HOUR_US, HOUR_US, -HOUR_US] {
        let mut watched = Watched::new(0);
        (watched.reports, watched.set_us) = (true, set_us);
        watched.run(60);
        assert_eq!((watched.clock.kind(), watched.changes.as_slice()), (Clock::Arrival, &[][..]));
        assert!((0..=90_000).contains(&watched.error_us()), "{}", watched.error_us());
        assert_eq!(watched.clock.offset_ms(), Some((set_us - 30_000) / 1_000));
        watched.assert_never_back();
    }
}

#[test]
fn a_clock_that_is_set_forwards_is_followed() {
    let mut watched = Watched::new(0);
    watched.reports = true;
    watched.run(10);
    watched.set_us = 4_000_000;
    watched.run(10);
    assert_eq!((watched.error_us(), watched.clock.kind()), (4_000_000, Clock::Ntp));
    assert_eq!(watched.changes, [Change::Kind, Change::Stepped]);
    watched.assert_never_back();
}

#[test]
fn a_clock_that_is_set_backwards_goes_on_and_the_offset_shows_it() {
    let mut watched = Watched::new(0);
    watched.reports = true;
    watched.run(10);
    watched.set_us = -3_000_000;
    watched.run(10);
    assert_eq!((watched.error_us(), watched.clock.offset_ms()), (0, Some(-3_030)));
    watched.set_us = 0;
    watched.run(10);
    assert_eq!((watched.error_us(), watched.clock.offset_ms()), (0, Some(-30)));
    assert_eq!(watched.changes, [Change::Kind, Change::Stepped, Change::Stepped]);
    watched.assert_never_back();
}

#[test]
fn a_step_beyond_belief_falls_back_on_arrival() {
    let mut watched = Watched::new(0);
    watched.reports = true;
    watched.run(10);
    watched.set_us = HOUR_US;
    watched.run(30);
    assert_eq!((watched.clock.kind(), watched.clock.offset_ms()), (Clock::Arrival, Some(3_599_970)));
    assert!((0..=90_000).contains(&watched.error_us()), "{}", watched.error_us());
    assert!(watched.steepest_ppm(1) <= 501, "no jump");
    watched.set_us = 0;
    watched.run(30);
    assert_eq!(watched.clock.kind(), Clock::Ntp);
    watched.assert_never_back();
}

#[test]
fn drift_is_followed_with_and_without_reports() {
    for reports in [true, false] {
        for drift_ppm in [-200, 0, 200] {
            let mut watched = Watched::new(0);
            (watched.reports, watched.drift_ppm) = (reports, drift_ppm);
            let mut furthest = 0;
            for _ in 0..120 {
                watched.run(60);
                furthest = furthest.max((watched.error_us() - if reports { 0 } else { 30_000 }).abs());
            }
            let allowed = if reports { 1_000 } else { 60_000 };
            assert!(furthest <= allowed, "{reports} {drift_ppm}: {furthest} µs from the truth");
            assert!(watched.steepest_ppm(25 * 20) <= 801, "{} ppm", watched.steepest_ppm(25 * 20));
            let expected: &[Change] = if reports { &[Change::Kind] } else { &[] };
            assert_eq!(watched.changes, expected);
            watched.assert_never_back();
        }
    }
}

#[test]
fn a_successor_reads_arrivals_as_its_predecessor_last_did() {
    let mut watched = Watched::new(7_000);
    watched.run(10);
    assert!((7_000_000..7_100_000).contains(&watched.error_us()), "{}", watched.error_us());
    assert_eq!(watched.clock.kind(), Clock::Arrival);
}

#[test]
fn what_is_promised_holds_for_frames_on_their_way() {
    let mut clock = CaptureClock::new(Clock::Arrival, 0);
    clock.stamp(0, at(1_000_000), None);
    let promised = clock.promise(at(9_000_000));
    assert_eq!(promised, at(7_000_000));
    let next = clock.stamp(6_500_000, at(9_000_100), None).captured_at;
    assert_eq!(next, at(7_000_000 + 3_250_000), "behind the promise, however it is reached");
}

#[test]
fn a_file_counts_from_where_it_was_opened() {
    let mut clock = CaptureClock::new(Clock::File, 0);
    assert_eq!(clock.stamp(0, at(1_000_000), None).captured_at, at(1_000_000));
    assert_eq!(clock.stamp(900_000, at(1_000_010), None).captured_at, at(1_900_000));
    assert_eq!(clock.promise(at(1_000_020)), at(1_900_000));
}

#[test]
fn rounds_of_a_file_stay_with_the_wall_clock() {
    let mut clock = CaptureClock::new(Clock::Arrival, 0);
    let (mut pts, mut wall) = (0, 0);
    for _ in 0..20 {
        for _ in 0..30 * 25 {
            let at = clock.stamp(pts, at(wall), None).captured_at.as_micros();
            assert!((at - wall).abs() < 2_000, "{} µs off", at - wall);
            (pts, wall) = (pts + PICTURE_US, wall + PICTURE_US);
        }
        pts += 1_100_000;
        clock.pts_moved(1_100_000);
    }
}
