//! A constant-velocity Kalman filter for one box, driven by elapsed time.
//!
//! The state is ByteTrack's (and DeepSORT's): centre x, centre y, aspect ratio w ÷ h, height, and the rate of
//! each. Lengths are in frame heights, so that the filter equals one in pixels (all its noise is proportional
//! to the box's height).
//!
//! The transition, the noises and the first covariance of that filter never couple two of the four
//! coordinates: its 8 × 8 covariance stays four 2 × 2 blocks for ever. So it is written as four scalar
//! filters, exactly.

/// Standard deviation of a position, relative to the box's height: process (per step) and measurement.
const POSITION: f64 = 1.0 / 20.0;
/// Standard deviation of a velocity's change per step, relative to the box's height.
const VELOCITY: f64 = 1.0 / 160.0;
/// The same for the aspect ratio, absolute.
const ASPECT_POSITION: f64 = 1e-2;
const ASPECT_VELOCITY: f64 = 1e-5;
const ASPECT_MEASUREMENT: f64 = 1e-1;

/// A box as the filter sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Centre, frame heights.
    pub(crate) cx: f64,
    pub(crate) cy: f64,
    /// Width ÷ height.
    pub(crate) aspect: f64,
    /// Frame heights.
    pub(crate) height: f64,
}

/// One coordinate: its value and its rate per step, with their covariance.
#[derive(Clone, Copy, Debug)]
struct Coordinate {
    value: f64,
    rate: f64,
    var_value: f64,
    covariance: f64,
    var_rate: f64,
}

impl Coordinate {
    fn new(value: f64, deviation: f64, rate_deviation: f64) -> Self {
        Self {
            value,
            rate: 0.0,
            var_value: deviation * deviation,
            covariance: 0.0,
            var_rate: rate_deviation * rate_deviation,
        }
    }

    /// Moves the state on by `n` steps, whole or not; `deviation` and `rate_deviation` are the process noise
    /// of one step.
    ///
    /// The original adds Q = diag(q, r) once per frame. Applied n times that is
    /// `Q(n) = Σ FᵏQFᵏᵀ = [[nq + r·n(n−1)(2n−1)/6, r·n(n−1)/2], [·, nr]]`.
    /// These polynomials satisfy `Q(n + m) = F(m) Q(n) F(m)ᵀ + Q(m)` for all real n and m, not just for whole
    /// ones: however an interval is cut into predictions, the last one is the same, and at whole steps it is
    /// the original's. (It is a covariance for every n > 0 as long as q > r/4; here q ≥ 64 r.)
    fn predict(&mut self, n: f64, deviation: f64, rate_deviation: f64) {
        let q = deviation * deviation;
        let r = rate_deviation * rate_deviation;
        self.value += n * self.rate;
        self.var_value += n * (2.0 * self.covariance + n * self.var_rate)
            + n * q
            + r * n * (n - 1.0) * (2.0 * n - 1.0) / 6.0;
        self.covariance += n * self.var_rate + r * n * (n - 1.0) / 2.0;
        self.var_rate += n * r;
    }

    /// To another unit: all values times `factor`.
    fn scale(&mut self, factor: f64) {
        self.value *= factor;
        self.rate *= factor;
        self.var_value *= factor * factor;
        self.covariance *= factor * factor;
        self.var_rate *= factor * factor;
    }

    fn update(&mut self, measured: f64, deviation: f64) {
        let innovation_variance = self.var_value + deviation * deviation;
        let gain = self.var_value / innovation_variance;
        let rate_gain = self.covariance / innovation_variance;
        let innovation = measured - self.value;
        self.value += gain * innovation;
        self.rate += rate_gain * innovation;
        self.var_rate -= rate_gain * self.covariance;
        self.covariance *= 1.0 - gain;
        self.var_value *= 1.0 - gain;
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BoxFilter {
    cx: Coordinate,
    cy: Coordinate,
    aspect: Coordinate,
    height: Coordinate,
}

impl BoxFilter {
    pub(crate) fn new(measured: Shape) -> Self {
        let position = 2.0 * POSITION * measured.height;
        let velocity = 10.0 * VELOCITY * measured.height;
        Self {
            cx: Coordinate::new(measured.cx, position, velocity),
            cy: Coordinate::new(measured.cy, position, velocity),
            aspect: Coordinate::new(measured.aspect, ASPECT_POSITION, ASPECT_VELOCITY),
            height: Coordinate::new(measured.height, position, velocity),
        }
    }

    /// Moves the box on by `steps` of time, 0 or more.
    pub(crate) fn predict(&mut self, steps: f64) {
        let position = POSITION * self.height.value;
        let velocity = VELOCITY * self.height.value;
        self.cx.predict(steps, position, velocity);
        self.cy.predict(steps, position, velocity);
        self.aspect.predict(steps, ASPECT_POSITION, ASPECT_VELOCITY);
        self.height.predict(steps, position, velocity);
    }

    pub(crate) fn update(&mut self, measured: Shape) {
        let position = POSITION * self.height.value;
        self.cx.update(measured.cx, position);
        self.cy.update(measured.cy, position);
        self.aspect.update(measured.aspect, ASPECT_MEASUREMENT);
        self.height.update(measured.height, position);
    }

    /// An object out of sight keeps its course, but is not taken to grow or shrink.
    pub(crate) fn hold_height(&mut self) {
        self.height.rate = 0.0;
    }

    /// When the frame's aspect changes by `factor`, so do all horizontal lengths in frame heights.
    pub(crate) fn scale_x(&mut self, factor: f64) {
        self.cx.scale(factor);
        self.aspect.scale(factor);
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape { cx: self.cx.value, cy: self.cy.value, aspect: self.aspect.value, height: self.height.value }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
