//! Sides, steps, zones and distances, in hundred-thousandths of the frame, as boxes travel.
//!
//! A middle may be half of one. All of them are exact in 64 bits, and so is what tells a side: a point that lies on a line
//! does so for any implementation. Only distances are rounded.

/// A point in [`UNIT`](crate::seen::UNIT)s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct P {
    pub(super) x: f64,
    pub(super) y: f64,
}

fn cross(from: P, to: P, p: P) -> f64 {
    (to.x - from.x) * (p.y - from.y) - (to.y - from.y) * (p.x - from.x)
}

/// Whether `p` is on the right hand of who walks from `from` to `to`, with y down.
pub(super) fn is_right(from: P, to: P, p: P) -> bool {
    cross(from, to, p) > 0.0
}

/// Which way a step cuts a line: `Some(true)` is forward, from −1 to +1.
pub(super) fn cuts((from, to): (P, P), before: P, now: P) -> Option<bool> {
    let (was, is) = (is_right(from, to, before), is_right(from, to, now));
    (was != is && is_right(before, now, from) != is_right(before, now, to)).then_some(is)
}

/// Even-odd: upper and left edges belong to it.
pub(super) fn is_inside(polygon: &[P], p: P) -> bool {
    let ends = polygon.iter().cycle().skip(1);
    let crossings =
        polygon.iter().zip(ends).filter(|(a, b)| (a.y > p.y) != (b.y > p.y) && is_right_of(**a, **b, p));
    crossings.count() % 2 == 1
}

/// Whether an edge that spans the height of `p` meets it further to the right: by its side, without a division.
fn is_right_of(a: P, b: P, p: P) -> bool {
    let cross = cross(a, b, p);
    if b.y > a.y { cross > 0.0 } else { cross < 0.0 }
}

/// From the straight line through both ends, as seen: `aspect` is width ÷ height of the frame.
pub(super) fn distance_to_line((from, to): (P, P), p: P, aspect: f64) -> f64 {
    let [from, to, p] = [from, to, p].map(|p| P { x: p.x * aspect, y: p.y });
    let length = (to.x - from.x).hypot(to.y - from.y);
    if length > 0.0 { cross(from, to, p).abs() / length } else { (p.x - from.x).hypot(p.y - from.y) }
}

/// From the nearest point of the border, as seen.
pub(super) fn distance_to_border(polygon: &[P], p: P, aspect: f64) -> f64 {
    let scaled = |p: P| P { x: p.x * aspect, y: p.y };
    let p = scaled(p);
    let ends = polygon.iter().cycle().skip(1);
    let distances = polygon.iter().zip(ends).map(|(a, b)| {
        let (a, b) = (scaled(*a), scaled(*b));
        let (dx, dy) = (b.x - a.x, b.y - a.y);
        let squared = dx * dx + dy * dy;
        let along = if squared > 0.0 {
            (((p.x - a.x) * dx + (p.y - a.y) * dy) / squared).clamp(0.0, 1.0)
        } else {
            0.0
        };
        (p.x - a.x - along * dx).hypot(p.y - a.y - along * dy)
    });
    distances.fold(f64::INFINITY, f64::min)
}

/// Intersection over union.
pub(super) fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |b: [f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let common = area(common);
    let union = area(a) + area(b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}
