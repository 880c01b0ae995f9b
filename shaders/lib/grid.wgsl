// The vectors of the format's codebook, in the layout of src/format/codebook.rs.

#ifdef UNIFORM_GRID
// llvmpipe gathers from a uniform buffer with fewer instructions than from a storage buffer.
@group(0) @binding(5) var<uniform> grid: array<vec4<u32>, GRID_QUADS>;
fn grid_word(i: u32) -> u32 { return grid[i >> 2u][i & 3u]; }
#else
@group(0) @binding(5) var<storage, read> grid: array<u32>;
fn grid_word(i: u32) -> u32 { return grid[i]; }
#endif
