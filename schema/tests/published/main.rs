//! What is published about the messages: an example of each (`schema/golden`), their JSON Schemas and the AsyncAPI
//! document (`docs/schema`), and the examples in `docs/MESSAGES.md`.
//!
//! All are compared byte for byte. After a change that is meant, write them anew:
//! `UPDATE_GOLDEN=1 cargo test -p sightline-schema`, and read the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asyncapi;
mod examples;
mod golden;
mod page;
mod schemas;

use std::path::{Path, PathBuf};
use std::{env, fs};

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn docs_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Compares a file with what it should hold, or writes it.
fn check(path: &Path, wanted: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        found,
        wanted,
        "{} differs from the types; if that is meant, run the tests with UPDATE_GOLDEN=1",
        path.display()
    );
}

/// `frame/1` → `frame-1.json`.
fn file_name(schema: &str) -> String {
    format!("{}.json", schema.replace('/', "-"))
}
