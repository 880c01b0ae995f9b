//! The keys and values of a file, in order.

use super::{ALIGNMENT_KEY, Array, DEFAULT_ALIGNMENT, Fault, Value};

/// An ordered list of keys and their values.
///
/// Keys are unique and keep their position, because files are compared byte by byte. A model has about fifty
/// keys, so look-ups search the list.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

impl Metadata {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.0 == key).map(|entry| &entry.1)
    }

    /// The integer at `key`, of any integer type; `None` if it is missing, negative or not an integer.
    pub fn u64_of(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// The number at `key`, an f32 or an f64; `None` if it is missing or of another type.
    pub fn f64_of(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// The boolean at `key`; `None` if it is missing or of another type.
    pub fn bool_of(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// The text at `key`; `None` if it is missing, not a string or not UTF-8.
    pub fn str_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The array at `key`; `None` if it is missing or not an array.
    pub fn array_of(&self, key: &str) -> Option<&Array> {
        self.get(key)?.as_array()
    }

    /// Sets the value of `key`. A new key goes to the end; an existing one keeps its position.
    ///
    /// ggml's `gguf_set_*` always move the key to the end. For that, [`remove`](Self::remove) it first.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|entry| entry.0 == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Removes `key` and returns its value. Later keys move up.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.entries.iter().position(|entry| entry.0 == key)?;
        Some(self.entries.remove(index).1)
    }

    /// Appends a key that does not exist yet.
    pub(super) fn push_new(&mut self, key: String, value: Value) {
        self.entries.push((key, value));
    }

    /// The alignment of tensor data in bytes: `general.alignment`, or 32.
    pub(super) fn alignment(&self) -> Result<u32, Fault> {
        match self.get(ALIGNMENT_KEY) {
            None => Ok(DEFAULT_ALIGNMENT),
            Some(Value::U32(alignment)) if alignment.is_power_of_two() => Ok(*alignment),
            Some(Value::U32(alignment)) => Err(Fault::Alignment { found: *alignment }),
            Some(value) => Err(Fault::AlignmentType { found: value.value_type() }),
        }
    }
}
