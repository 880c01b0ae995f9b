//! Writing a file from start to end.

use super::tensor::pad;
use super::value::encode_string;
use super::{Fault, MAGIC, MAX_LENGTH, Metadata, TensorInfo, VERSION, Value};
use crate::{Error, Result};
use std::collections::HashSet;
use std::io::{self, Write};

/// The offset of every byte of a file, computed before the file is written.
///
/// The same metadata and tensors give the file that ggml's `gguf_write_to_file` writes: version 3, data in
/// the order of the tensors, and after each tensor, including the last, zeros up to the alignment. Trailing
/// dimensions of 1 are removed, except the first dimension.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The header without the padding, which can be large.
    header: Vec<u8>,
    alignment: u32,
    data_offset: u64,
    tensors: Vec<TensorInfo>,
    file_bytes: u64,
}

impl Layout {
    /// The layout of a file of `metadata` and `tensors`, with data in this order.
    ///
    /// The alignment is `general.alignment`, or 32. Fails with [`Error::Layout`] if readers would refuse the
    /// file: for an empty key, a string or an array that is too long, two tensors of the same name, an
    /// invalid alignment, or sizes beyond 64 bits.
    pub fn new(metadata: &Metadata, tensors: Vec<TensorInfo>) -> Result<Self> {
        Self::checked(metadata, tensors).map_err(|fault| Error::Layout { fault })
    }

    fn checked(metadata: &Metadata, mut tensors: Vec<TensorInfo>) -> Result<Self, Fault> {
        let alignment = metadata.alignment()?;
        let mut seen = HashSet::new();
        let mut data_bytes = 0;
        for tensor in &mut tensors {
            tensor.offset = data_bytes;
            data_bytes = tensor.padded_end(alignment)?;
            if !seen.insert(tensor.name().to_owned()) {
                return Err(Fault::DuplicateTensor { tensor: tensor.name().to_owned() });
            }
        }

        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata.iter() {
            check_entry(key, value)?;
            encode_string(key.as_bytes(), &mut header);
            header.extend(value.value_type().id().to_le_bytes());
            value.encode(&mut header);
        }
        for tensor in &tensors {
            encode_tensor(tensor, &mut header);
        }

        let data_offset = pad(header.len() as u64, alignment);
        let file_bytes = data_offset.and_then(|offset| offset.checked_add(data_bytes));
        let (Some(data_offset), Some(file_bytes)) = (data_offset, file_bytes) else {
            let tensor = tensors.last().map_or("", TensorInfo::name).to_owned();
            return Err(Fault::DataBytes { tensor });
        };
        Ok(Self { header, alignment, data_offset, tensors, file_bytes })
    }

    /// Every tensor starts at a multiple of this many bytes.
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// The offset of the data, in bytes from the start of the file.
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// The tensors in the order of their data, each with its offset from [`data_offset`](Self::data_offset).
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Number of zeros after the data of `tensor`.
    pub fn padding(&self, tensor: &TensorInfo) -> u64 {
        tensor.bytes().wrapping_neg() % u64::from(self.alignment)
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Writes the header with its padding.
    pub fn write_header(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.header)?;
        write_zeros(out, self.data_offset - self.header.len() as u64)
    }
}

fn check_entry(key: &str, value: &Value) -> Result<(), Fault> {
    if key.is_empty() {
        return Err(Fault::EmptyKey);
    }
    check_string(key.as_bytes())?;
    match value {
        Value::String(string) => check_string(string),
        Value::Array(array) if array.len() > MAX_LENGTH => {
            Err(Fault::ArrayLength { key: key.to_owned(), found: array.len() })
        }
        Value::Array(array) => array.strings().into_iter().flatten().try_for_each(check_string),
        _ => Ok(()),
    }
}

fn check_string(string: &[u8]) -> Result<(), Fault> {
    let bytes = string.len() as u64;
    if bytes <= MAX_LENGTH { Ok(()) } else { Err(Fault::StringLength { found: bytes }) }
}

fn encode_tensor(tensor: &TensorInfo, out: &mut Vec<u8>) {
    encode_string(tensor.name().as_bytes(), out);
    let dimensions = tensor.shape().iter().rposition(|&length| length != 1).map_or(1, |last| last + 1);
    out.extend((dimensions as u32).to_le_bytes());
    // As in ggml, a tensor without dimensions is written with a single dimension of 1.
    for length in tensor.shape().iter().chain(&[1]).take(dimensions) {
        out.extend(length.to_le_bytes());
    }
    out.extend(tensor.tensor_type().ggml_id().to_le_bytes());
    out.extend(tensor.offset().to_le_bytes());
}

fn write_zeros(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), out).map(|_| ())
}

/// Writes a file with a [`Layout`] as a stream: the header, then the data in any number of calls. Adds the
/// padding.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    layout: Layout,
    /// The tensor whose data come next, and the number of its bytes that are written.
    tensor_index: usize,
    written_bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header of `layout` to `out`.
    pub fn new(mut out: W, layout: Layout) -> io::Result<Self> {
        layout.write_header(&mut out)?;
        Ok(Self { out, layout, tensor_index: 0, written_bytes: 0 })
    }

    /// Writes the next bytes of data: a part of a tensor, a whole tensor, or several consecutive ones.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] if they exceed the data of the tensors.
    pub fn write_data(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            self.pad_whole_tensors()?;
            let Some(tensor) = self.layout.tensors.get(self.tensor_index) else {
                return Err(invalid("more data than the tensors of the file take"));
            };
            let missing = usize::try_from(tensor.bytes() - self.written_bytes).unwrap_or(usize::MAX);
            let (part, rest) = data.split_at(missing.min(data.len()));
            self.out.write_all(part)?;
            self.written_bytes += part.len() as u64;
            data = rest;
        }
        Ok(())
    }

    /// Writes the last padding, flushes and returns the output.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] if data of a tensor are missing.
    pub fn finish(mut self) -> io::Result<W> {
        self.pad_whole_tensors()?;
        if self.tensor_index < self.layout.tensors.len() {
            return Err(invalid("less data than the tensors of the file take"));
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// Pads and skips tensors that are complete, including those without bytes.
    fn pad_whole_tensors(&mut self) -> io::Result<()> {
        while let Some(tensor) = self.layout.tensors.get(self.tensor_index)
            && tensor.bytes() == self.written_bytes
        {
            write_zeros(&mut self.out, self.layout.padding(tensor))?;
            self.tensor_index += 1;
            self.written_bytes = 0;
        }
        Ok(())
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
