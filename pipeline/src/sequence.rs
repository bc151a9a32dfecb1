//! Results back into stream order: workers finish when they finish.

use std::collections::BTreeMap;

/// Holds results until those before them are there. Tickets count from 0 without a hole.
#[derive(Debug)]
pub struct Sequence<T> {
    next: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self { next: 0, waiting: BTreeMap::new() }
    }
}

impl<T> Sequence<T> {
    /// Adds the result of a ticket; the results that are now in order come out of [`Sequence::pop`].
    pub fn insert(&mut self, ticket: u64, result: T) {
        debug_assert!(ticket >= self.next, "ticket {ticket} came twice");
        self.waiting.insert(ticket, result);
    }

    pub fn pop(&mut self) -> Option<T> {
        let result = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_in_is_stream_order_out() {
        let mut sequence = Sequence::default();
        let mut out = Vec::new();
        for ticket in [2, 0, 1, 4, 3, 5] {
            sequence.insert(ticket, ticket);
            out.extend(std::iter::from_fn(|| sequence.pop()));
        }
        assert_eq!(out, [0, 1, 2, 3, 4, 5]);
    }
}
