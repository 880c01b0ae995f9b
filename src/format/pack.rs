//! Codes of less than a byte, in the order of most formats of 32 weights.

/// Sixteen bytes of two codes each: weight `j` in the low nibble of byte `j`, weight `j + 16` in the high
/// one. Only the low four bits of a code are used.
#[inline(always)]
pub(super) fn pack_nibbles(codes: &[u8; 32]) -> [u8; 16] {
    let (low, high) = codes.split_at(16);
    let mut bytes = [0; 16];
    for (byte, (low, high)) in bytes.iter_mut().zip(low.iter().zip(high)) {
        *byte = low & 15 | high << 4;
    }
    bytes
}

/// The inverse of [`pack_nibbles`].
#[inline(always)]
pub(super) fn unpack_nibbles(bytes: &[u8; 16]) -> [u8; 32] {
    let mut codes = [0; 32];
    let (low, high) = codes.split_at_mut(16);
    for (code, byte) in low.iter_mut().zip(bytes) {
        *code = byte & 15;
    }
    for (code, byte) in high.iter_mut().zip(bytes) {
        *code = byte >> 4;
    }
    codes
}

/// The fifth bits of 32 codes: bit `j` belongs to weight `j`.
#[inline(always)]
pub(super) fn pack_fifth_bits(codes: &[u8; 32]) -> u32 {
    let mut bits = [0; 4];
    for (byte, codes) in bits.iter_mut().zip(codes.as_chunks().0) {
        // The factor has bits 7, 14, … 56: byte i of eight is multiplied by bit 56 - 7i, so its bit 0 goes to
        // bit 56 + i.
        let lowest = u64::from_le_bytes(*codes) >> 4 & 0x0101_0101_0101_0101;
        *byte = (lowest.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8;
    }
    u32::from_le_bytes(bits)
}

/// Five-bit codes from their nibbles and fifth bits.
#[inline(always)]
pub(super) fn unpack_five_bits(nibbles: &[u8; 16], fifth: u32) -> [u8; 32] {
    let mut codes = unpack_nibbles(nibbles);
    for (j, code) in codes.iter_mut().enumerate() {
        *code |= ((fifth >> j & 1) << 4) as u8;
    }
    codes
}
