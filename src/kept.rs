//! What `up` keeps of the registrations when its broker forgets everything: the newest record of each camera and
//! placement, as it lay in its topic.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use sightline_schema::{Camera, Placement, Topics};
use sightline_service::kafka::{KafkaSettings, Producer, Tail};
use sightline_service::shutdown::Shutdown;

/// In the directory.
const FILE: &str = "registrations.json";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// By id, the values as they lay in the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registrations {
    cameras: BTreeMap<String, String>,
    placements: BTreeMap<String, String>,
}

/// A directory that keeps registrations.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    file: PathBuf,
}

impl Kept {
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        Ok(Self { file })
    }

    /// Puts what is kept into the topics of a broker that has just begun.
    pub(crate) fn restore(&self, settings: &KafkaSettings, topics: &Topics) -> Result<usize> {
        let kept = self.read()?;
        let producer = Producer::new(settings, 0)?;
        let (cameras, placements) = (topics.cameras(), topics.placements());
        let of_cameras = kept.cameras.iter().map(|(id, value)| (&cameras, Camera::schema_name(), id, value));
        let of_placements =
            kept.placements.iter().map(|(id, value)| (&placements, Placement::schema_name(), id, value));
        for (topic, schema, id, value) in of_cameras.chain(of_placements) {
            let sent = producer.send(topic, id, value.as_bytes(), schema, Box::new(|_| {}));
            sent.map_err(|refused| anyhow!("camera {id} can't be registered again: {}", refused.error))?;
        }
        producer.flush(PATIENCE);
        Ok(kept.cameras.len())
    }

    /// Keeps what is registered from now on, until `shutdown`.
    pub(crate) fn follow(
        &self,
        settings: &KafkaSettings,
        topics: &Topics,
        shutdown: &Shutdown,
    ) -> Result<()> {
        let (cameras, placements) = (topics.cameras(), topics.placements());
        let mut tail = Tail::open(settings, &[&cameras, &placements], PATIENCE)?;
        let mut now = Registrations::default();
        let mut written = self.read()?;
        loop {
            let stopping = shutdown.is_set();
            tail.poll(LOOK, |record| {
                let list = if record.topic == cameras { &mut now.cameras } else { &mut now.placements };
                let Some(id) = record.id() else { return };
                match record.value.map(String::from_utf8_lossy) {
                    Some(value) => drop(list.insert(id.to_owned(), value.into_owned())),
                    None => drop(list.remove(id)),
                }
            });
            if tail.is_caught_up() && now != written {
                self.write(&now)?;
                written = now.clone();
            }
            if stopping {
                return Ok(());
            }
        }
    }

    fn read(&self) -> Result<Registrations> {
        let name = || self.file.display().to_string();
        match std::fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is no file of registrations, or was damaged: put it away to begin without",
                    name()
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Registrations::default()),
            Err(error) => Err(error).with_context(name),
        }
    }

    /// Whole or not at all: beside it, to the disk, and then in its place.
    fn write(&self, registrations: &Registrations) -> Result<()> {
        let content = serde_json::to_vec_pretty(registrations)?;
        let beside = self.file.with_extension("json.new");
        let write = || {
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&content)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.file)
        };
        write().with_context(|| self.file.display().to_string())
    }
}
