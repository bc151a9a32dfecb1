//! Which partition of a queue a record goes to: the one with the least to do. Pure.

/// What waits in each partition; index is the partition's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    waiting: Vec<u64>,
    /// Where equals are counted from, so that not all begin with the first.
    turn: usize,
}

impl Spread {
    pub fn new(waiting: Vec<u64>, turn: usize) -> Self {
        Self { waiting, turn }
    }

    /// The index of the partition for one more, which is counted from now on. `None`: there is none.
    pub fn place(&mut self) -> Option<i32> {
        let count = self.waiting.len();
        let least = (0..count)
            .map(|step| (self.turn + step) % count)
            .min_by_key(|partition| self.waiting[*partition])?;
        self.waiting[least] += 1;
        self.turn = (least + 1) % count;
        i32::try_from(least).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(waiting: &[u64], turn: usize, jobs: usize) -> Vec<i32> {
        let mut spread = Spread::new(waiting.to_vec(), turn);
        (0..jobs).filter_map(|_| spread.place()).collect()
    }

    #[test]
    fn as_many_jobs_as_partitions_lie_on_one_each() {
        for turn in 0..48 {
            let mut partitions = taken(&[0; 48], turn, 48);
            partitions.sort_unstable();
            assert_eq!(partitions, (0..48).collect::<Vec<_>>());
        }
        assert_eq!(taken(&[0; 4], 2, 5), [2, 3, 0, 1, 2]);
    }

    #[test]
    fn what_has_least_to_do_is_filled_first() {
        assert_eq!(taken(&[3, 1, 0, 1], 0, 6), [2, 3, 1, 2, 3, 1]);
        assert!(taken(&[], 0, 1).is_empty());
    }
}
