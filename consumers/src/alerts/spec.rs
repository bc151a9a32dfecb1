//! The rules file: who is told of what. Every mistake is a sentence that names the rule or target and the field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Weekday;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_norway::{Mapping, Value};
use sightline_schema::{Direction, EventType};

use super::address::Address;
use super::hours::Hours;
use super::rules::Rule;
use super::summary::Summary;

const PAGE: &str = "docs/ALERTS.md";
/// The topic of events keeps them for 7 days.
const MOST_GIVE_UP_H: f64 = 160.0;

/// A rules file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}; {PAGE} says what stands in it", path.display())]
pub struct SpecError {
    path: PathBuf,
    why: String,
}

/// What stands in a rules file.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// By name, in the order of the file.
    pub targets: Vec<TargetSpec>,
    pub rules: Vec<Rule>,
}

/// Where alerts go.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetSpec {
    pub name: String,
    pub kind: KindSpec,
    /// Holds a token that is sent along.
    pub bearer_file: Option<PathBuf>,
    /// One attempt takes at most so long.
    pub timeout: Duration,
    /// An event that waited longer goes to the dead letters.
    pub give_up_after: Duration,
    /// Requests under way at most.
    pub parallel: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum KindSpec {
    Webhook {
        address: Address,
        /// A secret a line.
        secret_file: PathBuf,
    },
    /// The members of one cluster.
    Alertmanager { members: Vec<Address>, resolve_after: Duration },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileInput {
    targets: Mapping,
    rules: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetInput {
    webhook: Option<String>,
    alertmanager: Option<Value>,
    secret_file: Option<PathBuf>,
    bearer_file: Option<PathBuf>,
    timeout_s: Option<f64>,
    give_up_after_h: Option<f64>,
    parallel: Option<usize>,
    resolve_after_s: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleInput {
    name: String,
    to: Vec<String>,
    types: Vec<EventType>,
    #[serde(default)]
    cameras: Vec<String>,
    #[serde(default)]
    zones: Vec<String>,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    classes: Vec<String>,
    direction: Option<Direction>,
    min_confidence: Option<f32>,
    hours: Option<HoursInput>,
    severity: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoursInput {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    days: Vec<Day>,
    time_zone: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Spec {
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| Self::parse(&text)).map_err(|why| SpecError { path: path.to_owned(), why })
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let file: FileInput = serde_norway::from_str(text).map_err(|error| error.to_string())?;
        let mut targets = Vec::new();
        for (name, value) in file.targets {
            let name = name
                .as_str()
                .filter(|name| is_target_name(name))
                .ok_or_else(|| format!("targets: {}: a name is 1 to 40 of a-z, 0-9 and -", shown(&name)))?;
            let spec = read::<TargetInput>(value).and_then(|input| target(name, input));
            targets.push(spec.map_err(|why| format!("target {name}: {why}"))?);
        }
        if targets.is_empty() {
            return Err("targets: there is none; say where alerts go".to_owned());
        }
        let names: BTreeSet<_> = targets.iter().map(|target| target.name.clone()).collect();
        let mut rules: Vec<Rule> = Vec::new();
        for (n, value) in file.rules.into_iter().enumerate() {
            let name = value.get("name").and_then(Value::as_str);
            let of = name.map_or_else(|| format!("rule {}", n + 1), |name| format!("rule {name}"));
            let rule = read::<RuleInput>(value).and_then(|input| rule(input, &names));
            let rule = rule.map_err(|why| format!("{of}: {why}"))?;
            if rules.iter().any(|other| other.name == rule.name) {
                return Err(format!("{of}: name: two rules have it"));
            }
            rules.push(rule);
        }
        if rules.is_empty() {
            return Err("rules: there is none; say what alerts are about".to_owned());
        }
        Ok(Self { targets, rules })
    }
}

/// One part of the file; an error says where in it. serde shows no value but those it did not expect, and none of them is
/// a secret: secrets lie in files of their own.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        // Of a field that is missing or not known, the sentence names it already.
        if path == "." { why.to_string() } else { format!("{path}: {why}") }
    })
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| "a name that is no text".to_owned(), |text| format!("{text:?}"))
}

fn is_target_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&name.len()) && name.chars().all(legal)
}

fn target(name: &str, input: TargetInput) -> Result<TargetSpec, String> {
    let seconds = |field: &str, given: Option<f64>, usual: f64, most: f64| {
        let value = given.unwrap_or(usual);
        let fits = value > 0.0 && value <= most;
        fits.then(|| Duration::from_secs_f64(value))
            .ok_or_else(|| format!("{field}: give a number over 0, up to {most}"))
    };
    let kind = match (input.webhook, input.alertmanager) {
        (Some(address), None) => {
            let secret_file = input.secret_file.ok_or(
                "secret_file: give a file with the secret that signs (32 random bytes in base64 after whsec_)",
            )?;
            if input.resolve_after_s.is_some() {
                return Err("resolve_after_s: only an alertmanager takes it".to_owned());
            }
            let address = Address::webhook(&address).map_err(|why| format!("webhook: {why}"))?;
            KindSpec::Webhook { address, secret_file: file("secret_file", secret_file)? }
        }
        (None, Some(given)) => {
            if input.secret_file.is_some() {
                return Err(
                    "secret_file: only a webhook takes it; an alertmanager has bearer_file".to_owned()
                );
            }
            let resolve_after = seconds("resolve_after_s", input.resolve_after_s, 300.0, 86_400.0)?;
            KindSpec::Alertmanager { members: members(given)?, resolve_after }
        }
        _ => return Err("give one of `webhook` and `alertmanager`".to_owned()),
    };
    let parallel = input.parallel.unwrap_or(8);
    if !(1..=64).contains(&parallel) {
        return Err("parallel: give a number from 1 to 64".to_owned());
    }
    Ok(TargetSpec {
        name: name.to_owned(),
        kind,
        bearer_file: input.bearer_file.map(|path| file("bearer_file", path)).transpose()?,
        timeout: seconds("timeout_s", input.timeout_s, 10.0, 120.0)?,
        give_up_after: seconds("give_up_after_h", input.give_up_after_h, 24.0, MOST_GIVE_UP_H)?
            .mul_f64(3600.0),
        parallel,
    })
}

/// Whoever puts the secret itself there does not see it again in an error.
fn file(field: &str, path: PathBuf) -> Result<PathBuf, String> {
    let text = path.to_string_lossy();
    if text.is_empty() || text.starts_with("whsec_") || text.contains('\n') {
        return Err(format!("{field}: give the name of a file that holds the secret, not the secret"));
    }
    Ok(path)
}

fn members(given: Value) -> Result<Vec<Address>, String> {
    let given = match given {
        Value::Sequence(list) => list,
        one => vec![one],
    };
    if given.is_empty() {
        return Err("alertmanager: there is no address; give one like http://alertmanager:9093".to_owned());
    }
    let member = |(n, value): (usize, &Value)| {
        let address = value.as_str().ok_or("give an address or a list of addresses".to_owned());
        let address = address.and_then(Address::alertmanager);
        address.map_err(|why| format!("alertmanager[{n}]: {why}"))
    };
    given.iter().enumerate().map(member).collect()
}

fn rule(input: RuleInput, targets: &BTreeSet<String>) -> Result<Rule, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !((1..=63).contains(&input.name.len()) && input.name.chars().all(legal)) {
        return Err("name: write 1 to 63 of a-z, A-Z, 0-9 and - _ .".to_owned());
    }
    if input.to.is_empty() {
        return Err("to: there is none; name the targets that it goes to".to_owned());
    }
    if let Some(unknown) = input.to.iter().find(|name| !targets.contains(*name)) {
        let known: Vec<_> = targets.iter().map(String::as_str).collect();
        return Err(format!("to: there is no target {unknown:?}; there is {}", known.join(", ")));
    }
    if input.types.is_empty() {
        return Err("types: there is none; name the types of events that it is about".to_owned());
    }
    if input.min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        return Err("min_confidence: give a number from 0 to 1".to_owned());
    }
    let severity = input.severity.unwrap_or_else(|| "warning".to_owned());
    if !((1..=63).contains(&severity.len()) && severity.chars().all(legal)) {
        return Err("severity: write 1 to 63 of a-z, A-Z, 0-9 and - _ ., as in critical".to_owned());
    }
    let summary = Summary::parse(input.summary.as_deref()).map_err(|why| format!("summary: {why}"))?;
    Ok(Rule {
        hours: input.hours.map(hours).transpose().map_err(|why| format!("hours: {why}"))?,
        name: input.name,
        to: input.to,
        types: input.types,
        cameras: input.cameras,
        zones: input.zones,
        lines: input.lines,
        labels: input.labels,
        classes: input.classes,
        direction: input.direction,
        min_confidence: input.min_confidence,
        severity,
        summary,
    })
}

fn hours(input: HoursInput) -> Result<Hours, String> {
    let days: Vec<Weekday> = input.days.iter().map(|day| day.weekday()).collect();
    Hours::new(input.from.as_deref(), input.to.as_deref(), &days, &input.time_zone)
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (targets, rules) = (number(self.targets.len(), "target"), number(self.rules.len(), "rule"));
        write!(f, "{targets}, {rules}")
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
