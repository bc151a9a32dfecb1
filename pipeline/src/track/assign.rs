//! Rectangular assignment with a cost limit, exactly: shortest augmenting paths (Jonker and Volgenant, 1987;
//! Crouse, "On implementing 2D rectangular assignment algorithms", 2016).

/// A row and a column that may be matched, and what that costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// Finite; may be negative.
    pub(crate) cost: f64,
}

/// For each row the column it is matched with. Minimises the sum of the costs of the matched pairs plus
/// `limit / 2` for each row and each column left alone (the meaning of `cost_limit` in the `lap` package's
/// `lapjv`): a pair that costs `limit` or more is never matched, and one is given up where that makes room
/// for better ones. Pairs that are not listed are never matched.
///
/// At most `rows · (pairs + columns²)` steps, usually near `pairs`: a search ends as soon as giving the row
/// up is cheaper.
pub(crate) fn assign(rows: usize, columns: usize, pairs: &[Pair], limit: f64) -> Vec<Option<usize>> {
    let mut problem = Problem::new(rows, columns, pairs, limit);
    for row in 0..rows {
        problem.place(row);
    }
    problem.column_of
}

/// The primal and dual solution over the rows placed so far. Each row has, besides the real columns, one of
/// its own that stands for "alone" and costs `limit`; as nobody else can want it, it needs no storage.
struct Problem {
    limit: f64,
    /// Per row: columns and costs below the limit.
    costs: Vec<Vec<(usize, f64)>>,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    column_of: Vec<Option<usize>>,
    row_of: Vec<Option<usize>>,
    search: Search,
}

/// One search for a shortest path, Dijkstra on reduced costs.
struct Search {
    /// Per column: length of the best path found to it, and the row it comes from.
    distance: Vec<f64>,
    from: Vec<usize>,
    done: Vec<bool>,
    /// The columns reached, so that a search costs nothing for the others.
    reached: Vec<usize>,
}

/// Where a path ends: at a column nobody has, or with a row that is better left alone.
#[derive(Clone, Copy)]
enum End {
    Column(usize),
    Alone(usize),
}

impl Problem {
    fn new(rows: usize, columns: usize, pairs: &[Pair], limit: f64) -> Self {
        let mut costs = vec![Vec::new(); rows];
        for pair in pairs {
            debug_assert!(pair.column < columns);
            if pair.cost < limit {
                costs[pair.row].push((pair.column, pair.cost));
            }
        }
        Self {
            limit,
            costs,
            row_price: vec![0.0; rows],
            column_price: vec![0.0; columns],
            column_of: vec![None; rows],
            row_of: vec![None; columns],
            search: Search {
                distance: vec![f64::INFINITY; columns],
                from: vec![0; columns],
                done: vec![false; columns],
                reached: Vec::new(),
            },
        }
    }

    fn place(&mut self, start: usize) {
        let mut row = start;
        let mut length = 0.0;
        let mut end = End::Alone(start);
        let mut end_length = self.limit;
        loop {
            self.reach_from(row, length);
            let Some((column, distance)) = self.nearest() else { break };
            if distance >= end_length {
                break;
            }
            self.search.done[column] = true;
            length = distance;
            let Some(holder) = self.row_of[column] else {
                end = End::Column(column);
                end_length = distance;
                break;
            };
            row = holder;
            let alone = length + self.limit - self.row_price[row];
            if alone < end_length {
                end = End::Alone(row);
                end_length = alone;
            }
        }
        self.reprice(start, end_length);
        self.augment(end);
        self.search.clear();
    }

    fn reach_from(&mut self, row: usize, length: f64) {
        let search = &mut self.search;
        for &(column, cost) in &self.costs[row] {
            let distance = length + cost - self.row_price[row] - self.column_price[column];
            if !search.done[column] && distance < search.distance[column] {
                if search.distance[column] == f64::INFINITY {
                    search.reached.push(column);
                }
                search.distance[column] = distance;
                search.from[column] = row;
            }
        }
    }

    fn nearest(&self) -> Option<(usize, f64)> {
        let search = &self.search;
        let open = search.reached.iter().filter(|&&column| !search.done[column]);
        open.map(|&column| (column, search.distance[column])).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Keeps reduced costs at 0 on matched pairs and at 0 or more elsewhere.
    fn reprice(&mut self, start: usize, end_length: f64) {
        self.row_price[start] += end_length;
        for &column in &self.search.reached {
            if self.search.done[column] {
                let slack = end_length - self.search.distance[column];
                self.column_price[column] -= slack;
                if let Some(row) = self.row_of[column] {
                    self.row_price[row] += slack;
                }
            }
        }
    }

    /// Hands columns on along the path, from its end to its start.
    fn augment(&mut self, end: End) {
        let mut freed = match end {
            End::Column(column) => Some(column),
            End::Alone(row) => self.column_of[row].take(),
        };
        while let Some(column) = freed {
            let row = self.search.from[column];
            self.row_of[column] = Some(row);
            freed = self.column_of[row].replace(column);
        }
    }
}

impl Search {
    fn clear(&mut self) {
        for column in self.reached.drain(..) {
            self.distance[column] = f64::INFINITY;
            self.done[column] = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
