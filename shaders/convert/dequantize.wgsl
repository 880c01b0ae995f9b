// Decodes blocks to f32 or f16. An invocation decodes four weights.

#import lib/params.wgsl
#import lib/decoder.wgsl
#ifdef GRID
// The vectors of the format's codebook, in the layout of src/format/codebook.rs.
@group(0) @binding(3) var<storage, read> grid: array<u32>;
fn grid_word(i: u32) -> u32 { return grid[i]; }
#endif
#import format

#ifdef RESULT_F32
@group(0) @binding(2) var<storage, read_write> result: array<vec4<u32>>;
fn store(i: u32, bits: vec4<u32>) { result[i] = bits; }
#endif
#ifdef RESULT_F16
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>;
fn store(i: u32, bits: vec4<u32>) {
  result[i] = vec2<u32>(
    f32_bits_to_f16(bits.x) | (f32_bits_to_f16(bits.y) << 16u),
    f32_bits_to_f16(bits.z) | (f32_bits_to_f16(bits.w) << 16u));
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = invocation(group, lane);
  if (quad < params.count) {
    store(quad, decode(quad / BLOCK_QUADS, quad % BLOCK_QUADS));
  }
}
