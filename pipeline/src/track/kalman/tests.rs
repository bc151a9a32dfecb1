use super::*;

/// The published filter, written out: 8 × 8 matrices, one step per frame, noise by the height of the moment.
struct Reference {
    mean: [f64; 8],
    covariance: [[f64; 8]; 8],
}

type Matrix = [[f64; 8]; 8];

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..8).map(|k| a[i][k] * b[k][j]).sum()))
}

fn transposed(a: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

impl Reference {
    fn new(shape: Shape) -> Self {
        let h = shape.height;
        let (p, v) = (2.0 * h / 20.0, 10.0 * h / 160.0);
        let deviations = [p, p, 1e-2, p, v, v, 1e-5, v];
        let covariance = std::array::from_fn(|i| {
            std::array::from_fn(|j| if i == j { deviations[i] * deviations[i] } else { 0.0 })
        });
        Self { mean: [shape.cx, shape.cy, shape.aspect, h, 0.0, 0.0, 0.0, 0.0], covariance }
    }

    fn predict(&mut self) {
        let h = self.mean[3];
        let (p, v) = (h / 20.0, h / 160.0);
        let deviations = [p, p, 1e-2, p, v, v, 1e-5, v];
        let motion: Matrix =
            std::array::from_fn(|i| std::array::from_fn(|j| if i == j || j == i + 4 { 1.0 } else { 0.0 }));
        self.mean = std::array::from_fn(|i| (0..8).map(|j| motion[i][j] * self.mean[j]).sum());
        self.covariance = product(&product(&motion, &self.covariance), &transposed(&motion));
        for (i, deviation) in deviations.iter().enumerate() {
            self.covariance[i][i] += deviation * deviation;
        }
    }

    fn update(&mut self, shape: Shape) {
        let p = self.mean[3] / 20.0;
        let measured = [shape.cx, shape.cy, shape.aspect, shape.height];
        // One scalar measurement after another is the same as all four at once: their noise is independent.
        for (axis, deviation) in [p, p, 1e-1, p].into_iter().enumerate() {
            let variance = self.covariance[axis][axis] + deviation * deviation;
            let gain: [f64; 8] = std::array::from_fn(|i| self.covariance[i][axis] / variance);
            let innovation = measured[axis] - self.mean[axis];
            let row = self.covariance[axis];
            for (i, gain) in gain.iter().enumerate() {
                self.mean[i] += gain * innovation;
                for (covariance, row) in self.covariance[i].iter_mut().zip(row) {
                    *covariance -= gain * row;
                }
            }
        }
    }
}

fn walk(step: usize) -> Shape {
    let t = step as f64;
    Shape {
        cx: 0.2 + 0.01 * t + 0.003 * (t * 1.7).sin(),
        cy: 0.5 - 0.002 * t + 0.002 * (t * 2.3).cos(),
        aspect: 0.5 + 0.05 * (t * 0.9).sin(),
        height: 0.3 + 0.001 * t + 0.004 * (t * 1.1).sin(),
    }
}

fn values(filter: &BoxFilter) -> [f64; 8] {
    let BoxFilter { cx, cy, aspect, height } = filter;
    [cx.value, cy.value, aspect.value, height.value, cx.rate, cy.rate, aspect.rate, height.rate]
}

#[test]
fn is_the_published_filter_at_whole_steps() {
    let mut reference = Reference::new(walk(0));
    let mut filter = BoxFilter::new(walk(0));
    for step in 1..60 {
        // Every fourth frame is dropped.
        reference.predict();
        filter.predict(1.0);
        if step % 4 != 0 {
            reference.update(walk(step));
            filter.update(walk(step));
        }
        for (ours, theirs) in values(&filter).iter().zip(reference.mean) {
            assert!((ours - theirs).abs() < 1e-12, "step {step}: {ours} and {theirs}");
        }
        for (axis, ours) in [filter.cx, filter.cy, filter.aspect, filter.height].iter().enumerate() {
            let theirs = [
                reference.covariance[axis][axis],
                reference.covariance[axis][axis + 4],
                reference.covariance[axis + 4][axis + 4],
            ];
            for (ours, theirs) in [ours.var_value, ours.covariance, ours.var_rate].iter().zip(theirs) {
                assert!((ours - theirs).abs() < 1e-12, "step {step}, axis {axis}: {ours} and {theirs}");
            }
        }
    }
}

#[test]
fn how_an_interval_is_cut_changes_nothing() {
    let mut start = Coordinate::new(0.3, 0.03, 0.02);
    start.predict(1.0, 0.015, 0.002);
    start.update(0.32, 0.015);
    for parts in [vec![7.3], vec![1.0, 6.3], vec![0.4, 0.1, 2.5, 4.3], vec![0.73; 10]] {
        let mut whole = start;
        whole.predict(7.3, 0.015, 0.002);
        let mut cut = start;
        for &part in &parts {
            cut.predict(part, 0.015, 0.002);
        }
        let of = |c: Coordinate| [c.value, c.rate, c.var_value, c.covariance, c.var_rate];
        for (a, b) in of(whole).into_iter().zip(of(cut)) {
            assert!((a - b).abs() < 1e-12, "{parts:?}: {a} and {b}");
        }
    }
}

#[test]
fn noise_is_a_covariance_for_every_interval() {
    for (deviation, rate_deviation) in [(1.0 / 20.0, 1.0 / 160.0), (1e-2, 1e-5)] {
        for n in [1e-6, 0.01, 0.25, 0.5, 0.75, 1.0, 1.2, 3.0, 12.0, 1800.0] {
            let mut noise = Coordinate::new(0.0, 0.0, 0.0);
            noise.predict(n, deviation, rate_deviation);
            assert!(noise.var_value > 0.0 && noise.var_rate > 0.0, "{n}");
            assert!(noise.var_value * noise.var_rate > noise.covariance * noise.covariance, "{n}");
        }
    }
}

#[test]
fn another_aspect_of_the_frame_is_another_unit_of_x() {
    // Two filters of the same walk, one in a frame twice as wide: after the change they agree.
    let wide = |shape: Shape| Shape { cx: 2.0 * shape.cx, aspect: 2.0 * shape.aspect, ..shape };
    let mut filter = BoxFilter::new(walk(0));
    filter.predict(1.0);
    filter.update(walk(1));
    let mut expected = filter.shape();
    filter.scale_x(2.0);
    assert_eq!(filter.shape(), wide(expected));
    expected.cx += 3.0 * filter.cx.rate / 2.0;
    filter.predict(3.0);
    assert!((filter.shape().cx - 2.0 * expected.cx).abs() < 1e-12);
    filter.scale_x(0.5);
    assert!((filter.shape().cx - expected.cx).abs() < 1e-12);
}
