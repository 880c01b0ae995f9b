//! The values of metadata.

use std::fmt;

/// The type of a [`Value`], or of the elements of an [`Array`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each name says it")]
#[non_exhaustive]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    /// Every type with its name and the bytes of a value (0 if that depends on the value), in the order of
    /// the numbers that files store.
    const TABLE: [(Self, &str, u64); 13] = [
        (Self::U8, "u8", 1),
        (Self::I8, "i8", 1),
        (Self::U16, "u16", 2),
        (Self::I16, "i16", 2),
        (Self::U32, "u32", 4),
        (Self::I32, "i32", 4),
        (Self::F32, "f32", 4),
        (Self::Bool, "bool", 1),
        (Self::String, "string", 0),
        (Self::Array, "array", 0),
        (Self::U64, "u64", 8),
        (Self::I64, "i64", 8),
        (Self::F64, "f64", 8),
    ];

    pub(super) fn from_id(id: u32) -> Option<Self> {
        Self::TABLE.get(id as usize).map(|row| row.0)
    }

    pub(super) fn id(self) -> u32 {
        self as u32
    }

    /// The name as this crate prints it: `u32`, `string`.
    pub fn name(self) -> &'static str {
        Self::TABLE[self as usize].1
    }

    /// Bytes of a value; `None` for strings and arrays.
    pub(super) fn bytes(self) -> Option<u64> {
        Some(Self::TABLE[self as usize].2).filter(|&bytes| bytes > 0)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value in the metadata.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "each name says it")]
#[non_exhaustive]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    /// Any bytes, as in ggml. [`Value::as_str`] gives them as text if they are UTF-8.
    String(Vec<u8>),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// The type of this value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The text, if this is a string in UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, if this is a non-negative integer of any type.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::U64(x) => Some(x),
            _ => self.as_i64().and_then(|x| x.try_into().ok()),
        }
    }

    /// The number, if this is an integer of any type and at most `i64::MAX`.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::U8(x) => Some(x.into()),
            Self::I8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::I16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::I32(x) => Some(x.into()),
            Self::U64(x) => x.try_into().ok(),
            Self::I64(x) => Some(x),
            _ => None,
        }
    }

    /// The number, if this is an f32 or an f64.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(x) => Some(x),
            _ => None,
        }
    }

    /// The array, if this is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Appends the encoding of this value, without its type.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(x) => out.push(*x),
            Self::I8(x) => out.extend(x.to_le_bytes()),
            Self::U16(x) => out.extend(x.to_le_bytes()),
            Self::I16(x) => out.extend(x.to_le_bytes()),
            Self::U32(x) => out.extend(x.to_le_bytes()),
            Self::I32(x) => out.extend(x.to_le_bytes()),
            Self::F32(x) => out.extend(x.to_le_bytes()),
            Self::Bool(x) => out.push((*x).into()),
            Self::String(x) => encode_string(x, out),
            Self::Array(x) => {
                out.extend(x.element_type.id().to_le_bytes());
                out.extend(x.len.to_le_bytes());
                out.extend(&x.bytes);
            }
            Self::U64(x) => out.extend(x.to_le_bytes()),
            Self::I64(x) => out.extend(x.to_le_bytes()),
            Self::F64(x) => out.extend(x.to_le_bytes()),
        }
    }

    /// Takes a value of `value_type` from the front of `bytes`, which holds whole values of that type.
    ///
    /// `None` at the end of `bytes`, and for arrays, which cannot be elements of an array.
    fn decode(value_type: ValueType, bytes: &mut &[u8]) -> Option<Self> {
        Some(match value_type {
            ValueType::U8 => Self::U8(u8::from_le_bytes(take(bytes)?)),
            ValueType::I8 => Self::I8(i8::from_le_bytes(take(bytes)?)),
            ValueType::U16 => Self::U16(u16::from_le_bytes(take(bytes)?)),
            ValueType::I16 => Self::I16(i16::from_le_bytes(take(bytes)?)),
            ValueType::U32 => Self::U32(u32::from_le_bytes(take(bytes)?)),
            ValueType::I32 => Self::I32(i32::from_le_bytes(take(bytes)?)),
            ValueType::F32 => Self::F32(f32::from_le_bytes(take(bytes)?)),
            ValueType::Bool => Self::Bool(take::<1>(bytes)? != [0]),
            ValueType::String => Self::String(take_string(bytes)?.to_vec()),
            ValueType::Array => return None,
            ValueType::U64 => Self::U64(u64::from_le_bytes(take(bytes)?)),
            ValueType::I64 => Self::I64(i64::from_le_bytes(take(bytes)?)),
            ValueType::F64 => Self::F64(f64::from_le_bytes(take(bytes)?)),
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.as_bytes().to_vec())
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u64::from_le_bytes(take(bytes)?);
    let (string, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(string)
}

/// Appends the encoding of a string: length and bytes.
pub(super) fn encode_string(string: &[u8], out: &mut Vec<u8>) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string);
}

/// Values of one type, kept as the bytes of the file.
///
/// A vocabulary has 150,000 strings and more, which most users only copy, so elements are decoded only on
/// request.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    element_type: ValueType,
    len: u64,
    bytes: Vec<u8>,
}

impl Array {
    /// `bytes` holds `len` whole values of `element_type`, which is not `Array`.
    pub(super) fn from_bytes(element_type: ValueType, len: u64, bytes: Vec<u8>) -> Self {
        Self { element_type, len, bytes }
    }

    /// An array of strings, each of any bytes.
    pub fn from_strings<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Self {
        let mut array = Self { element_type: ValueType::String, len: 0, bytes: Vec::new() };
        for string in strings {
            encode_string(string.as_ref(), &mut array.bytes);
            array.len += 1;
        }
        array
    }

    /// The type of every element; never [`ValueType::Array`].
    pub fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The encoded elements: little-endian numbers, or strings with their lengths.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value> {
        let mut bytes = self.bytes.as_slice();
        std::iter::from_fn(move || Value::decode(self.element_type, &mut bytes))
    }

    /// The elements in order, without copies, if they are strings.
    pub fn strings(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let mut bytes = self.bytes.as_slice();
        (self.element_type == ValueType::String).then(|| std::iter::from_fn(move || take_string(&mut bytes)))
    }
}

/// Conversions from the Rust types to [`Value`] and [`Array`].
macro_rules! from_numbers {
    ($($variant:ident: $number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(x: $number) -> Self {
                Self::$variant(x)
            }
        }

        impl From<&[$number]> for Array {
            fn from(numbers: &[$number]) -> Self {
                let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                Self { element_type: ValueType::$variant, len: numbers.len() as u64, bytes }
            }
        }
    )*};
}

from_numbers! {
    U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, F32: f32, U64: u64, I64: i64, F64: f64
}

impl From<bool> for Value {
    fn from(x: bool) -> Self {
        Self::Bool(x)
    }
}

impl From<&[bool]> for Array {
    fn from(bools: &[bool]) -> Self {
        let bytes = bools.iter().map(|&x| x.into()).collect();
        Self { element_type: ValueType::Bool, len: bools.len() as u64, bytes }
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_value_types_is_in_the_order_of_their_numbers() {
        for (index, row) in ValueType::TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
        }
        // Numbers of the specification.
        let ids = [ValueType::U8, ValueType::F32, ValueType::Bool, ValueType::Array, ValueType::F64]
            .map(ValueType::id);
        assert_eq!(ids, [0, 6, 7, 9, 12]);
        assert_eq!(ValueType::from_id(13), None);
    }
}
