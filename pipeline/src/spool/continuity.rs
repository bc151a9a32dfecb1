//! Knows each camera's last record on its way to Kafka, and so what is missing before the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use sightline_schema::{Gap, GapAfter, GapBefore, GapReason};

use super::record::{Directory, FrameAt, Header, Last};

/// Follows the records in their order. Says `gap/1` only where it was told of a loss.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    lasts: BTreeMap<Arc<str>, Last>,
    /// Something was seen: a directory no longer tells where the order begins, but what it should have held.
    begun: bool,
    loss: Option<GapReason>,
}

impl Continuity {
    /// Bytes that were no record were passed over.
    pub(super) fn damaged(&mut self) {
        self.loss = Some(GapReason::Corrupt);
    }

    /// Goes past a record. Gives the camera's frame before it, and the gap between the two.
    pub(super) fn pass(&mut self, header: &Header) -> (Option<Last>, Option<Gap>) {
        self.begun = true;
        let before = self.lasts.get(&header.camera).copied();
        let Some(frame) = header.frame else { return (before, None) };
        let gap = self.loss.and_then(|reason| {
            let frames = hole(before, header.epoch, &frame)?;
            let before_it = GapBefore { seq: frame.seq, captured_at: frame.captured_at };
            Some(gap(&header.camera, header.epoch, before, Some(before_it), frames, reason))
        });
        self.lasts.insert(header.camera.clone(), last_of(header.epoch, &frame));
        (before, gap)
    }

    /// Goes past the beginning of a segment: what it lists and was not passed is lost. `first` finds a camera's first
    /// frame behind it.
    pub(super) fn directory(
        &mut self,
        directory: &Directory,
        first: impl Fn(&str, u64) -> Option<FrameAt>,
    ) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (camera, last) in &directory.lasts {
            let before = self.lasts.get(camera).copied();
            if before.is_some_and(|before| !last.is_after(&before)) {
                continue;
            }
            if self.begun
                && let Some(reason) = self.loss
            {
                let frames = match before {
                    Some(before) if before.epoch == last.epoch => last.seq - before.seq,
                    _ => last.seq.saturating_add(1),
                };
                let behind = first(camera, last.epoch)
                    .map(|frame| GapBefore { seq: frame.seq, captured_at: frame.captured_at });
                gaps.push(gap(camera, last.epoch, before, behind, Some(frames), reason));
            }
            self.lasts.insert(camera.clone(), *last);
        }
        self.begun = true;
        if directory.evicted {
            self.loss = Some(GapReason::SpoolFull);
        }
        gaps
    }
}

pub(super) fn last_of(epoch: u64, frame: &FrameAt) -> Last {
    Last { epoch, seq: frame.seq, captured_at: frame.captured_at }
}

/// How many access units are missing between two frames: `Some(None)` where nobody knows, `None` where none is.
fn hole(before: Option<Last>, epoch: u64, frame: &FrameAt) -> Option<Option<u64>> {
    // The first access unit that the frame's own record accounts for.
    let reached = frame.seq.saturating_sub(frame.skipped);
    let wanted = match before {
        Some(last) if last.epoch == epoch => last.seq.saturating_add(1),
        Some(last) if last.epoch < epoch => 0,
        Some(_) => return None,
        None if reached == 0 => return None,
        None => return Some(None),
    };
    (reached > wanted).then(|| Some(reached - wanted))
}

pub(super) fn gap(
    camera: &str,
    epoch: u64,
    after: Option<Last>,
    before: Option<GapBefore>,
    frames: Option<u64>,
    reason: GapReason,
) -> Gap {
    let after =
        after.map(|last| GapAfter { epoch: last.epoch, seq: last.seq, captured_at: last.captured_at });
    Gap { camera: camera.to_owned(), epoch, after, before, frames, reason }
}
