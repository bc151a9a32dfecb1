//! How far a partition is done, where records are done in any order. Pure.

use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The first offset not taken; `None` before the first record.
    taken: Option<i64>,
    /// Taken and not done.
    under_way: BTreeSet<i64>,
    committed: Option<i64>,
}

impl Progress {
    /// A record that there is nothing to do about.
    pub(super) fn pass(&mut self, offset: i64) {
        self.taken = Some(offset + 1);
    }

    /// A record that is done at some time.
    pub(super) fn begin(&mut self, offset: i64) {
        self.pass(offset);
        self.under_way.insert(offset);
    }

    pub(super) fn done(&mut self, offset: i64) {
        self.under_way.remove(&offset);
    }

    /// The first offset that is not done: none behind it was committed for it.
    pub(super) fn next(&self) -> Option<i64> {
        self.under_way.first().copied().or(self.taken)
    }

    /// The same where it has moved since the last commit.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        self.next().filter(|next| self.committed != Some(*next))
    }

    pub(super) fn committed(&mut self, next: i64) {
        self.committed = Some(next);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn nothing_undone_is_ever_behind_what_is_committed() {
        for seed in 0..100 {
            let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
            let (mut progress, mut undone, mut offset) = (Progress::default(), Vec::new(), 100);
            let mut committed = 0;
            for _ in 0..500 {
                match rng.random_range(0..4) {
                    0 => progress.pass(offset),
                    1 => {
                        progress.begin(offset);
                        undone.push(offset);
                    }
                    2 if !undone.is_empty() => {
                        progress.done(undone.swap_remove(rng.random_range(0..undone.len())));
                        continue;
                    }
                    _ => {
                        if let Some(next) = progress.uncommitted() {
                            assert!(next > committed && undone.iter().all(|offset| *offset >= next));
                            progress.committed(next);
                            committed = next;
                        }
                        continue;
                    }
                }
                // Transactions and compaction leave holes.
                offset += rng.random_range(1..4);
            }
            undone.iter().for_each(|offset| progress.done(*offset));
            assert_eq!(progress.next(), progress.taken);
        }
    }
}
