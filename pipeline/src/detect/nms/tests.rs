use super::*;

/// A generator without a crate: the same numbers everywhere.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % limit
    }

    /// Boxes that overlap often and confidences that are equal often.
    fn candidate(&mut self) -> Candidate {
        let (x, y) = (self.below(60) as f32, self.below(60) as f32);
        let (width, height) = (10.0 + self.below(30) as f32, 10.0 + self.below(30) as f32);
        let confidence = (1 + self.below(40)) as f32 / 40.0;
        Candidate { class_id: self.below(3), confidence, xyxy: [x, y, x + width, y + height] }
    }
}

/// Straight from the definition, in double precision, quadratic throughout.
fn brute_force(candidates: &[Candidate], iou: f32, agnostic: bool, max: usize) -> Vec<Candidate> {
    let mut left: Vec<Candidate> = candidates.to_vec();
    let mut kept: Vec<Candidate> = vec![];
    while kept.len() < max && !left.is_empty() {
        let best = left.iter().map(|c| c.confidence).fold(f32::MIN, f32::max);
        let first = left.iter().position(|c| c.confidence == best).unwrap();
        let candidate = left.remove(first);
        let covered = |better: &Candidate| {
            let [a, b] = [better.xyxy, candidate.xyxy].map(|xyxy| xyxy.map(f64::from));
            let area = |b: [f64; 4]| (b[2] - b[0]) * (b[3] - b[1]);
            let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
            let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
            let common = width * height;
            common / (area(a) + area(b) - common) > f64::from(iou)
        };
        if !kept.iter().any(|better| (agnostic || better.class_id == candidate.class_id) && covered(better)) {
            kept.push(candidate);
        }
    }
    kept
}

#[test]
fn agrees_with_brute_force() {
    let mut noise = Noise(7);
    for round in 0..300 {
        let candidates: Vec<Candidate> = (0..noise.below(120)).map(|_| noise.candidate()).collect();
        // Thresholds that no ratio of small whole numbers meets exactly.
        let iou = [0.0101, 0.3003, 0.4507, 0.7001, 0.9503][round % 5];
        for agnostic in [false, true] {
            for max in [0, 1, 10, 300] {
                let mut suppressed = candidates.clone();
                suppress(&mut suppressed, iou, agnostic, max);
                assert_eq!(
                    suppressed,
                    brute_force(&candidates, iou, agnostic, max),
                    "{round} {agnostic} {max}"
                );
            }
        }
    }
}

#[test]
fn equals_keep_their_order_and_exact_copies_go() {
    let at = |x: f32, class_id: u32| Candidate { class_id, confidence: 0.5, xyxy: [x, 0.0, x + 10.0, 10.0] };
    let mut candidates = vec![at(40.0, 0), at(0.0, 0), at(20.0, 0), at(40.0, 0), at(0.0, 1)];
    suppress(&mut candidates, 0.7, false, 300);
    assert_eq!(candidates, [at(40.0, 0), at(0.0, 0), at(20.0, 0), at(0.0, 1)]);
    suppress(&mut candidates, 0.7, true, 300);
    assert_eq!(candidates, [at(40.0, 0), at(0.0, 0), at(20.0, 0)]);
}

#[test]
fn overlap_of_just_the_threshold_stays() {
    let half = [
        Candidate { class_id: 0, confidence: 0.9, xyxy: [0.0, 0.0, 10.0, 10.0] },
        Candidate { class_id: 0, confidence: 0.8, xyxy: [0.0, 0.0, 10.0, 5.0] },
    ];
    let mut candidates = half.to_vec();
    suppress(&mut candidates, 0.5, false, 300);
    assert_eq!(candidates, half);
    suppress(&mut candidates, 0.499, false, 300);
    assert_eq!(candidates, half[..1]);
}

#[test]
fn what_is_no_number_goes_and_harms_nobody() {
    let good = Candidate { class_id: 0, confidence: 0.5, xyxy: [0.0, 0.0, 10.0, 10.0] };
    let mut candidates = vec![good];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        candidates.push(Candidate { confidence: bad, ..good });
        for corner in 0..4 {
            let mut xyxy = good.xyxy;
            xyxy[corner] = bad;
            candidates.push(Candidate { confidence: 0.9, xyxy, ..good });
        }
    }
    // Finite, but with an area beyond f32; and turned inside out.
    let huge = Candidate { confidence: 0.8, xyxy: [-3e38, -3e38, 3e38, 3e38], ..good };
    let inside_out = Candidate { confidence: 0.7, xyxy: [10.0, 10.0, 0.0, 0.0], ..good };
    candidates.extend([huge, inside_out]);
    suppress(&mut candidates, 0.5, false, 300);
    assert_eq!(candidates, [huge, inside_out, good]);
}

/// A million candidates of which none covers another: the most work there can be, and which ones stay.
#[test]
fn a_flood_is_bounded() {
    const FLOOD: u32 = 1_000_000;
    let apart = |at: u32| {
        let (x, y) = ((at % 1000) as f32 * 2.0, (at / 1000) as f32 * 2.0);
        let confidence = (at.wrapping_mul(7919) % 50_000) as f32 / 50_000.0;
        Candidate { class_id: at % 80, confidence, xyxy: [x, y, x + 1.0, y + 1.0] }
    };
    let flood: Vec<Candidate> = (0..FLOOD).map(apart).collect();
    let mut kept = flood.clone();
    let compared = suppress_counted(&mut kept, 0.5, true, 300);
    assert_eq!(kept.len(), 300);
    // Each of the 300 was compared with those before it.
    assert_eq!(compared, 300 * 299 / 2);

    let mut order = flood.clone();
    order.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    assert_eq!(kept, order[..300]);
    keep_best(&mut kept, 7);
    assert_eq!(kept, order[..7]);
    let mut best = flood;
    keep_best(&mut best, MOST_CANDIDATES);
    assert_eq!(best, order[..MOST_CANDIDATES], "ties at the border go to the earlier");

    // All but the first of each of 299 places are covered: every one of the sorted is compared, and no more.
    let crowd = |at: u32| {
        let x = (at % 299) as f32 * 2.0;
        Candidate { class_id: 0, confidence: 0.5, xyxy: [x, 0.0, x + 1.0, 1.0] }
    };
    let mut crowd: Vec<Candidate> = (0..FLOOD).map(crowd).collect();
    let compared = suppress_counted(&mut crowd, 0.5, false, 300);
    assert_eq!(crowd.len(), 299);
    assert!(compared <= MOST_CANDIDATES * 300, "{compared}");
}
