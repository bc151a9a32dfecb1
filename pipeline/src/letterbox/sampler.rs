//! Bilinear sampling of one plane, row by row: columns first, into rows that are kept while the next output
//! row still needs them.

/// Where the samples of one axis come from: sample `first` and its right (or lower) neighbour, which counts
/// with `weight`.
#[derive(Debug)]
struct Taps {
    first: Vec<u32>,
    weight: Vec<f32>,
    /// No weight but 0: every output falls on a sample, as at a third of the size, at the same size, or where
    /// there is only one sample. Neighbours may not exist then.
    exact: bool,
}

/// How an output position maps to a position in a plane, along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Length of the picture, pixels.
    pub(super) source: u32,
    /// Length of the resized picture, pixels.
    pub(super) resized: u32,
    /// One sample per so many pixels: 1 or 2.
    pub(super) subsampling: u32,
    /// A subsampled axis whose samples sit on the first of their pixels, not between them.
    pub(super) cosited: bool,
}

impl Axis {
    /// Samples along the axis, rounded up.
    pub(super) fn samples(self) -> u32 {
        self.source.div_ceil(self.subsampling)
    }

    /// Half-pixel centres, as `cv2.INTER_LINEAR` has them; edges are clamped.
    fn taps(self) -> Taps {
        let last = f64::from(self.samples().max(1) - 1);
        let scale = f64::from(self.source) / f64::from(self.resized);
        let subsampling = f64::from(self.subsampling);
        let position = |to: u32| {
            let pixel = (f64::from(to) + 0.5) * scale - 0.5;
            let sample = if self.cosited { pixel / subsampling } else { (pixel + 0.5) / subsampling - 0.5 };
            sample.clamp(0.0, last)
        };
        let exact = (0..self.resized).all(|to| position(to).fract() == 0.0);
        // Else the last sample is taken for the neighbour of the one before it, so that there is always a
        // pair.
        let last_first = if exact { last } else { (last - 1.0).max(0.0) };
        let tap = |to: u32| {
            let first = position(to).floor().min(last_first);
            (first as u32, (position(to) - first) as f32)
        };
        let (first, weight) = (0..self.resized).map(tap).unzip();
        Taps { first, weight, exact }
    }
}

/// Samples one plane with `channels` interleaved values a sample: 1, 2 (chroma of NV12) or 3 (RGB).
#[derive(Debug)]
pub(super) struct PlaneSampler {
    channels: usize,
    /// Samples a row.
    width: usize,
    height: usize,
    columns: Taps,
    rows: Taps,
    /// Even and odd rows of the plane, so that two neighbours never compete for a place.
    kept: [SampledRow; 2],
}

#[derive(Debug)]
struct SampledRow {
    /// The row of the plane that `values` come from.
    source: Option<u32>,
    /// `channels` runs of the resized width, 0..255.
    values: Vec<f32>,
}

/// One channel of one output row before the last blend: `upper + (lower − upper) · weight`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) upper: &'a [f32],
    pub(super) lower: &'a [f32],
    pub(super) weight: f32,
}

impl PlaneSampler {
    pub(super) fn new(horizontal: Axis, vertical: Axis, channels: usize) -> Self {
        let row = || SampledRow { source: None, values: vec![0.0; channels * horizontal.resized as usize] };
        Self {
            channels,
            width: horizontal.samples() as usize,
            height: vertical.samples() as usize,
            columns: horizontal.taps(),
            rows: vertical.taps(),
            kept: [row(), row()],
        }
    }

    /// Bytes of a row that belong to the picture.
    pub(super) fn row_bytes(&self) -> usize {
        self.width * self.channels
    }

    /// The least number of bytes of a plane with that stride; the last row may be shorter than the stride.
    pub(super) fn least_bytes(&self, stride: usize) -> usize {
        (self.height.max(1) - 1).saturating_mul(stride).saturating_add(self.row_bytes())
    }

    /// Forgets the rows of the previous picture.
    pub(super) fn start(&mut self) {
        self.kept.iter_mut().for_each(|row| row.source = None);
    }

    /// Samples what output row `y` of the resized picture needs.
    pub(super) fn advance(&mut self, plane: &[u8], stride: usize, y: usize) {
        let (first, weight) = (self.rows.first[y], self.rows.weight[y]);
        if weight < 1.0 {
            self.sample(plane, stride, first);
        }
        if weight > 0.0 {
            self.sample(plane, stride, first + 1);
        }
    }

    /// Channel `channel` of output row `y`, after `advance`.
    pub(super) fn line(&self, y: usize, channel: usize) -> Line<'_> {
        let (first, weight) = (self.rows.first[y] as usize, self.rows.weight[y]);
        let width = self.columns.first.len();
        let row = |row: usize| &self.kept[row % 2].values[channel * width..][..width];
        // A row that doesn't count wasn't sampled.
        let (upper, lower) = if weight <= 0.0 {
            (first, first)
        } else if weight >= 1.0 {
            (first + 1, first + 1)
        } else {
            (first, first + 1)
        };
        Line { upper: row(upper), lower: row(lower), weight }
    }

    fn sample(&mut self, plane: &[u8], stride: usize, row: u32) {
        let kept = &mut self.kept[row as usize % 2];
        if kept.source == Some(row) {
            return;
        }
        kept.source = Some(row);
        let bytes = &plane[row as usize * stride..][..self.width * self.channels];
        match self.channels {
            1 => sample_row::<1>(bytes, &self.columns, &mut kept.values),
            2 => sample_row::<2>(bytes, &self.columns, &mut kept.values),
            _ => sample_row::<3>(bytes, &self.columns, &mut kept.values),
        }
    }
}

/// Samples a row of pixels of `CHANNELS` interleaved bytes each into as many runs of `values`. In blocks:
/// fetching pixels from here and there is scalar work, what follows runs over neighbours and vectorises.
fn sample_row<const CHANNELS: usize>(row: &[u8], columns: &Taps, values: &mut [f32]) {
    const BLOCK: usize = 128;
    let width = columns.first.len();
    let (mut left, mut right) = ([0_u32; BLOCK], [0_u32; BLOCK]);
    let blocks = columns.first.chunks(BLOCK).zip(columns.weight.chunks(BLOCK));
    for (start, (first, weight)) in (0..width).step_by(BLOCK).zip(blocks) {
        let (left, right) = (&mut left[..first.len()], &mut right[..first.len()]);
        let out = |channel: usize| channel * width + start..channel * width + start + first.len();
        // By way of i32, which SSE2 converts.
        let value = |pixel: u32, channel: usize| (pixel >> (8 * channel) & 0xff) as i32 as f32;
        if columns.exact {
            for (left, &first) in left.iter_mut().zip(first) {
                *left = packed(&row[first as usize * CHANNELS..][..CHANNELS]);
            }
            for channel in 0..CHANNELS {
                for (value_out, &left) in values[out(channel)].iter_mut().zip(&*left) {
                    *value_out = value(left, channel);
                }
            }
            continue;
        }
        for ((left, right), &first) in left.iter_mut().zip(&mut *right).zip(first) {
            let pair = &row[first as usize * CHANNELS..][..2 * CHANNELS];
            *left = packed(&pair[..CHANNELS]);
            *right = packed(&pair[CHANNELS..]);
        }
        for channel in 0..CHANNELS {
            let pairs = left.iter().zip(&*right).zip(weight);
            for (value_out, ((&left, &right), &weight)) in values[out(channel)].iter_mut().zip(pairs) {
                let (left, right) = (value(left, channel), value(right, channel));
                *value_out = left + (right - left) * weight;
            }
        }
    }
}

/// Up to four bytes, the first one lowest.
#[inline]
fn packed(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |packed, &byte| packed << 8 | u32::from(byte))
}
