//! Flags, environment, `--config` file, default: in that order.
//!
//! The file's keys are the flags' names. Its values become the flags' defaults, so that clap itself checks them
//! and a flag or a variable comes first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::cli::Cli;
use crate::exit::{Code, Failure};

/// Reads the command line, with the config file below it if there is one.
pub(crate) fn parse() -> Result<Cli, Failure> {
    let mut command = Cli::command();
    if let Some(path) = config_path() {
        command = with_file(command, &path)?;
    }
    let matches = command.try_get_matches().map_err(told)?;
    Cli::from_arg_matches(&matches).map_err(told)
}

/// clap tells its own errors well; `--help` is no failure.
fn told(error: clap::Error) -> Failure {
    let code = error.exit_code();
    // A closed pipe behind `--help` is nobody's fault.
    let _ = error.print();
    if code == 0 {
        std::process::exit(0);
    }
    Failure::silent(Code::Usage)
}

/// The file has to be known before the rest can be parsed.
fn config_path() -> Option<PathBuf> {
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(PathBuf::from(path));
        }
        if text == "--" {
            break;
        }
    }
    std::env::var_os("SIGHTLINE_CONFIG").map(PathBuf::from)
}

fn with_file(command: Command, path: &Path) -> Result<Command, Failure> {
    let refuse = |reason: String| Failure::usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let settings: BTreeMap<String, serde_json::Value> = serde_norway::from_str(&text)
        .map_err(|error| refuse(format!("{error}; it holds `flag: value` lines")))?;
    let mut values = BTreeMap::new();
    for (name, value) in settings {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
            serde_json::Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(","),
            _ => return Err(refuse(format!("{name}: give a text, a number, true or false, or a list"))),
        };
        values.insert(name, text);
    }
    let mut known = Vec::new();
    let command = with_values(command, &values, &mut known);
    if let Some(unknown) = values.keys().find(|name| !known.contains(name)) {
        return Err(refuse(format!("{unknown}: there is no flag --{unknown}; see sightline --help")));
    }
    Ok(command)
}

/// Sets the values as defaults wherever a command has such a flag.
fn with_values(command: Command, values: &BTreeMap<String, String>, known: &mut Vec<String>) -> Command {
    let flags: Vec<_> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
        .filter_map(|(id, long)| Some((id, long.clone(), values.get(&long)?.clone())))
        .collect();
    let mut command = command;
    for (id, long, value) in flags {
        known.push(long);
        command = command.mut_arg(id, |arg| arg.default_value(OsString::from(value)).required(false));
    }
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| with_values(sub, values, known));
    }
    command
}
