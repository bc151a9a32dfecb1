//! How numbers are written: as many decimals as the format promises, and never `0.41119999` for 0.4112.

use serde::Serializer;
use serde::ser::Error;

/// Rounds half away from zero to `1 / scale`. Adding 0 turns −0 into 0.
fn rounded<S: Serializer>(value: f64, scale: f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round_to(finite(value)?, scale))
}

/// `value` rounded half away from zero to a multiple of `1 / scale`.
pub(crate) fn round_to(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale + 0.0
}

/// JSON has no NaN and no infinity; `serde_json` would write `null` for them, which no schema allows.
pub(crate) fn finite<E: Error>(value: f64) -> Result<f64, E> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(E::custom(format!("{value} can't be written as a JSON number")))
    }
}

/// The shortest decimal that reads back as the same `f32`.
///
/// `serialize_f32` would do for text, but a `serde_json::Value` holds `f64` and would show 0.699999988079071.
pub(crate) fn shortest<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(shortest_f64(*value)?)
}

pub(crate) fn shortest_f64<E: Error>(value: f32) -> Result<f64, E> {
    finite(f64::from(value))?;
    value.to_string().parse().map_err(E::custom)
}

pub(crate) fn shortest_option<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => shortest(value, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn shortest_map<S: Serializer>(
    map: &std::collections::BTreeMap<String, f32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let pairs = map.iter().map(|(key, value)| Ok((key, shortest_f64(*value)?)));
    let pairs: Vec<_> = pairs.collect::<Result<_, S::Error>>()?;
    serializer.collect_map(pairs)
}

pub(crate) fn one<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*value, 1e1, serializer)
}

pub(crate) fn three<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*value, 1e3, serializer)
}

pub(crate) fn three_option<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => three(value, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn four<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(f64::from(*value), 1e4, serializer)
}

pub(crate) fn four_option<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => four(value, serializer),
        None => serializer.serialize_none(),
    }
}
