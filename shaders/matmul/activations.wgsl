// The vectors that multiply a matrix: `batch` vectors of `cols` numbers in f32, with F16_X in f16, or, with
// INT8, in int8 blocks (lib/int8_block.wgsl).

// The row of x that has vector `vector`. A number beyond the last vector stands for the last one, whose
// product is then not stored.
fn vector_at(vector: u32) -> u32 {
#ifdef EXPERT_BATCHES
  let assignment = min(slots[vector], params.batch - 1u);
#else
  let assignment = min(vector, params.batch - 1u);
#endif
#ifdef EXPERTS
  // A vector has `top_k` consecutive assignments.
  return assignment / params.top_k;
#else
  return assignment;
#endif
}

#ifdef INT8
#import lib/int8_layout.wgsl
#ifdef UNIFORM_X
@group(0) @binding(3) var<uniform> x: array<vec4<u32>, UNIFORM_QUADS>;
#else
@group(0) @binding(3) var<storage, read> x: array<vec4<u32>>;
#endif

#ifdef THREAD_PER_ROW
#if CODE_BITS > 6
#import lib/dot.wgsl
#else
#import matmul/dot_in_pairs.wgsl
#endif
#else
#import lib/dot.wgsl
#endif

// A part (32 numbers) of a vector: scale·a, then scale·b; the sums of a and of b, and of both.
struct Activations {
  a: Sixteen,
  b: Sixteen,
  scale: f32,
  sums: vec2<i32>,
  sum: i32,
  float_sum: f32,
}

// A part of a vector with its head as in the buffer.
struct Packed {
  a: Sixteen,
  b: Sixteen,
  head: vec4<u32>,
}

// The index of part `part` of a vector.
fn part_at(vector: u32, part: u32) -> u32 {
  return int8_block_at(vector_at(vector) * (params.cols / 32u) + part);
}

fn packed_at(at: u32) -> Packed {
  return Packed(sixteen(x[at]), sixteen(x[at + INT8_B]), x[at + INT8_HEAD]);
}

fn packed(vector: u32, part: u32) -> Packed { return packed_at(part_at(vector, part)); }

fn unpacked(block: Packed) -> Activations {
  let head = block.head;
  // A word has both sums, as signed 16-bit numbers.
  let sums = vec2<i32>(bitcast<i32>(head.y << 16u), bitcast<i32>(head.y)) >> vec2<u32>(16u);
  return Activations(
    block.a, block.b, bitcast<f32>(head.x), sums, bitcast<i32>(head.z), bitcast<f32>(head.w));
}

fn activations_at(at: u32) -> Activations { return unpacked(packed_at(at)); }
fn activations(vector: u32, part: u32) -> Activations { return activations_at(part_at(vector, part)); }
#else
#ifdef F16_X
#import lib/f16_value.wgsl
#endif
#ifdef RAGGED
// Rows end within a vec4 of weights, whose last weights are then 0.
#ifdef F16_X
@group(0) @binding(3) var<storage, read> x: array<u32>;
fn number(i: u32) -> f32 { return f16_value((x[i >> 1u] >> (16u * (i & 1u))) & 0xffffu); }
#else
@group(0) @binding(3) var<storage, read> x: array<f32>;
fn number(i: u32) -> f32 { return x[i]; }
#endif
fn activation(vector: u32, column: u32) -> f32 {
  let value = number(vector_at(vector) * params.cols + min(column, params.cols - 1u));
  return select(0.0, value, column < params.cols);
}
// Quad `quad` of a vector.
fn activations(vector: u32, quad: u32) -> vec4<f32> {
  return vec4<f32>(
    activation(vector, 4u * quad),
    activation(vector, 4u * quad + 1u),
    activation(vector, 4u * quad + 2u),
    activation(vector, 4u * quad + 3u));
}
#else
#ifdef F16_X
@group(0) @binding(3) var<storage, read> x: array<vec2<u32>>;
fn activations(vector: u32, quad: u32) -> vec4<f32> {
  let pairs = x[vector_at(vector) * (params.cols / 4u) + quad];
  return vec4<f32>(f16_values(pairs.x), f16_values(pairs.y));
}
#else
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
fn activations(vector: u32, quad: u32) -> vec4<f32> {
  return x[vector_at(vector) * (params.cols / 4u) + quad];
}
#endif
#endif
#endif
