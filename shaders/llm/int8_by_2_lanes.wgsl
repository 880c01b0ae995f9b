// Stores four quads of a result as int8, for products to take: quad `i` and the three behind it. The
// neighbouring lane has the other half of the block. All lanes must call this.
// Without INT8, products take floats, and nothing is stored.

#ifdef INT8
#import lib/int8_layout.wgsl
#import lib/int8_block.wgsl

@group(0) @binding(INT8_BINDING) var<storage, read_write> blocks: array<vec4<u32>>;

var<workgroup> magnitudes: array<f32, LANES>;
var<workgroup> code_sums: array<i32, LANES>;

fn store_int8_by_2_lanes(lane: u32, i: u32, x: Four, is_there: bool) {
  let size = max(max(abs(x.a), abs(x.b)), max(abs(x.c), abs(x.d)));
  magnitudes[lane] = max(max(size.x, size.y), max(size.z, size.w));
  workgroupBarrier();
  let largest = max(magnitudes[lane], magnitudes[lane ^ 1u]);
  let multiplier = int8_multiplier(largest);
  let a = int8_codes(x.a, multiplier);
  let b = int8_codes(x.b, multiplier);
  let c = int8_codes(x.c, multiplier);
  let d = int8_codes(x.d, multiplier);
  code_sums[lane] = sum_of(a + b + c + d);
  // All lanes have read the magnitudes, so the next call may overwrite them; it writes sums after a barrier.
  workgroupBarrier();
  if (is_there) {
    let at = int8_block_at(i / 8u);
    let is_last = i % 8u == 4u;
    blocks[at + select(0u, INT8_B, is_last)] =
      vec4<u32>(pack4xI8(a), pack4xI8(b), pack4xI8(c), pack4xI8(d));
    if (!is_last) {
      blocks[at + INT8_HEAD] = int8_head(int8_scale(largest), code_sums[lane], code_sums[lane ^ 1u]);
    }
  }
}
#else
fn store_int8_by_2_lanes(lane: u32, i: u32, x: Four, is_there: bool) {}
#endif
