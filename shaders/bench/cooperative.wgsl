// Measures matrix units: each of SUBGROUPS subgroups has CHAINS sums, matrices of f32, to each of which it
// adds 8·ROUNDS products of two f16 matrices.
//
// Where subgroups are smaller than they may be, a workgroup has more of them; the additional ones do nothing.
// (A loop of one round says so, because naga does not take a condition on the subgroup for uniform.)

enable f16;
enable wgpu_cooperative_matrix;

#if SIDE == 8
alias Rows = coop_mat8x8<f16, A>;
alias Vectors = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;
#else
alias Rows = coop_mat16x16<f16, A>;
alias Vectors = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
#endif

// Numbers are stored as in matmul/matmul_cooperative.wgsl.
#if QUADS == 1
alias Stored = vec4<f16>;
const EACH = 4u;
#else
alias Stored = f16;
const EACH = 1u;
#endif

const MATRIX = SIDE * SIDE;
// What is stored of a matrix of vectors, and of a matrix of rows for each sum.
const STORED = (CHAINS + 1u) * MATRIX / EACH;

// Operands that no compiler knows, as for chains.wgsl.
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

var<workgroup> numbers: array<Stored, STORED>;
var<workgroup> sums: array<f32, SUBGROUPS * MATRIX>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32) {
  let number = f16(bitcast<f32>(source[2u + lane % 8u].x));
  for (var i = lane; i < STORED; i += WORKGROUP) {
    numbers[i] = Stored(number);
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = subgroup; i < SUBGROUPS; i += SUBGROUPS) {
    let vectors = coopLoad<Vectors>(&numbers[0], SIDE / EACH);
#repeat i CHAINS
    let rows$i = coopLoadT<Rows>(&numbers[($iu + 1u) * MATRIX / EACH], SIDE / EACH);
    var sum$i = Sums();
#end
    for (var round = 0u; round < ROUNDS; round++) {
#repeat j 8
#repeat i CHAINS
      sum$i = coopMultiplyAdd(rows$i, vectors, sum$i);
#end
#end
    }
    // A number of each sum, so that none can be dropped.
#repeat i CHAINS
    coopStore(sum$i, &sums[i * MATRIX], SIDE);
    total += sums[i * MATRIX + lane % MATRIX];
#end
  }
  result[group.x * WORKGROUP + lane] = total;
}
