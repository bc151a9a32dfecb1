//! The table against the ground truth.

use std::collections::BTreeMap;

use crate::gaps::Gap;
use crate::ground::{Happened, What};

/// What is this near to a gap may or may not have been seen.
const MARGIN: i64 = 1_000_000;
/// How far a row's time may be from the truth: a box that is a little off, and one sampling interval.
const TOLERANCE: i64 = 500_000;
/// A track goes on behind a stretch that nobody saw, if it is no longer than this: what happened in it is seen at its end.
const GOES_ON: i64 = 2_000_000;
/// Who stands in a zone when a camera is seen again has appeared in it.
const APPEARS: i64 = 2_000_000;

/// A row of the table `events`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: What,
    pub(crate) at: i64,
    pub(crate) track: String,
    pub(crate) id: String,
}

#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// How many rows there had to be, by kind.
    pub(crate) required: BTreeMap<String, usize>,
    /// Those of them that are not in the table.
    pub(crate) missing: Vec<Happened>,
    /// Rows of something true, which had to be or might be there.
    pub(crate) true_rows: usize,
    /// Rows that nothing true has, or of something that has one already.
    pub(crate) extra: Vec<Row>,
    /// Such rows that follow from a gap.
    pub(crate) excused: BTreeMap<Excuse, usize>,
}

/// Why a row is there that nothing true has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excuse {
    /// Who is in a zone when a camera is seen again has entered it.
    Appeared,
    /// Who was in a zone when a gap began left it at the last sight.
    Cut,
    /// Who appeared dwells, and by a time of its own.
    DwelledSinceAppeared,
}

/// `truth` in the order of time.
pub(crate) fn compare(truth: &[Happened], rows: &[Row], gaps: &[Gap]) -> Compared {
    let mut compared = Compared::default();
    let mut whats: Vec<_> = truth.iter().map(|event| &event.what).collect();
    whats.extend(rows.iter().map(|row| &row.what));
    whats.sort();
    whats.dedup();
    for what in whats {
        let mut truth = truth.iter().filter(|event| event.what == *what).peekable();
        let mut alike: Vec<_> = rows.iter().filter(|row| row.what == *what).collect();
        alike.sort_by_key(|row| row.at);
        for row in alike {
            let earliest = earliest(row, gaps);
            while let Some(event) = truth.next_if(|event| event.at < earliest) {
                compared.count(event, false, gaps);
            }
            match truth.next_if(|event| event.at <= row.at + TOLERANCE) {
                Some(event) => {
                    compared.true_rows += 1;
                    compared.count(event, true, gaps);
                }
                None => match excuse(row, rows, gaps) {
                    Some(excuse) => *compared.excused.entry(excuse).or_default() += 1,
                    None => compared.extra.push(row.clone()),
                },
            }
        }
        truth.for_each(|event| compared.count(event, false, gaps));
    }
    compared
}

impl Compared {
    fn count(&mut self, event: &Happened, is_there: bool, gaps: &[Gap]) {
        let (from, to) = (event.since - MARGIN, event.until + MARGIN);
        if gaps.iter().any(|gap| gap.from < to && from < gap.to) {
            return;
        }
        *self.required.entry(event.what.kind.clone()).or_default() += 1;
        if !is_there {
            self.missing.push(event.clone());
        }
    }
}

/// When that can have happened, at the earliest, of which a row is.
fn earliest(row: &Row, gaps: &[Gap]) -> i64 {
    let is_behind = |gap: &&Gap| gap.to <= row.at && row.at <= gap.to.saturating_add(TOLERANCE);
    let unseen = gaps.iter().filter(is_behind).map(|gap| gap.from).filter(|from| row.at - GOES_ON <= *from);
    unseen.chain([row.at]).min().unwrap_or(row.at) - TOLERANCE
}

fn excuse(row: &Row, rows: &[Row], gaps: &[Gap]) -> Option<Excuse> {
    let What { kind, how, place, .. } = &row.what;
    let begins_with =
        |other: &Row| (&other.track, &other.what.place) == (&row.track, place) && has_appeared(other, gaps);
    match (kind.as_str(), how.as_str()) {
        _ if has_appeared(row, gaps) => Some(Excuse::Appeared),
        ("zone_left", "vanished") if gaps.iter().any(|gap| cuts(gap, row.at)) => Some(Excuse::Cut),
        ("dwelled", _) if rows.iter().any(begins_with) => Some(Excuse::DwelledSinceAppeared),
        _ => None,
    }
}

fn has_appeared(row: &Row, gaps: &[Gap]) -> bool {
    let is_behind = |gap: &Gap| gap.to <= row.at && row.at <= gap.to.saturating_add(APPEARS);
    row.what.how == "appeared" && gaps.iter().any(is_behind)
}

/// The last sight need not be in the very last result.
fn cuts(gap: &Gap, at: i64) -> bool {
    at <= gap.from && gap.from.saturating_sub(TOLERANCE) <= at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gaps::Why;

    fn entered() -> What {
        What { kind: "zone_entered".to_owned(), ..What::default() }
    }

    fn truth(at: i64) -> Happened {
        Happened { what: entered(), at, since: at, until: at }
    }

    fn row(at: i64) -> Row {
        Row { what: entered(), at, track: String::new(), id: String::new() }
    }

    /// True rows, missing events, and rows too many.
    fn counted(truth: &[Happened], rows: &[Row], gaps: &[Gap]) -> (usize, usize, usize) {
        let compared = compare(truth, rows, gaps);
        (compared.true_rows, compared.missing.len(), compared.extra.len())
    }

    #[test]
    fn what_happened_unseen_is_seen_at_the_end_of_the_gap_once() {
        let gap = |from, to| [Gap { from, to, why: Why::Overload(7) }];
        let (short, long) = (gap(10_000_000, 10_800_000), gap(10_000_000, 13_000_000));
        let happened = [truth(10_100_000)];
        assert_eq!(counted(&happened, &[row(10_800_000)], &short), (1, 0, 0));
        assert_eq!(counted(&happened, &[row(10_800_000), row(10_900_000)], &short), (1, 0, 1));
        assert_eq!(counted(&happened, &[row(10_800_000)], &[]), (0, 1, 1), "without a gap it is too late");
        assert_eq!(
            counted(&happened, &[row(11_400_000)], &short),
            (0, 0, 1),
            "so it is when it was seen before"
        );
        assert_eq!(counted(&happened, &[row(13_000_000)], &long), (0, 0, 1), "no track goes on so long");
        assert_eq!(counted(&[], &[row(10_800_000)], &short), (0, 0, 1), "a gap alone is no reason");
    }
}
