// f32 vectors to blocks of 32 signed bytes under a scale: 32 bytes; the scale, the sums of both halves as two halves of a word, and the sum of all as an
// integer and as a float; a block an invocation.
//
// The scale is a 127th of the largest magnitude, so that a number is off by at most a 254th of that, and a little for rounding.

#import lib/params.wgsl

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<u32>>;

fn largest_of(v: vec4<f32>) -> f32 {
  let size = abs(v);
  return max(max(size.x, size.y), max(size.z, size.w));
}

struct Codes {
  words: vec4<u32>,
  sum: i32,
}

// 16 numbers, from quad `quad` on.
fn codes(quad: u32, multiplier: f32) -> Codes {
  let a = vec4<i32>(round(clamp(x[quad] * multiplier, vec4<f32>(-127.0), vec4<f32>(127.0))));
  let b = vec4<i32>(round(clamp(x[quad + 1u] * multiplier, vec4<f32>(-127.0), vec4<f32>(127.0))));
  let c = vec4<i32>(round(clamp(x[quad + 2u] * multiplier, vec4<f32>(-127.0), vec4<f32>(127.0))));
  let d = vec4<i32>(round(clamp(x[quad + 3u] * multiplier, vec4<f32>(-127.0), vec4<f32>(127.0))));
  let sums = a + b + c + d;
  return Codes(vec4<u32>(pack4xI8(a), pack4xI8(b), pack4xI8(c), pack4xI8(d)), sums.x + sums.y + sums.z + sums.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    var largest = 0.0;
    for (var quad = 8u * i; quad < 8u * i + 8u; quad++) {
      largest = max(largest, largest_of(x[quad]));
    }
    // Numbers so small that their inverse would overflow count as 0.
    let is_zero = largest < 1e-35;
    let scale = select(largest / 127.0, 0.0, is_zero);
    let multiplier = select(127.0 / largest, 0.0, is_zero);
    let a = codes(8u * i, multiplier);
    let b = codes(8u * i + 4u, multiplier);
    blocks[3u * i] = a.words;
    blocks[3u * i + 1u] = b.words;
    blocks[3u * i + 2u] = vec4<u32>(
      bitcast<u32>(scale), pack2(a.sum, b.sum), bitcast<u32>(a.sum + b.sum), bitcast<u32>(f32(a.sum + b.sum)));
  }
}

fn pack2(a: i32, b: i32) -> u32 { return (bitcast<u32>(a) & 0xffffu) | (bitcast<u32>(b) << 16u); }
