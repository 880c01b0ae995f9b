// Codes of x ≈ scale·code - min for the stored scale and min, which differ a little from those of the search.

// The result of lib/affine_search.wgsl for a sub-block.
struct Found { scale: f32, min: f32, inverse: f32, origin: f32 }

fn found(sub_block: u32) -> Found {
  let f = bitcast<vec4<f32>>(scratch[sub_block]);
  return Found(f.x, f.y, f.z, f.w);
}

// The scales and mins of four sub-blocks.
struct Found4 { scale: vec4<f32>, min: vec4<f32> }

fn found4(sub_block: u32) -> Found4 {
  let a = found(sub_block);
  let b = found(sub_block + 1u);
  let c = found(sub_block + 2u);
  let d = found(sub_block + 3u);
  return Found4(vec4<f32>(a.scale, b.scale, c.scale, d.scale), vec4<f32>(a.min, b.min, c.min, d.min));
}

// The unit of the scales, or mins, of a super-block, which stores them as integers times an f16.
struct Unit { half: u32, value: f32, inverse: f32 }

// The unit with which the largest of `numbers` becomes the integer `top`.
fn unit(numbers: vec4<f32>, top: f32) -> Unit {
  let largest = max(max(numbers.x, numbers.y), max(numbers.z, numbers.w));
  let half = f32_bits_to_f16(bitcast<u32>(divide(largest, top)));
  return Unit(half, bitcast<f32>(f16_to_f32_bits(half)), select(divide(top, largest), 0.0, largest == 0.0));
}

fn in_units(numbers: vec4<f32>, unit: Unit) -> u32 { return bytes(vec4<u32>(round(numbers * unit.inverse))); }

// The value of the stored integer. An f16 times an integer of six bits is exact.
fn stored(number: f32, unit: Unit) -> f32 { return mul(round(number * unit.inverse), unit.value); }

// How weights become codes: to the integer nearest to (x + min) / scale or, where the stored scale is 0, to
// (x + min)·multiplier, which gives the codes of the search.
struct Line { scale: f32, min: f32, multiplier: f32 }

fn line(sub_block: u32, scales: Unit, mins: Unit) -> Line {
  let f = found(sub_block);
  let scale = stored(f.scale, scales);
  let searched = scale == 0.0;
  return Line(
    scale,
    select(stored(f.min, mins), -f.origin, searched),
    select(1.0 / select(scale, 1.0, searched), f.inverse, searched));
}

// The codes of a quad, a byte each, and the approximate distance of the weights from code 0, in codes.
struct Codes { bytes: u32, distance: vec4<f32> }

// The nearest codes, ties to even, without a division. A scale has at most 17 significant bits, so the points
// half way between codes, times the scale, are exact. Therefore (x + min) / scale, rounded to f32, is above
// or on such a point exactly where x + min is; a guess at the quotient tells which point to compare with.
fn codes(x: vec4<f32>, line: Line) -> Codes {
  let y = add4(x, vec4<f32>(line.min));
  let position = y * line.multiplier;
  let below = floor(clamp(position, vec4<f32>(0.0), vec4<f32>(MAX_CODE - 0.5)));
  let half_way = (below + vec4<f32>(0.5)) * line.scale;
  let code = vec4<u32>(below);
  let up = select(select(vec4<u32>(0u), code & vec4<u32>(1u), y == half_way), vec4<u32>(1u), y > half_way);
  let searched = vec4<u32>(round(clamp(position, vec4<f32>(0.0), vec4<f32>(MAX_CODE))));
  return Codes(bytes(select(code + up, searched, line.scale == 0.0)), abs(position));
}

// Whether a weight lies so far from code 0 that ggml's rounding, which is for integers below 2^22, gives
// another result.
fn too_far(distance: vec4<f32>) -> bool { return any(distance > vec4<f32>(2097152.0)); }
