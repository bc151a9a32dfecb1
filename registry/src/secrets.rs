//! Users and passwords on their way in: sealed, or refused. Pure but for the keys file, which is read again when it
//! changes.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sightline_schema::{Camera, Credentials};
use sightline_service::files::Watched;
use sightline_service::seal::{Keys, KeysError};

use crate::problem::FieldError;

/// Seals what comes in. Without a keys file nothing inline is taken.
pub(crate) struct Sealer {
    keys: Option<Mutex<Watched<Keys>>>,
}

impl Sealer {
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self, KeysError> {
        let keys = path.map(|path| Watched::open(path, Keys::load)).transpose()?;
        Ok(Self { keys: keys.map(Mutex::new) })
    }

    fn keys(&self) -> Option<Keys> {
        let keys = self.keys.as_ref()?;
        Some(keys.lock().unwrap_or_else(PoisonError::into_inner).get().clone())
    }

    /// Makes a camera's credentials such as may leave the registry. `current` is the camera as registered: who gives the
    /// same user and password again changes nothing, and an old key is replaced by the newest.
    pub(crate) fn seal(&self, camera: &mut Camera, current: Option<&Camera>) -> Result<(), FieldError> {
        let before = current.and_then(|camera| camera.credentials.as_ref());
        let given = match &camera.credentials {
            None | Some(Credentials::Secret { .. }) => return Ok(()),
            Some(given) => given.clone(),
        };
        let keys = self.keys();
        let plain = match (&given, &keys) {
            (Credentials::Inline(_), None) => {
                return Err(FieldError::new(
                    "credentials",
                    "a user and password can't be kept: this registry has no keys to seal them with",
                    "name a secret instead ({secret: NAME}), or run the registry with --seal-keys FILE",
                ));
            }
            (Credentials::Inline(inline), Some(_)) => inline.clone(),
            // What a client was given and gives back.
            (Credentials::Sealed(_), None) if before == Some(&given) => return Ok(()),
            (Credentials::Sealed(_), None) => {
                return Err(FieldError::new(
                    "credentials.sealed",
                    "can't be checked: this registry has no keys",
                    "give user and password anew, name a secret, or run the registry with --seal-keys FILE",
                ));
            }
            (Credentials::Sealed(sealed), Some(keys)) => match keys.open(&camera.id, sealed) {
                Ok(plain) if sealed.key != keys.sealing() => plain,
                Ok(_) => return Ok(()),
                // A key that was taken away: what is there stays there.
                Err(_) if before == Some(&given) => return Ok(()),
                Err(error) => {
                    return Err(FieldError::new(
                        "credentials.sealed",
                        error.to_string(),
                        "give user and password anew",
                    ));
                }
            },
            (Credentials::Secret { .. }, _) => return Ok(()),
        };
        let Some(keys) = keys else { return Ok(()) };
        if let Some(Credentials::Sealed(sealed)) = before
            && sealed.key == keys.sealing()
            && keys.open(&camera.id, sealed).is_ok_and(|opened| opened == plain)
        {
            camera.credentials = Some(Credentials::Sealed(sealed.clone()));
            return Ok(());
        }
        let sealed = keys.seal(&camera.id, &plain);
        let sealed =
            sealed.map_err(|error| FieldError::new("credentials", error.to_string(), "try again"))?;
        camera.credentials = Some(Credentials::Sealed(sealed));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use sightline_service::seal::new_key_line;

    use super::*;

    fn sealer(lines: &[&str]) -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let sealer = Sealer::open(Some(path)).unwrap();
        (folder, sealer)
    }

    fn sealed(sealer: &Sealer, uri: &str, current: Option<&Camera>) -> Result<Camera, FieldError> {
        let mut camera = Camera::new("gate", uri);
        sealer.seal(&mut camera, current).map(|()| camera)
    }

    #[test]
    fn a_password_is_sealed_once_and_given_again_changes_nothing() {
        let (_folder, sealer) = sealer(&[&new_key_line("k").unwrap()]);
        let first = sealed(&sealer, "rtsp://ann:hunter2@10.0.0.5/1", None).unwrap();
        let shown = serde_json::to_string(&first).unwrap();
        assert!(shown.contains("\"sealed\"") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(sealed(&sealer, "rtsp://ann:hunter2@10.0.0.5/1", Some(&first)).unwrap(), first);
        let other = sealed(&sealer, "rtsp://ann:other@10.0.0.5/1", Some(&first)).unwrap();
        assert_ne!(other.credentials, first.credentials);
        let mut given_back = first.clone();
        sealer.seal(&mut given_back, Some(&first)).unwrap();
        assert_eq!(given_back, first);
    }

    #[test]
    fn what_was_sealed_for_another_camera_is_refused() {
        let (_folder, sealer) = sealer(&[&new_key_line("k").unwrap()]);
        let gate = sealed(&sealer, "rtsp://ann:hunter2@10.0.0.5/1", None).unwrap();
        let mut yard = Camera { id: "yard".into(), ..gate };
        let error = sealer.seal(&mut yard, None).unwrap_err();
        assert_eq!(error.field, "credentials.sealed");
    }

    #[test]
    fn a_new_key_seals_anew_what_an_old_one_sealed() {
        let (old, new) = (new_key_line("old").unwrap(), new_key_line("new").unwrap());
        let (_one, before) = sealer(&[&old]);
        let (_two, after) = sealer(&[&new, &old]);
        let first = sealed(&before, "rtsp://ann:hunter2@10.0.0.5/1", None).unwrap();
        let mut again = first.clone();
        after.seal(&mut again, Some(&first)).unwrap();
        assert!(matches!(&again.credentials, Some(Credentials::Sealed(sealed)) if sealed.key == "new"));
        let (_three, alone) = sealer(&[&new]);
        let mut kept = first.clone();
        alone.seal(&mut kept, Some(&first)).unwrap();
        assert_eq!(kept, first, "what can't be opened any more stays as it is");
        alone.seal(&mut first.clone(), None).unwrap_err();
    }

    #[test]
    fn without_keys_a_secret_may_be_named_and_nothing_else() {
        let sealer = Sealer::open(None).unwrap();
        let error = sealed(&sealer, "rtsp://ann:hunter2@10.0.0.5/1", None).unwrap_err();
        assert!(error.next_step.contains("--seal-keys") && error.next_step.contains("secret"), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
        sealed(&sealer, "rtsp://10.0.0.5/1", None).unwrap();
        let mut camera = Camera::new("gate", "rtsp://10.0.0.5/1");
        camera.credentials = Some(Credentials::Secret { secret: "gate".into() });
        sealer.seal(&mut camera, None).unwrap();
    }
}
