//! The layout of a matrix on a device: the fields of its blocks apart, each where a GPU loads it at once.
//!
//! A block of ggml is 17, 18, 34 or 210 bytes, which no GPU loads well. On the device the scales of all blocks lie
//! together, and so do their codes; nothing is lost, added or decoded. Fields of whole vec4s (16 bytes) come first,
//! then those of whole words, then the others, so each starts aligned, however many blocks there are.

use crate::Format;
use crate::gpu::shader::switch::Switch;
use std::cmp::Reverse;

/// Bytes that a kernel loads at once.
pub(in crate::gpu) const VEC4_BYTES: usize = 16;

/// Rows that take turns block by block in a texture (their vec4 fields vec4 by vec4): what the eight lanes of
/// llvmpipe's vectors read of four rows each, or half of what they read of eight. With rows one after another, so
/// many lanes would read at as many places at once: more than a processor prefetches, and more than its nearest
/// cache holds of rows whose length is a power of two.
const INTERLEAVED_ROWS: usize = 32;

/// The interleaved rows of a format in a texture; 1 for float formats, whose blocks are a few weights.
pub(in crate::gpu) fn interleaved_rows(format: Format) -> usize {
    if format.is_float() { 1 } else { INTERLEAVED_ROWS }
}

/// Where one field of all blocks is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct Field {
    /// Bytes of it in a block.
    pub(in crate::gpu) bytes: usize,
    /// The byte of a block at which it begins.
    pub(in crate::gpu) from: usize,
    /// Bytes of a block that lie before it on the device.
    pub(in crate::gpu) start: usize,
}

impl Field {
    /// Bytes of what it is read by: the largest of chunk, word, half and byte that divides it.
    pub(in crate::gpu) fn unit(&self) -> usize {
        [VEC4_BYTES, 4, 2].into_iter().find(|unit| self.bytes.is_multiple_of(*unit)).unwrap_or(1)
    }
}

/// The layout of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct FieldLayout {
    /// In the order of the block.
    pub(in crate::gpu) fields: Vec<Field>,
    /// Quads of four weights in a block.
    pub(in crate::gpu) quads: usize,
    pub(in crate::gpu) block_bytes: usize,
}

impl FieldLayout {
    /// A block of a float format is a chunk of weights, and only the last of a row may lack some.
    pub(in crate::gpu) fn of(format: Format) -> Self {
        let info = format.info();
        if format.is_float() {
            let field = Field { bytes: VEC4_BYTES, from: 0, start: 0 };
            let quads = VEC4_BYTES / info.block_bytes / 4;
            return Self { fields: vec![field], quads, block_bytes: VEC4_BYTES };
        }
        let mut from = 0;
        let mut fields: Vec<Field> = Vec::new();
        for &bytes in info.fields {
            fields.push(Field { bytes, from, start: 0 });
            from += bytes;
        }
        for i in 0..fields.len() {
            let place = |j: usize| (Reverse((fields[j].unit(), fields[j].bytes)), j);
            let is_before = |j: usize| place(j) < place(i);
            fields[i].start = (0..fields.len()).filter(|&j| is_before(j)).map(|j| fields[j].bytes).sum();
        }
        Self { fields, quads: info.block_weights / 4, block_bytes: info.block_bytes }
    }

    /// Blocks that hold this many weights.
    pub(in crate::gpu) fn blocks(&self, weights: usize) -> usize {
        weights.div_ceil(4 * self.quads)
    }

    /// Bytes of a block in fields of whole chunks, which come first.
    pub(in crate::gpu) fn vec4_bytes(&self) -> usize {
        self.fields.iter().filter(|field| field.unit() == VEC4_BYTES).map(|field| field.bytes).sum()
    }

    /// Bytes of so many blocks, in whole chunks.
    pub(in crate::gpu) fn device_bytes(&self, blocks: u64) -> u64 {
        (blocks * self.block_bytes as u64).next_multiple_of(VEC4_BYTES as u64)
    }

    /// The constants of `shaders/matrix/`.
    pub(in crate::gpu) fn constants(&self) -> Vec<(String, usize)> {
        let of_block = [("BLOCK_QUADS", self.quads), ("BLOCK_BYTES", self.block_bytes)];
        let mut constants: Vec<_> = of_block.map(|(name, value)| (name.to_owned(), value)).into();
        for (i, field) in self.fields.iter().enumerate() {
            let unit = field.unit();
            let values = [
                ("AT", field.start / unit),
                ("SIZE", field.bytes / unit),
                ("FROM", field.from),
                ("START", field.start),
                ("BYTES", field.bytes),
            ];
            constants.extend(values.map(|(name, value)| (format!("FIELD{i}_{name}"), value)));
        }
        constants
    }

    /// The switches of `shaders/matrix/`.
    pub(in crate::gpu) fn switches(&self) -> Vec<Switch> {
        let fields = [Switch::Field1, Switch::Field2, Switch::Field3, Switch::Field4];
        let mut switches = fields[..self.fields.len() - 1].to_vec();
        switches.extend(self.fields.iter().any(|field| field.bytes % 2 == 1).then_some(Switch::OddFields));
        switches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FORMATS;

    #[test]
    fn fields_are_the_block_and_start_where_they_are_aligned() {
        for info in &FORMATS {
            let layout = FieldLayout::of(info.format);
            let mut places: Vec<_> = layout.fields.iter().map(|field| (field.start, field.bytes)).collect();
            places.sort_unstable();
            let mut end = 0;
            for (start, bytes) in places {
                assert_eq!(start, end, "{}", info.name);
                end += bytes;
            }
            assert_eq!(end, layout.block_bytes, "{}", info.name);
            for field in &layout.fields {
                assert!(field.start.is_multiple_of(field.unit()), "{}", info.name);
            }
            // What is smaller than a word shares words with the next block's, and so must be the last.
            let small = layout.fields.iter().filter(|field| field.unit() < 4);
            assert!(small.clone().count() <= 1 && small.clone().all(|field| field.start.is_multiple_of(4)));
        }
    }
}
