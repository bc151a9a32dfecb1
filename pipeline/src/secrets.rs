//! A camera's user and password, found when it is opened: secrets change while cameras run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightline_schema::{Camera, Credentials, ErrorCode, InlineCredentials};
use sightline_service::seal::Keys;

use crate::error::StreamError;

/// A secret holds two files, as Kubernetes mounts one of type `kubernetes.io/basic-auth`.
const USER: &str = "username";
const PASSWORD: &str = "password";

/// Where secrets are. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    folder: Option<Arc<Path>>,
    /// The file of keys that open what the registry sealed.
    keys: Option<Arc<Path>>,
}

impl Secrets {
    /// `folder` holds a directory for each secret, by its name; `keys` is a file whose keys open what the registry sealed.
    pub fn new(folder: Option<PathBuf>, keys: Option<PathBuf>) -> Self {
        Self { folder: folder.map(Arc::from), keys: keys.map(Arc::from) }
    }

    pub fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// User and password of a camera, as they are now.
    pub fn of(&self, camera: &Camera) -> Result<Option<InlineCredentials>, StreamError> {
        let missing = |what: String| StreamError::new(ErrorCode::SecretMissing, &camera.id, what);
        match &camera.credentials {
            None => Ok(None),
            Some(Credentials::Inline(inline)) => Ok(Some(inline.clone())),
            Some(Credentials::Sealed(sealed)) => match &self.keys {
                // Read each time: keys are rotated while cameras run.
                Some(file) => {
                    let keys = Keys::load(file).map_err(|error| missing(error.to_string()))?;
                    keys.open(&camera.id, sealed).map(Some).map_err(|error| missing(error.to_string()))
                }
                None => Err(missing(format!(
                    "its credentials are sealed with the key {:?}, and there is no --seal-keys file here",
                    sealed.key
                ))),
            },
            Some(Credentials::Secret { secret }) => {
                let Some(folder) = &self.folder else {
                    return Err(missing(format!(
                        "it names the secret {secret:?}, and there is no --secrets directory here"
                    )));
                };
                read(folder, secret).map(Some).map_err(missing)
            }
        }
    }
}

fn read(folder: &Path, secret: &str) -> Result<InlineCredentials, String> {
    // A name is one folder's, and leads nowhere else.
    let is_name = !secret.is_empty() && !secret.starts_with('.') && !secret.contains(['/', '\\', '\0']);
    if !is_name {
        return Err(format!("{secret:?} is no name of a secret"));
    }
    let of = |key: &str| match std::fs::read_to_string(folder.join(secret).join(key)) {
        Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("the secret {secret:?} has no {key:?}"))
        }
        Err(error) => Err(format!("{key:?} of the secret {secret:?} can't be read: {error}")),
    };
    if !folder.join(secret).is_dir() {
        return Err(format!("there is no secret {secret:?}"));
    }
    Ok(InlineCredentials { user: of(USER)?, password: of(PASSWORD)? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn camera(secret: &str) -> Camera {
        let credentials = Some(Credentials::Secret { secret: secret.to_owned() });
        Camera { credentials, ..Camera::new("gate", "rtsp://10.0.0.5/1") }
    }

    #[test]
    fn a_secret_is_read_as_it_is_now() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(dir.path().to_owned()), None);
        let refused = |name: &str| secrets.of(&camera(name)).unwrap_err().message().to_owned();
        assert!(refused("gate").contains("no secret \"gate\""), "{}", refused("gate"));
        std::fs::create_dir(dir.path().join("gate")).unwrap();
        std::fs::write(dir.path().join("gate/username"), "admin\n").unwrap();
        assert!(refused("gate").contains("has no \"password\""), "{}", refused("gate"));
        for password in ["one", "two words\n"] {
            std::fs::write(dir.path().join("gate/password"), password).unwrap();
            let found = secrets.of(&camera("gate")).unwrap().unwrap();
            assert_eq!((found.user.as_str(), found.password.as_str()), ("admin", password.trim_end()));
        }
    }

    #[test]
    fn what_was_sealed_for_a_camera_is_opened_for_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, sightline_service::seal::new_key_line("k1").unwrap()).unwrap();
        let keys = Keys::load(&file).unwrap();
        let plain = InlineCredentials { user: "admin".to_owned(), password: "tr0ub4dor".to_owned() };
        let sealed = Credentials::Sealed(keys.seal("gate", &plain).unwrap());
        let camera =
            |id: &str| Camera { credentials: Some(sealed.clone()), ..Camera::new(id, "rtsp://10.0.0.5/1") };
        let secrets = Secrets::new(None, Some(file));
        assert_eq!(secrets.of(&camera("gate")).unwrap(), Some(plain));
        for error in [secrets.of(&camera("door")), Secrets::default().of(&camera("gate"))] {
            let error = error.unwrap_err();
            assert_eq!(error.code(), ErrorCode::SecretMissing);
            assert!(!error.message().contains("tr0ub4dor"), "{}", error.message());
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(dir.path().join("secrets")), None);
        std::fs::create_dir_all(dir.path().join("other")).unwrap();
        for name in ["../other", "", ".", "..", "a/b"] {
            let error = secrets.of(&camera(name)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::SecretMissing);
            assert!(error.message().contains("no name of a secret"), "{}", error.message());
        }
        let error = Secrets::default().of(&camera("gate")).unwrap_err();
        assert!(error.message().contains("--secrets"), "{}", error.message());
    }
}
