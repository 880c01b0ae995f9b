// Stores quad `i` of a result as int8, for products to take; eight neighbouring lanes have the quads of
// a block. All lanes must call this.
// Without INT8, products take floats, and nothing is stored.

#ifdef INT8
#import lib/int8_layout.wgsl
#import lib/int8_block.wgsl

@group(0) @binding(INT8_BINDING) var<storage, read_write> blocks: array<u32>;

var<workgroup> magnitudes: array<f32, LANES>;
var<workgroup> code_sums: array<i32, LANES>;

fn largest_magnitude_of_four(i: u32) -> f32 {
  return max(max(magnitudes[i], magnitudes[i + 1u]), max(magnitudes[i + 2u], magnitudes[i + 3u]));
}

fn code_sum_of_four(i: u32) -> i32 {
  return code_sums[i] + code_sums[i + 1u] + code_sums[i + 2u] + code_sums[i + 3u];
}

fn store_int8_by_8_lanes(lane: u32, i: u32, x: vec4<f32>, is_there: bool) {
  let part = lane % 8u;
  let first = lane - part;
  let size = abs(x);
  magnitudes[lane] = max(max(size.x, size.y), max(size.z, size.w));
  workgroupBarrier();
  let largest = max(largest_magnitude_of_four(first), largest_magnitude_of_four(first + 4u));
  let codes = int8_codes(x, int8_multiplier(largest));
  code_sums[lane] = sum_of(codes);
  // All lanes have read the magnitudes, so the next call may overwrite them; it writes sums after a barrier.
  workgroupBarrier();
  if (is_there) {
    let at = int8_block_at(i / 8u);
    let quad = at + select(0u, INT8_B, part >= 4u);
    blocks[4u * quad + part % 4u] = pack4xI8(codes);
    if (part < 4u) {
      let head = int8_head(int8_scale(largest), code_sum_of_four(first), code_sum_of_four(first + 4u));
      blocks[4u * (at + INT8_HEAD) + part] = head[part];
    }
  }
}
#else
fn store_int8_by_8_lanes(lane: u32, i: u32, x: vec4<f32>, is_there: bool) {}
#endif
