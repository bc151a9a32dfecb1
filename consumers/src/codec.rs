//! The bytes of a state: whole numbers of variable length (LEB128), signed ones in zigzag, texts with their length.

use thiserror::Error;

/// What is written first.
pub(crate) const VERSION: u8 = 3;
/// The oldest that is read.
const OLDEST: u8 = 2;

/// Bytes that are no state of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    #[error("it is of version {0}; this one reads versions {OLDEST} to {VERSION}")]
    Version(u8),
    #[error("it is cut off or damaged")]
    Torn,
}

#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.number(value as u64);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

pub(crate) struct Reader<'a> {
    version: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&version @ OLDEST..=VERSION, rest)) => Ok(Self { version, rest }),
            Some((version, _)) => Err(StateError::Version(*version)),
            None => Err(StateError::Torn),
        }
    }

    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    pub(crate) fn end(&self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::Torn) }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(StateError::Torn)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn number(&mut self) -> Result<u64, StateError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes(1)?.first().ok_or(StateError::Torn)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(StateError::Torn)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, StateError> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, StateError> {
        T::try_from(self.number()?).map_err(|_| StateError::Torn)
    }

    pub(crate) fn small_signed(&mut self) -> Result<i32, StateError> {
        i32::try_from(self.signed()?).map_err(|_| StateError::Torn)
    }

    /// Of things that take a byte each at least: a torn state asks for no more memory than it has bytes.
    pub(crate) fn count(&mut self) -> Result<usize, StateError> {
        let count: usize = self.small()?;
        if count <= self.rest.len() { Ok(count) } else { Err(StateError::Torn) }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, StateError> {
        match self.bytes(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(StateError::Torn),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, StateError> {
        let count = self.count()?;
        let bytes = self.bytes(count)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| StateError::Torn)
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }
}
