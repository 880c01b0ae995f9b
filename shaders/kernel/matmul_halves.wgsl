// What the matrix units take (matmul_cooperative.wgsl): vectors as f16, and by which power of two each row of the matrix and each vector is divided for that.
//
// f16 ends at 65504 and loses bits below 2^-14. So the power of two is one that takes the largest that a row, or a vector, may have to 2^14; it is found from the scales.
// A workgroup does ROWS_AT_ONCE rows, or in the second layer of the dispatch one vector.

#import lib/params.wgsl
#import lib/split.wgsl
#ifdef GRID
#import lib/grid.wgsl
#endif
#import format
#import lib/activations.wgsl
#import lib/halves.wgsl

// Eight f16 a quad, vector by vector, of each four the first, the third, the second and the last; behind them a quad for each row and for each vector, whose first word is the bits of the largest magnitude.
@group(0) @binding(4) var<storage, read_write> halves: array<vec4<u32>>;

const BLOCK_PARTS = BLOCK_QUADS / 8u;
// Lanes that go through a row together.
const SHARERS = WORKGROUP / ROWS_AT_ONCE;

var<workgroup> largest: array<f32, WORKGROUP>;

fn largest_weight(row: u32, part: u32) -> f32 {
  let in_block = part % BLOCK_PARTS;
  let w = codes(fetch(first_block(row) + part / BLOCK_PARTS * BAND, unit_with(in_block)), part_in_unit(in_block));
  let size = max(abs(w.scales.x), abs(w.scales.y)) * (128.0 + abs(f32(OFFSET)));
  if (HAS_MIN) {
    return size + max(abs(w.mins.x), abs(w.mins.y));
  }
  return size;
}

// The largest of what so many lanes side by side have. All lanes must come here.
fn largest_of_lanes(lane: u32, sharers: u32, mine: f32) -> f32 {
  largest[lane] = mine;
  for (var lanes = WORKGROUP / 2u; lanes > 0u; lanes >>= 1u) {
    workgroupBarrier();
    if (lanes < sharers && lane % sharers < lanes) {
      largest[lane] = max(largest[lane], largest[lane + lanes]);
    }
  }
  workgroupBarrier();
  return largest[lane / sharers * sharers];
}

fn pair(a: f32, b: f32) -> u32 { return pack2x16float(vec2<f32>(a, b)); }

fn eight_halves(a: u32, b: u32, scale: f32) -> vec4<u32> {
  let low = vec4<f32>(unpack4xI8(a)) * scale;
  let high = vec4<f32>(unpack4xI8(b)) * scale;
  return vec4<u32>(pair(low.x, low.z), pair(low.y, low.w), pair(high.x, high.z), pair(high.y, high.w));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let number = group.y * params.groups_per_row + group.x;
  let parts = params.cols / 32u;
  if (group.z == 0u) {
    let row = number * ROWS_AT_ONCE + lane / SHARERS;
    var size = 0.0;
    for (var part = lane % SHARERS; part < parts; part += SHARERS) {
      size = max(size, largest_weight(min(row, params.rows - 1u), part));
    }
    size = largest_of_lanes(lane, SHARERS, size);
    if (lane % SHARERS == 0u && row < params.rows) {
      halves[row_size_at(row)] = vec4<u32>(bitcast<u32>(size), 0u, 0u, 0u);
    }
  } else {
    var scale = 0.0;
    for (var part = lane; part < parts; part += WORKGROUP) {
      scale = max(scale, activations(number, part).scale);
    }
    let size = bitcast<u32>(127.0 * largest_of_lanes(lane, WORKGROUP, scale));
    if (number < params.batch) {
      for (var part = lane; part < parts; part += WORKGROUP) {
        let x = activations(number, part);
        let by = down(size) * x.scale;
        let at = 4u * (number * parts + part);
        halves[at] = eight_halves(x.a.x, x.a.y, by);
        halves[at + 1u] = eight_halves(x.a.z, x.a.w, by);
        halves[at + 2u] = eight_halves(x.b.x, x.b.y, by);
        halves[at + 3u] = eight_halves(x.b.z, x.b.w, by);
      }
      if (lane == 0u) {
        halves[vector_size_at(number)] = vec4<u32>(size, 0u, 0u, 0u);
      }
    }
  }
}
