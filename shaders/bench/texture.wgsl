// Quads in a texture, VEC4_COLS in a row of it: a source of memory.wgsl.

@group(0) @binding(0) var quads: texture_storage_2d<rgba32uint, read>;

fn source(at: u32) -> vec4<u32> { return textureLoad(quads, vec2<u32>(at % VEC4_COLS, at / VEC4_COLS)); }
