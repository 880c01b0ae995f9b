//! What tells a model from others, without reading all of it.

use super::Model;
use crate::Result;

/// Bytes of each tensor that are read, from the middle.
const SAMPLE_BYTES: u64 = 4096;

/// Architecture, name, and a hash: of the names, shapes and types of all tensors and of 4 KiB of their data.
pub(crate) fn fingerprint(model: &Model) -> Result<String> {
    let mut hash = Hash::new();
    let mut sample = Vec::new();
    for tensor in model.tensors() {
        let info = tensor.info;
        hash.add(info.name().as_bytes());
        for length in info.shape() {
            hash.add(&length.to_le_bytes());
        }
        hash.add(info.tensor_type().name().as_bytes());
        let bytes = info.bytes().min(SAMPLE_BYTES);
        sample.resize(bytes as usize, 0);
        tensor.read_bytes((info.bytes() - bytes) / 2, &mut sample)?;
        hash.add(&sample);
    }
    let word = |key: &str| model.metadata().str_of(key).unwrap_or("?");
    Ok(format!("{} {}, hash {:016x}", word("general.architecture"), word("general.name"), hash.value()))
}

/// FNV-1a of 64 bits: the same on every machine, and no defence against forgery.
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}
