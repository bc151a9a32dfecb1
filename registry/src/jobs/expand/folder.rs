//! Files below a folder of this machine, in the order of their names, from one of them on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file below the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Below the folder, with slashes.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) modified: SystemTime,
}

/// Goes on behind the name `after`, until `each` wants no more. `Ok(true)`: to the end. Links to folders are not followed.
pub(super) fn walk(
    folder: &Path,
    after: &str,
    each: &mut dyn FnMut(Listed) -> bool,
) -> std::io::Result<bool> {
    step(folder, "", after, each)
}

fn step(
    folder: &Path,
    above: &str,
    after: &str,
    each: &mut dyn FnMut(Listed) -> bool,
) -> std::io::Result<bool> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A name that is no text can't be an address.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let is_folder = entry.file_type()?.is_dir();
        // As objects are ordered: by the whole name.
        let name = if is_folder { format!("{above}{name}/") } else { format!("{above}{name}") };
        entries.push((name, entry.path(), is_folder));
    }
    entries.sort();
    for (name, path, is_folder) in entries {
        if is_folder {
            // Nothing in it is behind `after` where it comes before and does not hold it.
            if name.as_str() < after && !after.starts_with(&name) {
                continue;
            }
            if !step(&path, &name, after, each)? {
                return Ok(false);
            }
        } else if name.as_str() > after {
            // One that is gone again, or a link to nowhere, is none.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_file() && !each(Listed { name, path, modified: meta.modified()? }) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_objects_and_from_any_of_them_on() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.mp4", "a/b.mp4", "a/c/d.mp4", "a0.mp4", "b.mp4"];
        for name in names.iter().chain(&[".hidden.mp4", "a/.x"]) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        std::os::unix::fs::symlink("/", folder.path().join("root")).unwrap();
        let from = |after: &str, most: usize| {
            let mut found = Vec::new();
            let whole = walk(folder.path(), after, &mut |listed| {
                found.push(listed.name);
                found.len() < most
            });
            (found, whole.unwrap())
        };
        assert_eq!(from("", 9), (names.map(str::to_owned).to_vec(), true));
        for (at, name) in names.iter().enumerate() {
            assert_eq!(from(name, 9).0, names[at + 1..], "{name}");
        }
        assert_eq!(from("", 2), (vec!["a.mp4".to_owned(), "a/b.mp4".to_owned()], false));
    }
}
