// The numbers that nibbles stand for, as bytes: computed on whole words, or, with PAIR_TABLE, from a table of
// all pairs in workgroup memory.
//
// On AMD the arithmetic takes 2.5 to 4 vector instructions for a weight, a look-up, which gives two weights,
// less than 2 for each. Arithmetic remains on software adapters, where look-ups are made for one invocation
// after another, and in tiles, which use a weight many times.

// The numbers of 16 bytes of pairs: those of the low nibbles, and those of the high ones.
struct Numbers {
  low: vec4<u32>,
  high: vec4<u32>,
}

#ifdef PAIR_TABLE
// For each pair, the number of the low nibble in byte 0 and that of the high nibble in byte 2.
var<workgroup> pair_table: array<u32, 256>;

// Fills the table. All invocations of the workgroup must call this.
fn fill_pair_table(lane: u32) {
  for (var i = lane; i < 256u; i += WORKGROUP) {
    let two = bitcast<vec4<u32>>(number(vec4<u32>(i & 15u, i >> 4u, 0u, 0u))) & vec4<u32>(0xffu);
    pair_table[i] = two.x | (two.y << 16u);
  }
  workgroupBarrier();
}

// The entries of the lowest byte of each word.
fn looked_up(words: vec4<u32>) -> vec4<u32> {
  let i = words & vec4<u32>(0xffu);
  return vec4<u32>(pair_table[i.x], pair_table[i.y], pair_table[i.z], pair_table[i.w]);
}

fn numbers_of(pairs: vec4<u32>) -> Numbers {
  let first = looked_up(pairs) | (looked_up(pairs >> vec4<u32>(8u)) << vec4<u32>(8u));
  let last = looked_up(pairs >> vec4<u32>(16u)) | (looked_up(pairs >> vec4<u32>(24u)) << vec4<u32>(8u));
  return Numbers(
    (first & vec4<u32>(0xffffu)) | (last << vec4<u32>(16u)),
    (first >> vec4<u32>(16u)) | (last & vec4<u32>(0xffff0000u)));
}
#endif
