//! How a matrix lies in a device's memory: the fields of its blocks apart, each where a GPU loads it at once.
//!
//! A block of ggml is 17, 18, 34 or 210 bytes, which no GPU loads well. On the device the scales of all blocks lie together, and so
//! do their codes: nothing is lost, added or decoded. Fields of whole chunks of 16 bytes come first, then those of whole words, then the others, so that each
//! starts where it is aligned, however many blocks there are.

use crate::Format;
use std::cmp::Reverse;

/// Bytes that a kernel loads at once.
pub(super) const CHUNK_BYTES: usize = 16;

/// Rows whose blocks, or of fields of whole chunks these, take turns in a texture: what the eight lanes of llvmpipe's vectors read of four rows each, or half of what they
/// read of eight. One after another, the rows of so many lanes would be as many places that are read at once: more than a processor foresees, and more than its nearest
/// cache holds of rows whose length is a power of two.
const BAND: usize = 32;

/// How many there are of a format: the blocks of a float format are a few weights, and rows long.
pub(super) fn band(format: Format) -> usize {
    if format.is_float() { 1 } else { BAND }
}

/// Where one field of all blocks is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Field {
    /// Bytes of it in a block.
    pub(super) bytes: usize,
    /// The byte of a block at which it begins.
    pub(super) from: usize,
    /// Bytes of a block that lie before it on the device.
    pub(super) start: usize,
}

impl Field {
    /// Bytes of what it is read by: the largest of chunk, word, half and byte that divides it.
    pub(super) fn unit(&self) -> usize {
        [CHUNK_BYTES, 4, 2].into_iter().find(|unit| self.bytes.is_multiple_of(*unit)).unwrap_or(1)
    }
}

/// The layout of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Split {
    /// In the order of the block.
    pub(super) fields: Vec<Field>,
    /// Quads of four weights in a block.
    pub(super) quads: usize,
    pub(super) block_bytes: usize,
}

impl Split {
    /// A block of a float format is a chunk of weights, and only the last of a row may lack some.
    pub(super) fn of(format: Format) -> Self {
        let info = format.info();
        if format.is_float() {
            let field = Field { bytes: CHUNK_BYTES, from: 0, start: 0 };
            let quads = CHUNK_BYTES / info.block_bytes / 4;
            return Self { fields: vec![field], quads, block_bytes: CHUNK_BYTES };
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
    pub(super) fn blocks(&self, weights: usize) -> usize {
        weights.div_ceil(4 * self.quads)
    }

    /// Bytes of a block in fields of whole chunks, which come first.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.fields.iter().filter(|field| field.unit() == CHUNK_BYTES).map(|field| field.bytes).sum()
    }

    /// Bytes of so many blocks, in whole chunks.
    pub(super) fn device_bytes(&self, blocks: u64) -> u64 {
        (blocks * self.block_bytes as u64).next_multiple_of(CHUNK_BYTES as u64)
    }

    /// What `shaders/lib/split.wgsl` and `shaders/lib/split_block.wgsl` ask for.
    pub(super) fn constants(&self) -> Vec<(String, usize)> {
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

    /// What chooses text in those files.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let is_there = ["FIELD0", "FIELD1", "FIELD2", "FIELD3", "FIELD4"];
        let mut names = is_there[..self.fields.len()].to_vec();
        names.extend(self.fields.iter().any(|field| field.bytes % 2 == 1).then_some("ODD_FIELDS"));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FORMATS;

    #[test]
    fn fields_are_the_block_and_start_where_they_are_aligned() {
        for info in &FORMATS {
            let split = Split::of(info.format);
            let mut places: Vec<_> = split.fields.iter().map(|field| (field.start, field.bytes)).collect();
            places.sort_unstable();
            let mut end = 0;
            for (start, bytes) in places {
                assert_eq!(start, end, "{}", info.name);
                end += bytes;
            }
            assert_eq!(end, split.block_bytes, "{}", info.name);
            for field in &split.fields {
                assert!(field.start.is_multiple_of(field.unit()), "{}", info.name);
            }
            // What is smaller than a word shares words with the next block's, and so must be the last.
            let small = split.fields.iter().filter(|field| field.unit() < 4);
            assert!(small.clone().count() <= 1 && small.clone().all(|field| field.start.is_multiple_of(4)));
        }
    }
}
