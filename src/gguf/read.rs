//! The header of a file, field by field.

use super::tensor::{
    check_dimension, check_dimension_count, check_name_length, count_weights, pad, tensor_type,
};
use super::{
    ALIGNMENT_KEY, Array, Fault, MAGIC, MAX_LENGTH, Metadata, ReadAt, TensorInfo, VERSION, Value, ValueType,
};
use crate::{Error, Result};
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// A key has a length, at least one byte, a value type and a value of at least one byte.
const MIN_KEY_BYTES: u64 = 8 + 1 + 4 + 1;
/// A tensor has a length, a name, a number of dimensions, the dimensions, a type and an offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 4 + 8;

/// Bytes per read. A header with a vocabulary takes a few dozen reads, a small one a single read.
const WINDOW_BYTES: u64 = 256 << 10;

/// The header of a GGUF file.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Header {
    /// The version of the file, 2 or 3.
    pub version: u32,
    /// Every tensor starts at a multiple of this many bytes; a power of two.
    pub alignment: u32,
    /// Keys and values.
    pub metadata: Metadata,
    /// The tensors in the order of their data.
    pub tensors: Vec<TensorInfo>,
    /// The offset of the data, in bytes from the start of the file.
    pub data_offset: u64,
}

impl Header {
    /// Reads the header of the GGUF file in `source`. Errors give `path` as its path.
    ///
    /// Fails with [`Error::Gguf`] if ggml refuses the file or if the file is too short for the data of all
    /// tensors (the padding after the last may be missing, as in llama.cpp), and with [`Error::Io`]. Reads
    /// ahead by at most 256 KiB, so the cost does not depend on the size of the data.
    pub fn read(source: &dyn ReadAt, path: &Path) -> Result<Self> {
        let mut cursor = Cursor::new(source, path)?;
        if cursor.len == 0 {
            return Err(cursor.error(0, Fault::Empty));
        }
        let version = read_version(&mut cursor)?;
        let tensor_count =
            read_count(&mut cursor, "the number of tensors", MIN_TENSOR_BYTES, |found, limit| {
                Fault::TensorCount { found, limit }
            })?;
        let key_count = read_count(&mut cursor, "the number of keys", MIN_KEY_BYTES, |found, limit| {
            Fault::KeyCount { found, limit }
        })?;
        let (metadata, alignment) = read_metadata(&mut cursor, key_count)?;
        let (tensors, data_offset) = read_tensors(&mut cursor, tensor_count, alignment)?;
        Ok(Self { version, alignment, metadata, tensors, data_offset })
    }
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32> {
    let magic = cursor.read("the magic \"GGUF\"")?;
    if magic != MAGIC {
        return Err(cursor.error(0, Fault::Magic { found: magic }));
    }
    let at = cursor.position;
    match cursor.read_u32("the version")? {
        version @ 2..=VERSION => Ok(version),
        // ggml's test: a small number with swapped bytes has zeros in its low half.
        version if version != 0 && version.trailing_zeros() >= 16 => {
            Err(cursor.error(at, Fault::BigEndian { version: version.swap_bytes() }))
        }
        found => Err(cursor.error(at, Fault::Version { found })),
    }
}

/// Reads the number of entries that take at least `min_bytes` bytes each.
fn read_count(
    cursor: &mut Cursor<'_>,
    what: &'static str,
    min_bytes: u64,
    fault: fn(found: u64, limit: u64) -> Fault,
) -> Result<u64> {
    let at = cursor.position;
    let found = cursor.read_u64(what)?;
    let limit = cursor.remaining() / min_bytes;
    if found > limit { Err(cursor.error(at, fault(found, limit))) } else { Ok(found) }
}

/// Reads the metadata. Returns also the alignment that they set.
fn read_metadata(cursor: &mut Cursor<'_>, count: u64) -> Result<(Metadata, u32)> {
    let mut metadata = Metadata::new();
    let mut seen = HashSet::new();
    let mut alignment_type_at = 0;
    for _ in 0..count {
        let at = cursor.position;
        let key = String::from_utf8(cursor.read_string("a key")?)
            .map_err(|error| cursor.error(at, Fault::KeyEncoding { found: error.into_bytes() }))?;
        if key.is_empty() {
            return Err(cursor.error(at, Fault::EmptyKey));
        }
        if !seen.insert(key.clone()) {
            return Err(cursor.error(at, Fault::DuplicateKey { key }));
        }
        if key == ALIGNMENT_KEY {
            alignment_type_at = cursor.position;
        }
        let value = read_value(cursor, &key)?;
        metadata.push_new(key, value);
    }
    let alignment = metadata.alignment().map_err(|fault| {
        let value_at = alignment_type_at + size_of::<u32>() as u64;
        let at = if matches!(fault, Fault::AlignmentType { .. }) { alignment_type_at } else { value_at };
        cursor.error(at, fault)
    })?;
    Ok((metadata, alignment))
}

fn read_value_type(cursor: &mut Cursor<'_>, key: &str) -> Result<ValueType> {
    let at = cursor.position;
    let id = cursor.read_u32("a value type")?;
    ValueType::from_id(id)
        .ok_or_else(|| cursor.error(at, Fault::UnknownValueType { key: key.to_owned(), found: id }))
}

fn read_value(cursor: &mut Cursor<'_>, key: &str) -> Result<Value> {
    let what = "a value";
    Ok(match read_value_type(cursor, key)? {
        ValueType::U8 => Value::U8(u8::from_le_bytes(cursor.read(what)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(cursor.read(what)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(cursor.read(what)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(cursor.read(what)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(cursor.read(what)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(cursor.read(what)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(cursor.read(what)?)),
        ValueType::Bool => Value::Bool(cursor.read(what)? != [0]),
        ValueType::String => Value::String(cursor.read_string("a string")?),
        ValueType::Array => Value::Array(read_array(cursor, key)?),
        ValueType::U64 => Value::U64(u64::from_le_bytes(cursor.read(what)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(cursor.read(what)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(cursor.read(what)?)),
    })
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<Array> {
    let type_at = cursor.position;
    let element_type = read_value_type(cursor, key)?;
    if element_type == ValueType::Array {
        return Err(cursor.error(type_at, Fault::NestedArray { key: key.to_owned() }));
    }
    let len_at = cursor.position;
    let len = cursor.read_u64("the length of an array")?;
    if len > MAX_LENGTH {
        return Err(cursor.error(len_at, Fault::ArrayLength { key: key.to_owned(), found: len }));
    }
    // A string takes at least the eight bytes of its length.
    let min_bytes = len * element_type.bytes().unwrap_or(8);
    cursor.check_remaining(min_bytes, "the elements of an array")?;
    let mut bytes = Vec::new();
    match element_type {
        ValueType::String => {
            for _ in 0..len {
                let string_bytes = cursor.read_string_len("a string of an array")?;
                bytes.extend(string_bytes.to_le_bytes());
                cursor.append(string_bytes, &mut bytes)?;
            }
        }
        _ => cursor.append(min_bytes, &mut bytes)?,
    }
    if element_type == ValueType::Bool {
        // ggml reads any byte but 0 as true and writes true as 1.
        for byte in &mut bytes {
            *byte = (*byte != 0).into();
        }
    }
    Ok(Array::from_bytes(element_type, len, bytes))
}

/// Reads the tensors. Returns also the offset of their data.
fn read_tensors(cursor: &mut Cursor<'_>, count: u64, alignment: u32) -> Result<(Vec<TensorInfo>, u64)> {
    let mut tensors: Vec<TensorInfo> = Vec::new();
    let mut seen = HashSet::new();
    let mut end = 0;
    for _ in 0..count {
        let at = cursor.position;
        let mut tensor = read_tensor(cursor)?;
        if !seen.insert(tensor.name().to_owned()) {
            return Err(cursor.error(at, Fault::DuplicateTensor { tensor: tensor.name().to_owned() }));
        }
        let at = cursor.position;
        tensor.offset = cursor.read_u64("the offset of a tensor")?;
        if tensor.offset != end {
            let (tensor, found) = (tensor.name().to_owned(), tensor.offset);
            return Err(cursor.error(at, Fault::Offset { tensor, expected: end, found }));
        }
        end = tensor.padded_end(alignment).map_err(|fault| cursor.error(at, fault))?;
        tensors.push(tensor);
    }
    // Without tensors, nothing is aligned.
    let infos_end = cursor.position;
    let data_offset =
        if tensors.is_empty() { infos_end } else { pad(infos_end, alignment).unwrap_or(u64::MAX) };
    for tensor in &tensors {
        let start = data_offset.saturating_add(tensor.offset);
        let end = start.saturating_add(tensor.bytes());
        if end > cursor.len {
            let tensor = tensor.name().to_owned();
            return Err(cursor.error(start, Fault::MissingData { tensor, expected: end, found: cursor.len }));
        }
    }
    Ok((tensors, data_offset))
}

/// Reads a tensor up to its offset.
fn read_tensor(cursor: &mut Cursor<'_>) -> Result<TensorInfo> {
    let at = cursor.position;
    let name_bytes = cursor.read_string_len("a tensor name")?;
    check_name_length(name_bytes).map_err(|fault| cursor.error(at, fault))?;
    let mut name = Vec::new();
    cursor.append(name_bytes, &mut name)?;
    let name = String::from_utf8(name)
        .map_err(|error| cursor.error(at, Fault::NameEncoding { found: error.into_bytes() }))?;

    let at = cursor.position;
    let dimensions = cursor.read_u32("the number of dimensions")? as usize;
    check_dimension_count(&name, dimensions).map_err(|fault| cursor.error(at, fault))?;
    let shape_at = cursor.position;
    let mut shape = Vec::new();
    for dimension in 0..dimensions {
        let at = cursor.position;
        let length = cursor.read_u64("a dimension")?;
        check_dimension(&name, dimension, length).map_err(|fault| cursor.error(at, fault))?;
        shape.push(length);
    }
    let weights = count_weights(&name, &shape).map_err(|fault| cursor.error(shape_at, fault))?;

    let at = cursor.position;
    let id = cursor.read_u32("a tensor type")?;
    tensor_type(&name, id)
        .and_then(|tensor_type| TensorInfo::from_checked(name, shape, weights, tensor_type))
        .map_err(|fault| cursor.error(at, fault))
}

/// A position in the file, and a window of the bytes that follow.
struct Cursor<'a> {
    source: &'a dyn ReadAt,
    path: &'a Path,
    /// Length of the file.
    len: u64,
    position: u64,
    /// Bytes that were read, and how many of them are before `position`.
    window: Vec<u8>,
    used: usize,
}

impl<'a> Cursor<'a> {
    fn new(source: &'a dyn ReadAt, path: &'a Path) -> Result<Self> {
        let len = source.len_bytes().map_err(|source| cannot_read(path, source))?;
        Ok(Self { source, path, len, position: 0, window: Vec::new(), used: 0 })
    }

    fn remaining(&self) -> u64 {
        self.len - self.position
    }

    fn error(&self, offset: u64, fault: Fault) -> Error {
        Error::Gguf { path: self.path.to_owned(), offset, fault }
    }

    fn check_remaining(&self, bytes: u64, what: &'static str) -> Result<()> {
        if bytes <= self.remaining() {
            Ok(())
        } else {
            let fault = Fault::Truncated { what, expected: bytes, found: self.remaining() };
            Err(self.error(self.position, fault))
        }
    }

    /// Takes between one and `bytes` bytes from the window, which is refilled if it is empty.
    ///
    /// `bytes` is neither 0 nor more than remain in the file.
    fn next(&mut self, bytes: u64) -> Result<&[u8]> {
        if self.used == self.window.len() {
            self.window.resize(self.remaining().min(WINDOW_BYTES) as usize, 0);
            self.used = 0;
            self.source
                .read_exact_at(&mut self.window, self.position)
                .map_err(|source| cannot_read(self.path, source))?;
        }
        let unused = &self.window[self.used..];
        let taken = &unused[..unused.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        self.used += taken.len();
        self.position += taken.len() as u64;
        Ok(taken)
    }

    fn read<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        self.check_remaining(N as u64, what)?;
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            let next = self.next((N - filled) as u64)?;
            bytes[filled..filled + next.len()].copy_from_slice(next);
            filled += next.len();
        }
        Ok(bytes)
    }

    /// Appends `bytes` bytes, which must remain in the file.
    fn append(&mut self, mut bytes: u64, out: &mut Vec<u8>) -> Result<()> {
        while bytes > 0 {
            let next = self.next(bytes)?;
            out.extend(next);
            bytes -= next.len() as u64;
        }
        Ok(())
    }

    fn read_u32(&mut self, what: &'static str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.read(what)?))
    }

    fn read_u64(&mut self, what: &'static str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.read(what)?))
    }

    /// Reads the length of a string and checks that its bytes remain in the file.
    fn read_string_len(&mut self, what: &'static str) -> Result<u64> {
        let at = self.position;
        let found = self.read_u64(what)?;
        if found > MAX_LENGTH {
            return Err(self.error(at, Fault::StringLength { found }));
        }
        self.check_remaining(found, what)?;
        Ok(found)
    }

    fn read_string(&mut self, what: &'static str) -> Result<Vec<u8>> {
        let len = self.read_string_len(what)?;
        let mut bytes = Vec::new();
        self.append(len, &mut bytes)?;
        Ok(bytes)
    }
}

fn cannot_read(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), action: "read", source }
}
