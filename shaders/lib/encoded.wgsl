// The blocks to write, and a bit for each block that the CPU reference must encode instead.

@group(0) @binding(2) var<storage, read_write> blocks: array<u32>;
@group(0) @binding(3) var<storage, read_write> declined: array<atomic<u32>>;

fn decline(block: u32) { atomicOr(&declined[block >> 5u], 1u << (block & 31u)); }

// The low bytes of four integers as one word, the first lowest.
fn bytes(v: vec4<u32>) -> u32 {
  let b = v & vec4<u32>(0xffu);
  return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}

// Writes four words from word `at` on.
fn store4(at: u32, words: vec4<u32>) {
  blocks[at] = words.x;
  blocks[at + 1u] = words.y;
  blocks[at + 2u] = words.z;
  blocks[at + 3u] = words.w;
}
