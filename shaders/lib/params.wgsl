// What the host tells a kernel, and which invocation this is.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
#ifdef MATRIX
  rows: u32,            // rows of the matrix that are bound
  first_row: u32,       // the first of them
  all_rows: u32,        // rows of the matrix
  cols: u32,            // weights in a row
  row_blocks: u32,      // blocks in a row
  blocks: u32,          // blocks of the matrix that are bound
  batch: u32,           // vectors, rows to look up, or the first row to read
  picks: u32,           // experts that each vector goes to
  spans: u32,           // in which the columns of a row are divided
  experts: u32,         // whose matrices they are
#endif
#ifdef HALVES
  cols: u32,            // numbers of a vector
  batch: u32,           // vectors
#endif
#ifdef BUNDLING
  slots: u32,           // of all bundles
  experts: u32,
  picks: u32,           // of all vectors
  columns: u32,         // slots of a bundle
#endif
#ifdef CHECK
  block_quads: u32,     // quads of a block
#endif
#ifdef SUM
  all_rows: u32,        // rows of the matrix
  spans: u32,           // whose sums are added
#endif
}

#ifdef TEXELS
// llvmpipe gathers a uniform's value for each lane wherever it is named: in a loop, a copy costs less.
@group(0) @binding(0) var<uniform> told: Params;
var<private> params: Params;
fn read_params() { params = told; }
// For what lanes must agree on: for all a compiler knows, their copies may differ.
fn uniform_params() -> Params { return told; }
#else
@group(0) @binding(0) var<uniform> params: Params;
fn read_params() {}
fn uniform_params() -> Params { return params; }
#endif

// The number of this invocation; work is what lies below params.count.
fn invocation(group: vec3<u32>, lane: u32) -> u32 {
  return (group.y * params.groups_per_row + group.x) * WORKGROUP + lane;
}
