// The place of a block's byte on the device, in the layout of fields (matrix/fields.wgsl).

// The index of byte `at` of a block's field, among the bytes of that field in all blocks. The field has
// `bytes` bytes.
fn field_byte(bytes: u32, block: u32, at: u32) -> u32 {
#if INTERLEAVED_ROWS > 1
  let rows = INTERLEAVED_ROWS;
  if (bytes % 16u == 0u) {
    return block / rows * (rows * bytes) + (at / 16u * rows + block % rows) * 16u + at % 16u;
  }
#endif
  return block * bytes + at;
}

// FIELDi_FROM is the byte of a block where field i begins, FIELDi_START the number of bytes in the fields
// that precede it on the device, for each block.
fn byte_index(block: u32, at: u32) -> u32 {
  var at_device = params.blocks * FIELD0_START + field_byte(FIELD0_BYTES, block, at);
#repeat i 1 5
#ifdef FIELD$i
  if (at >= FIELD$i_FROM) {
    at_device = params.blocks * FIELD$i_START + field_byte(FIELD$i_BYTES, block, at - FIELD$i_FROM);
  }
#endif
#end
  return at_device;
}
