// Decodes rows of a matrix to f16 for the matrix units (matmul/matmul_cooperative_decoded.wgsl): `batch` rows
// from `start_row` on, each divided by its power of two (matmul/f16_scaling.wgsl). An invocation decodes 16
// weights.

#import matmul/weights.wgsl
#import matmul/f16_scaling.wgsl

// Row by row, eight f16 in a vec4: of each four the first, the third, the second and the last, as in
// matmul/f16_activations.wgsl.
@group(0) @binding(4) var<storage, read_write> f16s: array<vec4<u32>>;
// The result of matmul/row_scales.wgsl.
@group(0) @binding(7) var<storage, read> row_scales: array<u32>;

const BLOCK_PARTS = BLOCK_QUADS / 8u;

// Four weights from a word of codes, as four f16.
fn four_f16s(word: u32, scale: f32, min: f32) -> vec2<u32> {
  var w = (vec4<f32>(unpack4xI8(word)) - f32(OFFSET)) * scale;
  if (HAS_MIN) {
    w -= min;
  }
  return vec2<u32>(pack2x16float(w.xz), pack2x16float(w.yw));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let i = invocation(group, lane);
  if (i < params.count) {
    let row_halves = params.cols / 16u;
    let row = params.start_row + i / row_halves;
    let half = i % row_halves;
    let in_block = half / 2u % BLOCK_PARTS;
    let block = first_block(row) + half / 2u / BLOCK_PARTS * INTERLEAVED_ROWS;
    let w = codes(fetch(block, unit_with(in_block)), part_in_unit(in_block));
    let is_last = half % 2u == 1u;
    let by = down(row_scales[row]);
    let words = select(w.a, w.b, is_last);
    let scale = by * select(w.scales.x, w.scales.y, is_last);
    let min = by * select(w.mins.x, w.mins.y, is_last);
    f16s[2u * i] = vec4<u32>(four_f16s(words.x, scale, min), four_f16s(words.y, scale, min));
    f16s[2u * i + 1u] = vec4<u32>(four_f16s(words.z, scale, min), four_f16s(words.w, scale, min));
  }
}
