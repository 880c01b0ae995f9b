// Decodes blocks to f32 or f16. An invocation decodes four weights.

#import lib/params.wgsl

@group(0) @binding(1) var<storage, read> blocks: array<u32>;

#import lib/decoder.wgsl
#import lib/decoded.wgsl
#ifdef GRID
// The vectors of the format's codebook, in the layout of src/format/codebook.rs.
@group(0) @binding(3) var<storage, read> grid: array<u32>;
fn grid_word(i: u32) -> u32 { return grid[i]; }
#endif
#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = invocation(group, lane);
  if (quad < params.count) {
    store(quad, decode(quad / BLOCK_QUADS, quad % BLOCK_QUADS));
  }
}
