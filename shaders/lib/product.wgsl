// What every product binds: a matrix of some format, vectors, and where the products go.

#import lib/params.wgsl
#import lib/split.wgsl
#ifdef GRID
// The vectors of the format's codebook, as format/codebook.rs lays them out.
@group(0) @binding(5) var<storage, read> grid: array<u32>;
#endif
#import format
#import lib/activations.wgsl

@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#ifdef BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
#endif
