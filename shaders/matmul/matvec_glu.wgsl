// gated = activation(gate)·up, where gate and up are the products of a vector with the first and the last
// half of the rows of W: a matrix-vector product (matmul/matvec.wgsl) whose sums go through the activation
// (llm/glu.wgsl), so that neither gate nor up is stored.
//
// A workgroup computes 32 numbers, and with INT8_RESULT their int8 block. Its subgroups take ROWS rows at a
// time: gates and their ups.

#import matmul/product.wgsl
#import matmul/add_units.wgsl
#import lib/activation.wgsl

const PAIRS = ROWS / 2u;

// The numbers of the workgroup.
var<workgroup> numbers: array<f32, 32>;

#ifdef INT8_RESULT
#import lib/int8_layout.wgsl
#import lib/int8_block.wgsl

@group(0) @binding(7) var<storage, read_write> blocks: array<vec4<u32>>;

fn quad(i: u32) -> vec4<f32> {
  return vec4<f32>(numbers[4u * i], numbers[4u * i + 1u], numbers[4u * i + 2u], numbers[4u * i + 3u]);
}
#endif

// The first block of row `i` of a task: gates, then as many ups.
fn row_start(task: Task, i: u32) -> u32 {
  let gate = task.shard_row + i % PAIRS;
  return first_block(select(gate, gate + params.rows / 2u, i >= PAIRS));
}

fn store_number(block: u32, i: u32, gate: f32, up: f32) {
  let gated = up * activated(gate);
  numbers[i] = gated;
  y[32u * block + i] = gated;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
  @builtin(local_invocation_index) index: u32) {
  read_params();
#ifdef PAIR_TABLE
  fill_pair_table(index);
#endif
  let block = group.x;
  // Subgroups have any size, so a workgroup has any number of them.
  for (var i = subgroup; i < 32u / PAIRS; i += subgroups) {
    let task = Task(0u, 0u, 32u * block + i * PAIRS, 0u);
    let sum = subgroupAdd(add_units(task, lane, lanes).v0);
    if (lane == 0u) {
#if ROWS == 2
      store_number(block, i, sum.x, sum.y);
#else
      store_number(block, 2u * i, sum.x, sum.z);
      store_number(block, 2u * i + 1u, sum.y, sum.w);
#endif
    }
  }
#ifdef INT8_RESULT
  workgroupBarrier();
  if (index == 0u) {
    let result = int8_block(quad(0u), quad(1u), quad(2u), quad(3u), quad(4u), quad(5u), quad(6u), quad(7u));
    let at = int8_block_at(block);
    blocks[at] = result.a;
    blocks[at + INT8_B] = result.b;
    blocks[at + INT8_HEAD] = result.head;
  }
#endif
}
