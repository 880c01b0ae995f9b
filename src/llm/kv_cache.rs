//! The KV cache: keys and values of every layer. Here are its formats, and the cache in host memory.

use super::config::Config;
use crate::cpu::StridedRows;
use crate::{Error, Format, Result, cpu};
use std::ops::Range;

/// The formats of keys and of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheFormats {
    pub(super) keys: Format,
    pub(super) values: Format,
}

impl CacheFormats {
    /// Fails with [`Error::Unsupported`] for a format that a cache cannot have.
    pub(super) fn check(self) -> Result<()> {
        for (what, format) in [("the format of keys", self.keys), ("the format of values", self.values)] {
            if !matches!(format, Format::F16 | Format::F32) {
                let known = "F16 and F32".to_owned();
                return Err(Error::Unsupported { what, found: format.to_string(), known });
            }
        }
        Ok(())
    }

    /// Bytes of one layer's keys, and of its values, for this many tokens.
    pub(super) fn layer_bytes(self, config: &Config, tokens: usize) -> [u64; 2] {
        [self.keys, self.values].map(|format| format.bytes_for((config.kv_width() * tokens) as u64))
    }
}

/// The keys or the values of a layer, a row for each token.
#[derive(Clone, Debug)]
struct Rows {
    format: Format,
    row_bytes: usize,
    bytes: Vec<u8>,
}

impl Rows {
    /// Stores rows from row `position` on, and drops all rows after them.
    fn store(&mut self, position: usize, floats: &[f32]) -> Result<()> {
        let start = position * self.row_bytes;
        self.bytes.truncate(start);
        self.bytes.resize(start + self.format.bytes_for(floats.len() as u64) as usize, 0);
        cpu::quantize(self.format, floats, &mut self.bytes[start..])
    }

    fn floats(&self) -> Result<Vec<f32>> {
        let bytes = self.format.bytes_for(1) as usize;
        let mut floats = vec![0.0; self.bytes.len() / bytes];
        cpu::dequantize(self.format, &self.bytes, &mut floats)?;
        Ok(floats)
    }
}

/// A cache in host memory, which grows as it fills.
#[derive(Clone, Debug)]
pub(super) struct HostCache {
    layers: Vec<[Rows; 2]>,
}

impl HostCache {
    pub(super) fn new(config: &Config, formats: CacheFormats) -> Self {
        let rows = [formats.keys, formats.values].map(|format| {
            let row_bytes = format.bytes_for(config.kv_width() as u64) as usize;
            Rows { format, row_bytes, bytes: Vec::new() }
        });
        Self { layers: vec![rows; config.layers] }
    }

    /// Stores rows of keys and of values from `position` on, and drops all rows after them.
    pub(super) fn store(
        &mut self,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) -> Result<()> {
        let [key_rows, value_rows] = &mut self.layers[layer];
        key_rows.store(position, keys)?;
        value_rows.store(position, values)
    }

    /// `width` numbers, from number `first` on, of the keys (`half` 0) or the values (1) of tokens.
    pub(super) fn head(
        &self,
        layer: usize,
        half: usize,
        tokens: Range<usize>,
        first: usize,
        width: usize,
    ) -> Result<StridedRows<'_>> {
        let Rows { format, row_bytes, bytes } = &self.layers[layer][half];
        let start = tokens.start * row_bytes + format.bytes_for(first as u64) as usize;
        StridedRows::new(*format, &bytes[start..], *row_bytes, tokens.len(), width)
    }

    /// All keys and all values of a layer.
    pub(super) fn floats(&self, layer: usize) -> Result<[Vec<f32>; 2]> {
        let [keys, values] = &self.layers[layer];
        Ok([keys.floats()?, values.floats()?])
    }
}
