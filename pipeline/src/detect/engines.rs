//! Where TensorRT's engines are kept between starts: building one takes minutes.
//!
//! ONNX Runtime writes and names the files. Its names tell the compute capability and the graph, and neither the weights nor
//! the driver; so each combination of all that an engine depends on has a folder of its own, named by a key.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// What an engine depends on, beside the files' own names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFacts {
    /// Of the model's file, in hexadecimal.
    pub model_sha256: String,
    /// ONNX Runtime's build.
    pub runtime: String,
    /// The names of TensorRT's libraries, which hold their versions.
    pub tensorrt: Vec<String>,
    /// The driver's version.
    pub driver: String,
    /// The GPUs that are to be seen here: as good as their compute capability, and finer.
    pub gpus: Vec<String>,
    /// What is calculated in: as the model does.
    pub precision: String,
    /// What `--imgsz` says of the input's shape.
    pub shape: String,
}

impl EngineFacts {
    /// The same for the same facts, for ever; in what order libraries and GPUs were found means nothing.
    pub fn key(&self) -> String {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        let mut hash = Sha256::new();
        let mut add = |name: &str, values: &[String]| {
            // Lengths before texts: no two lists of facts read alike.
            hash.update(format!("{name} {}\n", values.len()));
            values.iter().for_each(|value| hash.update(format!("{} {value}\n", value.len())));
        };
        add("model", std::slice::from_ref(&self.model_sha256));
        add("runtime", std::slice::from_ref(&self.runtime));
        add("tensorrt", &sorted(&self.tensorrt));
        add("driver", std::slice::from_ref(&self.driver));
        add("gpus", &sorted(&self.gpus));
        add("precision", std::slice::from_ref(&self.precision));
        add("shape", std::slice::from_ref(&self.shape));
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What this machine says of itself. What can't be read is said as empty: it is the same the next time.
    pub(super) fn of_this_machine(model: &[u8], imgsz: String, runtime: Option<&Path>) -> Self {
        let driver = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
        Self {
            model_sha256: Sha256::digest(model).iter().map(|byte| format!("{byte:02x}")).collect(),
            runtime: ort::info().to_owned(),
            tensorrt: libraries(runtime),
            driver: driver.lines().next().unwrap_or_default().trim().to_owned(),
            gpus: gpus(Path::new("/proc/driver/nvidia/gpus")),
            precision: "model".to_owned(),
            shape: imgsz,
        }
    }
}

/// `libnvinfer.so.10.9.0` and the like, from where the loader looks.
fn libraries(runtime: Option<&Path>) -> Vec<String> {
    let said = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> =
        said.split(':').filter(|place| !place.is_empty()).map(PathBuf::from).collect();
    places.extend(runtime.and_then(Path::parent).map(Path::to_owned));
    places.extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    let names = places.iter().flat_map(|place| std::fs::read_dir(place).into_iter().flatten().flatten());
    let mut names: Vec<_> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("libnvinfer.so."))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The `Model:` lines of the driver's folder of GPUs.
fn gpus(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let model = |information: String| {
        let line = information.lines().find_map(|line| line.strip_prefix("Model:"));
        line.map(|model| model.trim().to_owned())
    };
    entries
        .filter_map(|entry| model(std::fs::read_to_string(entry.path().join("information")).ok()?))
        .collect()
}

/// A directory that holds a folder for each key.
#[derive(Clone, Debug)]
pub struct EngineCache(PathBuf);

/// Where engines lie while a process begins.
#[derive(Debug)]
pub(super) struct Engines {
    folder: PathBuf,
    /// Where they are while they are built; `None`: they were there.
    aside: Option<PathBuf>,
}

impl EngineCache {
    /// An error is a sentence: the directory has to be there, or be made, and to take files.
    pub fn open(directory: &Path) -> Result<Self, String> {
        let refuse = |error: std::io::Error| {
            format!(
                "--engine-cache {}: it can't be written ({error}); name a directory that this user may write, on a volume that \
                 outlives the pod",
                directory.display()
            )
        };
        std::fs::create_dir_all(directory).map_err(refuse)?;
        let probe = directory.join(format!(".writable-{}", std::process::id()));
        std::fs::write(&probe, b"engines").and_then(|()| std::fs::remove_file(&probe)).map_err(refuse)?;
        Ok(Self(directory.to_owned()))
    }

    /// The folder of a key, or one beside it to build in.
    pub(super) fn engines(&self, key: &str) -> Engines {
        let folder = self.0.join(key);
        let aside = (!folder.is_dir()).then(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            self.0.join(format!("{key}.building-{}-{}", host.trim(), std::process::id()))
        });
        Engines { folder, aside }
    }
}

impl Engines {
    /// Where TensorRT reads and writes now.
    pub(super) fn place(&self) -> &Path {
        self.aside.as_deref().unwrap_or(&self.folder)
    }

    /// They were there before, and are no use (cut off, or damaged): they are built anew.
    pub(super) fn discard(&self) {
        if self.aside.is_none()
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(folder = %self.folder.display(), %error, "engines that are no use can't be removed");
        }
    }

    pub(super) fn key(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn were_there(&self) -> bool {
        self.aside.is_none()
    }

    /// Puts what was built into its place. Where somebody else was quicker, theirs stays and ours goes.
    pub(super) fn settle(&mut self) {
        let Some(aside) = self.aside.take() else { return };
        if let Err(error) = std::fs::rename(&aside, &self.folder) {
            if !self.folder.is_dir() {
                tracing::warn!(folder = %self.folder.display(), %error, "engines can't be put into their place");
            }
            // Nothing is lost by what stays, but room.
            let _ = std::fs::remove_dir_all(&aside);
        }
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            // Half of what was to be built is of use to nobody.
            let _ = std::fs::remove_dir_all(aside);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts() -> EngineFacts {
        EngineFacts {
            model_sha256: "9f0c".into(),
            runtime: "ORT Build Info: 1.24.1".into(),
            tensorrt: vec!["libnvinfer.so.10.9.0".into()],
            driver: "NVRM version: 570.86".into(),
            gpus: vec!["NVIDIA L4".into()],
            precision: "model".into(),
            shape: "384x640".into(),
        }
    }

    #[test]
    fn every_fact_has_its_own_key_and_their_order_has_none() {
        let of = |change: &dyn Fn(&mut EngineFacts)| {
            let mut facts = facts();
            change(&mut facts);
            facts.key()
        };
        let mut keys: Vec<_> = [
            of(&|_| {}),
            of(&|facts| facts.model_sha256.push('1')),
            of(&|facts| facts.runtime.push('1')),
            of(&|facts| facts.tensorrt[0].push('1')),
            of(&|facts| facts.tensorrt.push("libnvinfer.so.8".into())),
            of(&|facts| facts.driver.push('1')),
            of(&|facts| facts.gpus[0].push('1')),
            of(&|facts| facts.gpus.push("NVIDIA L4".into())),
            of(&|facts| facts.precision = "fp16".into()),
            of(&|facts| facts.shape = "640x640".into()),
            // What moves from one fact to the next is another list of facts.
            of(&|facts| facts.tensorrt = vec!["libnvinfer.so.10.9.0".into(), "driver 1".into()]),
        ]
        .into();
        assert!(keys.iter().all(|key| key.len() == 32));
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        let both = |order: [&str; 2]| of(&|facts| facts.gpus = order.map(str::to_owned).into());
        assert_eq!(both(["NVIDIA L4", "NVIDIA T4"]), both(["NVIDIA T4", "NVIDIA L4"]));
        // A cache outlives an upgrade of Sightline.
        assert_eq!(facts().key(), "bf1c82bfd225bb4db74c9c6546cbed78");
    }

    #[test]
    fn engines_are_built_aside_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = EngineCache::open(&dir.path().join("a/b")).unwrap();
        let entries = || std::fs::read_dir(&cache.0).unwrap().count();
        let build = |engines: &Engines, text: &str| {
            std::fs::create_dir_all(engines.place()).unwrap();
            std::fs::write(engines.place().join("x.engine"), text).unwrap();
        };
        let given_up = cache.engines("k");
        build(&given_up, "half");
        assert!(!cache.0.join("k").exists(), "not in its place before it is whole");
        drop(given_up);
        assert_eq!(entries(), 0, "what was given up leaves nothing");

        let (mut first, mut second) = (cache.engines("k"), cache.engines("k"));
        second.aside = second.aside.take().map(|aside| aside.with_extension("other"));
        build(&first, "first");
        build(&second, "second");
        first.settle();
        second.settle();
        assert_eq!((first.place(), second.place()), (&*cache.0.join("k"), &*cache.0.join("k")));
        assert_eq!(std::fs::read_to_string(second.place().join("x.engine")).unwrap(), "first");
        assert_eq!(entries(), 1, "what was slower is gone");
        let again = cache.engines("k");
        assert!(again.were_there());
        again.discard();
        assert_eq!(entries(), 0);
    }

    #[test]
    fn a_directory_that_takes_no_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = EngineCache::open(&file.path().join("engines")).unwrap_err();
        assert!(refused.contains("can't be written") && refused.contains("name a directory"), "{refused}");
    }

    #[test]
    fn gpus_are_called_as_the_driver_calls_them() {
        let dir = tempfile::tempdir().unwrap();
        let gpu = dir.path().join("0000:3b:00.0");
        std::fs::create_dir(&gpu).unwrap();
        std::fs::write(gpu.join("information"), "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 64\n")
            .unwrap();
        assert_eq!(gpus(dir.path()), ["NVIDIA H100 80GB HBM3"]);
        assert!(gpus(&dir.path().join("none")).is_empty());
    }
}
