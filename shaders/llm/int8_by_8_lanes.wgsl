// Stores quad `i` of a result in eight bits, for products to take; eight neighbouring lanes have the quads of
// a block. All lanes must call this.
// Without INT8, products take floats, and nothing is stored.

#ifdef INT8
#import lib/int8_layout.wgsl
#import lib/int8_block.wgsl

@group(0) @binding(INT8_BINDING) var<storage, read_write> blocks: array<u32>;

var<workgroup> magnitudes: array<f32, LANES>;
var<workgroup> code_sums: array<i32, LANES>;

fn store_int8_by_8_lanes(lane: u32, i: u32, x: vec4<f32>, is_there: bool) {
  let eighth = lane % 8u;
  let l = lane - eighth;
  let size = abs(x);
  magnitudes[lane] = max(max(size.x, size.y), max(size.z, size.w));
  workgroupBarrier();
  let first_four = max(max(magnitudes[l], magnitudes[l + 1u]), max(magnitudes[l + 2u], magnitudes[l + 3u]));
  let last_four =
    max(max(magnitudes[l + 4u], magnitudes[l + 5u]), max(magnitudes[l + 6u], magnitudes[l + 7u]));
  let largest = max(first_four, last_four);
  let codes = int8_codes(x, int8_multiplier(largest));
  code_sums[lane] = sum_of(codes);
  // All lanes have read the magnitudes, so the next call may overwrite them; it writes sums after a barrier.
  workgroupBarrier();
  if (is_there) {
    let place = int8_block_at(i / 8u);
    let quad = place + select(0u, INT8_B, eighth >= 4u);
    blocks[4u * quad + eighth % 4u] = pack4xI8(codes);
    if (eighth < 4u) {
      let first = code_sums[l] + code_sums[l + 1u] + code_sums[l + 2u] + code_sums[l + 3u];
      let last = code_sums[l + 4u] + code_sums[l + 5u] + code_sums[l + 6u] + code_sums[l + 7u];
      let head = int8_head(int8_scale(largest), first, last);
      blocks[4u * (place + INT8_HEAD) + eighth] = head[eighth];
    }
  }
}
#else
fn store_int8_by_8_lanes(lane: u32, i: u32, x: vec4<f32>, is_there: bool) {}
#endif
