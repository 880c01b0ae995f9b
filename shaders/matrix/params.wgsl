// The parameters of kernels that take a matrix (`MatrixParams` in src/gpu/matrix/program.rs).

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  rows: u32,            // rows of the matrix that are bound
  first_row: u32,       // the first of them
  all_rows: u32,        // rows of the result
  cols: u32,            // weights in a row
  row_blocks: u32,      // blocks in a row
  blocks: u32,          // blocks of the matrix that are bound
  batch: u32,           // vectors, or rows to look up
  top_k: u32,           // experts that each vector goes to
  split_k: u32,         // slices that the columns of a row are divided into
  expert_count: u32,    // experts whose matrices are bound
  start_row: u32,       // the first row to read back
}

#import lib/invocation.wgsl
