// The place of a block's byte on the device, where blocks lie as in a file.

fn byte_index(block: u32, at: u32) -> u32 { return block * BLOCK_BYTES + at; }
