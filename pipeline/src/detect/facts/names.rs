//! Class names: from metadata, where they are a Python literal, and from files.

use std::collections::BTreeMap;

use super::{ModelDescription, Refusal};

/// Ids above this are taken for a mistake: names are kept in a list.
const MOST_CLASSES: u32 = 65_536;

/// Why class names can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    #[error("at byte {at}, {expected} was expected")]
    Syntax { at: usize, expected: &'static str },
    #[error("{key:?} is no class id: a whole number below 65536")]
    Id { key: String },
    #[error("class {id} is named twice")]
    Twice { id: u32 },
    #[error("class {id} has no name: a string that isn't empty")]
    Nameless { id: usize },
    #[error("it is no JSON: {0}")]
    Json(String),
    #[error("there are no names in it")]
    Empty,
}

/// The names in the metadata, if there are any.
pub(super) fn of_metadata(model: &ModelDescription) -> Result<Option<Vec<String>>, Refusal> {
    match model.says("names") {
        None | Some("") => Ok(None),
        Some(text) => parse_python(text).map(Some).map_err(Refusal::Names),
    }
}

/// A names file: a JSON list, a JSON object from id to name, or one name a line (empty lines and what
/// surrounds a name are left out).
pub fn parse_names_file(text: &str) -> Result<Vec<String>, NamesError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with(['[', '{']) {
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|l| !l.is_empty()).map(Into::into).collect();
        return if names.is_empty() { Err(NamesError::Empty) } else { Ok(names) };
    }
    let name = |id: usize, value: &serde_json::Value| match value.as_str().map(str::trim) {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(NamesError::Nameless { id }),
    };
    match serde_json::from_str(text).map_err(|error| NamesError::Json(error.to_string()))? {
        serde_json::Value::Array(list) if list.is_empty() => Err(NamesError::Empty),
        serde_json::Value::Array(list) => {
            list.iter().enumerate().map(|(id, value)| name(id, value)).collect()
        }
        serde_json::Value::Object(by_id) => {
            let mut names = ById::default();
            for (key, value) in &by_id {
                let id = parse_id(key)?;
                names.insert(id, name(id as usize, value)?)?;
            }
            names.into_list()
        }
        _ => Err(NamesError::Empty),
    }
}

/// A Python literal, as Ultralytics and yolov5 write it: `{0: 'person', 1: "it's"}` or `['person', …]`. Keys
/// may be strings. JSON is read too, being near enough.
pub(super) fn parse_python(text: &str) -> Result<Vec<String>, NamesError> {
    let mut reader = Reader { rest: text.trim(), length: text.trim().len() };
    let mut names = ById::default();
    let close = match reader.take() {
        Some('{') => '}',
        Some('[') => ']',
        Some('(') => ')',
        _ => return Err(NamesError::Syntax { at: 0, expected: "{ or [" }),
    };
    for position in 0..=MOST_CLASSES {
        if reader.skip(close) {
            break;
        }
        let id = if close == '}' {
            let key = if reader.at_string() { reader.string()? } else { reader.word() };
            reader.expect(':', "a colon behind the class id")?;
            parse_id(&key)?
        } else {
            position
        };
        let name = reader.string()?;
        if name.trim().is_empty() {
            return Err(NamesError::Nameless { id: id as usize });
        }
        names.insert(id, name)?;
        if !reader.skip(',') {
            reader.expect(close, "a comma or the end")?;
            break;
        }
    }
    match reader.take() {
        None => names.into_list(),
        Some(_) => Err(NamesError::Syntax { at: reader.position() - 1, expected: "the end" }),
    }
}

fn parse_id(key: &str) -> Result<u32, NamesError> {
    let id = key.trim().parse().ok().filter(|&id| id < MOST_CLASSES);
    id.ok_or_else(|| NamesError::Id { key: key.into() })
}

#[derive(Default)]
struct ById(BTreeMap<u32, String>);

impl ById {
    fn insert(&mut self, id: u32, name: String) -> Result<(), NamesError> {
        match self.0.insert(id, name) {
            None => Ok(()),
            Some(_) => Err(NamesError::Twice { id }),
        }
    }

    /// Ids left out, as in COCO's 91 categories, are named after their number.
    fn into_list(self) -> Result<Vec<String>, NamesError> {
        let last = self.0.keys().next_back().copied().ok_or(NamesError::Empty)?;
        let name = |id: u32| self.0.get(&id).cloned().unwrap_or_else(|| format!("class {id}"));
        Ok((0..=last).map(name).collect())
    }
}

/// Walks over a literal.
struct Reader<'a> {
    rest: &'a str,
    /// Bytes of the whole.
    length: usize,
}

impl Reader<'_> {
    fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The next character that isn't white space.
    fn take(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.take_any()
    }

    fn take_any(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    /// Takes `wanted` if it comes next.
    fn skip(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let Some(rest) = self.rest.strip_prefix(wanted) else { return false };
        self.rest = rest;
        true
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), NamesError> {
        if self.skip(wanted) { Ok(()) } else { Err(NamesError::Syntax { at: self.position(), expected }) }
    }

    fn at_string(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.starts_with(['\'', '"'])
    }

    /// What comes before the next white space or punctuation.
    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| c.is_whitespace() || ",:{}[]()".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.into()
    }

    /// A string in either kind of quotes, escapes resolved.
    fn string(&mut self) -> Result<String, NamesError> {
        let at = self.position();
        let expected = "a name in quotes";
        let quote = match self.take() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(NamesError::Syntax { at, expected }),
        };
        let mut name = String::new();
        loop {
            match self.take_any() {
                Some(c) if c == quote => return Ok(name),
                Some('\\') => name.extend(self.escape()?),
                Some(c) => name.push(c),
                None => return Err(NamesError::Syntax { at, expected: "a name with its closing quote" }),
            }
        }
    }

    /// What follows a backslash. Unknown escapes stand for themselves, backslash included, as in Python.
    fn escape(&mut self) -> Result<Vec<char>, NamesError> {
        let syntax = NamesError::Syntax { at: self.position(), expected: "an escaped character" };
        let Some(kind) = self.take_any() else { return Err(syntax) };
        let digits = match kind {
            'n' => return Ok(vec!['\n']),
            't' => return Ok(vec!['\t']),
            'r' => return Ok(vec!['\r']),
            '\\' | '\'' | '"' | '/' => return Ok(vec![kind]),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => return Ok(vec!['\\', other]),
        };
        let Some((hex, rest)) = self.rest.split_at_checked(digits) else { return Err(syntax) };
        let character = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).ok_or(syntax)?;
        self.rest = rest;
        Ok(vec![character])
    }
}
