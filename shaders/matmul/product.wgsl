// The bindings of products: a matrix of some format, vectors, and the result y.

#import matrix/params.wgsl
#import matrix/fields.wgsl
#ifdef GRID
#import lib/grid.wgsl
#endif
#import format
#import matmul/activations.wgsl

@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#ifdef BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
#endif
