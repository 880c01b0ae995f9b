// Quads in a storage buffer: a source of memory.wgsl.

@group(0) @binding(0) var<storage, read> quads: array<vec4<u32>>;

fn source(at: u32) -> vec4<u32> { return quads[at]; }
