// Copies rows of bytes that follow one another, so that each starts on a whole word; zeros fill the last word
// of a row. An invocation writes a word.

struct Params {
  count: u32,           // words to write
  zero: u32,            // 0
  groups_per_row: u32,  // workgroups in one row of the dispatch
  first: u32,           // the first word to write
  row_words: u32,       // words from one row of the result to the next
  row_bytes: u32,       // bytes of a row of the source
  base: u32,            // bytes from row 0 to where the source is bound; wraps around where row 0 comes later
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

#import matrix/unaligned_word.wgsl

// The four bytes from byte `at` on.
fn word_at(at: u32) -> u32 {
  let i = at >> 2u;
  return unaligned_word(source[i], source[min(i + 1u, arrayLength(&source) - 1u)], at);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = (group.y * params.groups_per_row + group.x) * WORKGROUP + lane;
  if (n < params.count) {
    let i = params.first + n;
    let start = 4u * (i % params.row_words);
    var word = 0u;
    if (start < params.row_bytes) {
      word = word_at(i / params.row_words * params.row_bytes + start - params.base);
      let rest = params.row_bytes - start;
      if (rest < 4u) { word &= (1u << (8u * rest)) - 1u; }
    }
    result[i] = word;
  }
}
