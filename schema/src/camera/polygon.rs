//! Whether a polygon crosses itself.

use crate::Point;

/// The first two edges that meet without being neighbours, or neighbours that fold back on each other; edges by the
/// point they begin at.
pub(super) fn crossing(points: &[Point]) -> Option<(usize, usize)> {
    let count = points.len();
    let edge = |i: usize| (points[i], points[(i + 1) % count]);
    for a in 0..count {
        for b in a + 1..count {
            let ((p, q), (r, s)) = (edge(a), edge(b));
            let meet = match (a + 1 == b, b + 1 == count && a == 0) {
                (true, _) => folds(p, q, s),
                (_, true) => folds(r, s, q),
                _ => segments_meet(p, q, r, s),
            };
            if meet {
                return Some((a, b));
            }
        }
    }
    None
}

/// Whether the way from `p` to `q` and on to `s` goes back over itself.
fn folds(p: Point, q: Point, s: Point) -> bool {
    let along =
        |from: Point, to: Point| (f64::from(to.x) - f64::from(from.x), f64::from(to.y) - f64::from(from.y));
    let ((ax, ay), (bx, by)) = (along(q, p), along(q, s));
    side(p, q, s) == 0.0 && ax * bx + ay * by > 0.0
}

fn segments_meet(p: Point, q: Point, r: Point, s: Point) -> bool {
    let [a, b, c, d] = [side(p, q, r), side(p, q, s), side(r, s, p), side(r, s, q)];
    if a * b < 0.0 && c * d < 0.0 {
        return true;
    }
    let between = |p: Point, q: Point, t: Point| {
        t.x >= p.x.min(q.x) && t.x <= p.x.max(q.x) && t.y >= p.y.min(q.y) && t.y <= p.y.max(q.y)
    };
    a == 0.0 && between(p, q, r)
        || b == 0.0 && between(p, q, s)
        || c == 0.0 && between(r, s, p)
        || d == 0.0 && between(r, s, q)
}

/// On which side of the line from `p` to `q` lies `t`; 0 is on it. Exact enough: f32 coordinates in f64.
fn side(p: Point, q: Point, t: Point) -> f64 {
    let at = |point: Point| (f64::from(point.x), f64::from(point.y));
    let ((px, py), (qx, qy), (tx, ty)) = (at(p), at(q), at(t));
    (qx - px) * (ty - py) - (qy - py) * (tx - px)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(corners: &[(f32, f32)]) -> Vec<Point> {
        corners.iter().map(|(x, y)| Point { x: *x, y: *y }).collect()
    }

    #[test]
    fn shapes_without_a_crossing_are_let_through() {
        for shape in [
            &[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)][..],
            &[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
            // Points on a straight edge, and an L.
            &[(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.5)],
            &[(0.0, 0.0), (1.0, 0.0), (1.0, 0.4), (0.3, 0.4), (0.3, 1.0), (0.0, 1.0)],
        ] {
            assert_eq!(crossing(&points(shape)), None, "{shape:?}");
        }
    }

    #[test]
    fn edges_that_meet_are_named_by_where_they_begin() {
        // A bow tie.
        let bow = points(&[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]);
        assert_eq!(crossing(&bow), Some((0, 2)));
        // A corner on another edge.
        let touching = points(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.0), (0.0, 1.0)]);
        assert_eq!(crossing(&touching), Some((0, 2)));
        // There and back again.
        let spike = points(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (1.0, 0.5), (0.0, 0.5)]);
        assert_eq!(crossing(&spike), Some((1, 2)));
        let closing = points(&[(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)]);
        assert_eq!(crossing(&closing), None);
        let flat = points(&[(0.0, 0.0), (1.0, 0.0), (0.5, 0.0)]);
        assert!(crossing(&flat).is_some());
    }

    #[test]
    fn a_circle_with_two_corners_exchanged_crosses_and_whole_it_does_not() {
        let mut circle: Vec<_> = (0..64)
            .map(|i| {
                let angle = f64::from(i) / 64.0 * std::f64::consts::TAU;
                Point { x: (0.5 + 0.4 * angle.cos()) as f32, y: (0.5 + 0.4 * angle.sin()) as f32 }
            })
            .collect();
        assert_eq!(crossing(&circle), None);
        for i in 0..64 {
            circle.swap(i, (i + 1) % 64);
            assert!(crossing(&circle).is_some(), "{i}");
            circle.swap(i, (i + 1) % 64);
        }
    }
}
