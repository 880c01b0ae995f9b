//! The layout of a matrix on a device: fields of blocks are stored separately, each aligned for the loads of
//! a GPU.
//!
//! Blocks in ggml have sizes such as 17, 18, 34 or 210 bytes, which GPUs load poorly. On the device, the
//! scales of all blocks are stored together, and so are their codes; nothing is added or decoded. Fields of
//! whole vec4s (16 bytes) come first, then fields of whole words, then the others, so that each starts
//! aligned for any number of blocks.

use crate::Format;
use crate::gpu::shader::switch::Switch;
use std::cmp::Reverse;

/// Bytes of a `vec4<u32>`, which kernels load at once.
pub(in crate::gpu) const VEC4_BYTES: usize = 16;

/// How many rows are interleaved block by block in a texture; fields of vec4s are interleaved by vec4. Each
/// of llvmpipe's eight lanes reads four rows, or half of eight. With consecutive rows, these lanes would read
/// from that many separate addresses: more than a CPU prefetches, and for row lengths that are powers of two,
/// more than its L1 cache holds.
const INTERLEAVED_ROWS: usize = 32;

/// How many rows are interleaved for a format; 1 for float formats, whose blocks are a few weights.
pub(in crate::gpu) fn interleaved_rows(format: Format) -> usize {
    if format.is_float() { 1 } else { INTERLEAVED_ROWS }
}

/// Where one field of the blocks is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct Field {
    /// Bytes of the field in a block.
    pub(in crate::gpu) bytes: usize,
    /// Its offset in a block of the file.
    pub(in crate::gpu) from: usize,
    /// Bytes of each block that are stored before this field on the device.
    pub(in crate::gpu) start: usize,
}

impl Field {
    /// The bytes of a load: the largest of vec4, word, half-word and byte that divides the field.
    pub(in crate::gpu) fn unit(&self) -> usize {
        [VEC4_BYTES, 4, 2].into_iter().find(|unit| self.bytes.is_multiple_of(*unit)).unwrap_or(1)
    }
}

/// The layout of a format's blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct FieldLayout {
    /// The fields in the order of the file's block.
    pub(in crate::gpu) fields: Vec<Field>,
    /// Quads of weights in a block.
    pub(in crate::gpu) quads: usize,
    pub(in crate::gpu) block_bytes: usize,
}

impl FieldLayout {
    /// The layout of `format`. A block of a float format is a vec4 of weights; the last of a row may be
    /// incomplete.
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
            let order = |j: usize| (Reverse((fields[j].unit(), fields[j].bytes)), j);
            let is_before = |j: usize| order(j) < order(i);
            fields[i].start = (0..fields.len()).filter(|&j| is_before(j)).map(|j| fields[j].bytes).sum();
        }
        Self { fields, quads: info.block_weights / 4, block_bytes: info.block_bytes }
    }

    /// The number of blocks of `weights` weights.
    pub(in crate::gpu) fn blocks(&self, weights: usize) -> usize {
        weights.div_ceil(4 * self.quads)
    }

    /// Bytes of a block in fields of whole vec4s, which come first.
    pub(in crate::gpu) fn vec4_bytes(&self) -> usize {
        self.fields.iter().filter(|field| field.unit() == VEC4_BYTES).map(|field| field.bytes).sum()
    }

    /// Bytes of `blocks` blocks, rounded up to whole vec4s.
    pub(in crate::gpu) fn device_bytes(&self, blocks: u64) -> u64 {
        (blocks * self.block_bytes as u64).next_multiple_of(VEC4_BYTES as u64)
    }

    /// The constants for `shaders/matrix/`.
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

    /// The switches for `shaders/matrix/`.
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
            let mut ranges: Vec<_> = layout.fields.iter().map(|field| (field.start, field.bytes)).collect();
            ranges.sort_unstable();
            let mut end = 0;
            for (start, bytes) in ranges {
                assert_eq!(start, end, "{}", info.name);
                end += bytes;
            }
            assert_eq!(end, layout.block_bytes, "{}", info.name);
            for field in &layout.fields {
                assert!(field.start.is_multiple_of(field.unit()), "{}", info.name);
            }
            // A field smaller than a word shares words with the next block's, so there is at most one and it
            // comes last.
            let small = layout.fields.iter().filter(|field| field.unit() < 4);
            assert!(small.clone().count() <= 1 && small.clone().all(|field| field.start.is_multiple_of(4)));
        }
    }
}
