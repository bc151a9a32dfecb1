use std::time::{Duration, Instant};

use super::*;

/// Numbers that look random and are the same on every run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn pairs(costs: &[Vec<f64>]) -> Vec<Pair> {
    let rows = costs.iter().enumerate();
    rows.flat_map(|(row, costs)| {
        costs.iter().enumerate().map(move |(column, &cost)| Pair { row, column, cost })
    })
    .collect()
}

/// Σ matched costs + limit / 2 per row and column left alone.
fn total(costs: &[Vec<f64>], columns: usize, limit: f64, column_of: &[Option<usize>]) -> f64 {
    let matched: Vec<f64> =
        column_of.iter().enumerate().filter_map(|(row, c)| c.map(|column| costs[row][column])).collect();
    let alone = costs.len() + columns - 2 * matched.len();
    matched.iter().sum::<f64>() + limit / 2.0 * alone as f64
}

/// The least total over all ways to match.
fn brute_force(costs: &[Vec<f64>], columns: usize, limit: f64) -> f64 {
    fn best(costs: &[Vec<f64>], taken: &mut Vec<bool>, limit: f64) -> f64 {
        let Some((row, rest)) = costs.split_first() else {
            return limit / 2.0 * taken.iter().filter(|&&taken| !taken).count() as f64;
        };
        let mut least = limit / 2.0 + best(rest, taken, limit);
        for column in 0..taken.len() {
            if !taken[column] && row[column] <= limit {
                taken[column] = true;
                least = least.min(row[column] + best(rest, taken, limit));
                taken[column] = false;
            }
        }
        least
    }
    best(costs, &mut vec![false; columns], limit)
}

#[test]
fn is_as_good_as_trying_everything() {
    let mut random = Random(7);
    for round in 0..3000 {
        let (rows, columns) = (random.below(6) as usize, random.below(6) as usize);
        // Coarse costs give many ties; every third round has negative ones.
        let shift = if round % 3 == 0 { 0.6 } else { 0.0 };
        let grain = if round % 2 == 0 { 10 } else { 1000 };
        let costs: Vec<Vec<f64>> = (0..rows)
            .map(|_| (0..columns).map(|_| random.below(grain) as f64 / grain as f64 - shift).collect())
            .collect();
        let limit = [0.2, 0.5, 0.8, 2.0, 0.0][round % 5];
        let column_of = assign(rows, columns, &pairs(&costs), limit);

        let mut taken: Vec<usize> = column_of.iter().flatten().copied().collect();
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0] != pair[1]), "a column twice: {column_of:?}");
        for (row, column) in column_of.iter().enumerate() {
            assert!(
                column.is_none_or(|column| costs[row][column] < limit),
                "{costs:?} {limit} {column_of:?}"
            );
        }
        let ours = total(&costs, columns, limit, &column_of);
        let least = brute_force(&costs, columns, limit);
        assert!(
            (ours - least).abs() < 1e-9,
            "{ours} where {least} is possible: {costs:?} {limit} {column_of:?}"
        );
    }
}

#[test]
fn what_is_not_listed_is_not_matched() {
    let listed = [Pair { row: 0, column: 1, cost: 0.3 }, Pair { row: 1, column: 1, cost: 0.1 }];
    assert_eq!(assign(3, 2, &listed, 0.8), [None, Some(1), None]);
    assert_eq!(assign(0, 4, &[], 0.8), []);
    assert_eq!(assign(2, 0, &[], 0.8), [None, None]);
}

#[test]
fn a_pair_is_given_up_for_better_ones() {
    // Alone, row 0 would take column 0; together the other diagonal costs 0.4 and not 0.1 + nothing.
    let costs = [vec![0.1, 0.2], vec![0.2, 0.9]];
    assert_eq!(assign(2, 2, &pairs(&costs), 0.8), [Some(1), Some(0)]);
    // 0.7 + 0.7 is more than 0.05 and two left alone at 0.8.
    let costs = [vec![0.05, 0.7], vec![0.7, 0.9]];
    assert_eq!(assign(2, 2, &pairs(&costs), 0.8), [Some(0), None]);
}

#[test]
fn a_cost_that_is_no_number_is_no_match() {
    let pair = Pair { row: 0, column: 0, cost: f64::NAN };
    assert_eq!(assign(1, 1, &[pair], 0.8), [None]);
}

#[test]
fn three_hundred_by_three_hundred_stay_quick() {
    let mut random = Random(11);
    for flood in 0..3 {
        let mut cost = |row: usize, column: usize| match flood {
            0 => random.below(1 << 20) as f64 / f64::from(1 << 20) * 0.79,
            1 => 0.5,
            // The classic hard case for augmenting paths: every row wants the same columns.
            _ => (row + 1) as f64 * (column + 1) as f64 / 120_000.0,
        };
        let costs: Vec<Vec<f64>> =
            (0..300).map(|row| (0..300).map(|column| cost(row, column)).collect()).collect();
        let pairs = pairs(&costs);
        let start = Instant::now();
        let column_of = assign(300, 300, &pairs, 0.8);
        let took = start.elapsed();
        assert_eq!(column_of.iter().flatten().count(), 300);
        assert!(took < Duration::from_secs(1), "{took:?}");
        println!("300 x 300: {took:?}");
    }
}
