//! `sightline camera edit`: the settings in an editor, back when it is closed.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use ureq::http::Method;

use super::http::{Client, path_of};
use super::{camera, output};
use crate::cli::Shape;
use crate::exit::{Failure, Outcome};

pub(super) fn run(client: &Client, shape: Shape, id: &str) -> Outcome {
    let found = client.get(&path_of(id), &[])?;
    let before = output::yaml(&found.body["spec"])?;
    let folder = tempfile::Builder::new().prefix("sightline-").tempdir().map_err(Failure::failed)?;
    let file = folder.path().join(format!("{id}.yaml"));
    let mut shown = before.clone();
    loop {
        fs::write(&file, &shown).map_err(Failure::failed)?;
        edit(&file)?;
        let text = fs::read_to_string(&file).map_err(Failure::failed)?;
        let edited = without_remarks(&text);
        if edited.trim().is_empty() || edited.trim() == before.trim() {
            println!("camera {id} is left as it is");
            return Ok(());
        }
        if text == shown && shown != before {
            // Closed once more without a change: whoever edits has given up.
            return Err(Failure::failed(
                "nothing was changed; the last refusal stands in the file's first lines",
            ));
        }
        let sent = serde_norway::from_str::<Value>(&edited)
            .map_err(|error| Failure::usage(error.to_string()))
            .and_then(|settings| {
                let tag = found.etag.as_deref().unwrap_or("*");
                client.send_if(Method::PUT, &path_of(id), &settings, &[("if-match", tag)])
            });
        match sent {
            Ok(answered) => return camera::changed(shape, &answered, "changed"),
            Err(failure) => {
                eprintln!("sightline: {}", failure.message);
                shown = format!("{}{edited}", remarks(&failure.message));
            }
        }
    }
}

fn edit(file: &Path) -> Outcome {
    let named = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
    let editor = named.filter(|editor| !editor.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
    // As the shell would: an editor may come with flags.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Failure::failed(format!("the editor {editor} ended with {status}; nothing was changed")))
        }
        Err(error) => {
            Err(Failure::failed(format!("the editor {editor} does not start ({error}); set EDITOR")))
        }
    }
}

fn remarks(message: &str) -> String {
    message.lines().map(|line| format!("#! {line}\n")).collect()
}

fn without_remarks(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("#! ")).map(|line| format!("{line}\n")).collect()
}
