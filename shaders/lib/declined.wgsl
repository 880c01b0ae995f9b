// A bit for each block that the CPU reference must encode, for kernels that follow a quantizer.

@group(0) @binding(3) var<storage, read> declined: array<u32>;

fn is_declined(block: u32) -> bool { return ((declined[block >> 5u] >> (block & 31u)) & 1u) == 1u; }
