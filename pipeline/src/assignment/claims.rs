//! Claims: what starts a run of a camera, and gives it its epoch.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sightline_schema::{CameraState, Status, Timestamp, Topics};
use sightline_service::kafka::{GroupOffsets, KafkaFault, KafkaSettings, Write, WriteError, Writer};

use super::view::View;

/// For the coordinator of the transactions to answer.
const BEGIN: Duration = Duration::from_secs(30);

/// A camera that this pod has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) camera: Arc<str>,
    pub(super) epoch: u64,
    pub(super) slot: u32,
    /// Of the placement it acts on; −1 without one.
    pub(super) placement: i64,
}

pub(super) enum Claiming {
    Claimed(Vec<Claim>),
    /// Nothing was written.
    Refused,
}

/// Writes claims, all of one assignment in one transaction.
pub(super) struct Claimer {
    settings: KafkaSettings,
    topic: String,
    name: String,
    writer: Option<Writer>,
}

impl Claimer {
    pub(super) fn new(settings: &KafkaSettings, topics: &Topics, pod: &str) -> Result<Self, KafkaFault> {
        // A process that begins under the same name ends what the one before has left open.
        let name = topics.pod_writer(pod);
        let writer = Some(Writer::new(settings, &name, BEGIN)?);
        Ok(Self { settings: settings.clone(), topic: topics.camera_status(), name, writer })
    }

    /// The coordinator of the group refuses them from a member that was replaced meanwhile: they are dropped then, not
    /// written again with newer metadata.
    pub(super) fn claim(
        &mut self,
        cameras: &[Arc<str>],
        view: &View,
        pod: &str,
        group: GroupOffsets<'_>,
    ) -> Claiming {
        let now = Timestamp::from_system_time(SystemTime::now());
        let mut claims = Vec::with_capacity(cameras.len());
        let mut writes = Vec::with_capacity(cameras.len());
        for camera in cameras {
            let (Some(place), Some(generation)) = (view.place(camera), view.generation(camera)) else {
                continue;
            };
            let mut status = Status::bare(&**camera, generation, pod, CameraState::Claimed, now);
            status.slot = Some(place.slot);
            status.placement = Some(place.offset);
            match Write::of(self.topic.clone(), &status) {
                Ok(write) => writes.push(write),
                Err(error) => {
                    tracing::error!(camera = %camera, %error, "a claim can't be written as JSON");
                    continue;
                }
            }
            claims.push(Claim {
                camera: camera.clone(),
                epoch: 0,
                slot: place.slot,
                placement: place.offset,
            });
        }
        let Some(writer) = self.writer() else { return Claiming::Refused };
        match writer.write(&writes, Some(group)) {
            Ok(delivered) => {
                for (claim, at) in claims.iter_mut().zip(delivered) {
                    claim.epoch = view.epoch(at.partition, at.offset);
                }
                Claiming::Claimed(claims)
            }
            Err(WriteError::Refused(fault)) => {
                tracing::warn!(
                    cameras = claims.len(),
                    "the claims were refused, and nothing was written: {fault}"
                );
                Claiming::Refused
            }
            Err(WriteError::Fenced(fault) | WriteError::Unknown(fault)) => {
                tracing::warn!(
                    cameras = claims.len(),
                    "the claims may not have been written: {fault}; beginning anew"
                );
                self.writer = None;
                Claiming::Refused
            }
        }
    }

    fn writer(&mut self) -> Option<&mut Writer> {
        if self.writer.is_none() {
            match Writer::new(&self.settings, &self.name, BEGIN) {
                Ok(writer) => self.writer = Some(writer),
                Err(fault) => tracing::warn!("no claim can be written: {fault}"),
            }
        }
        self.writer.as_mut()
    }
}
