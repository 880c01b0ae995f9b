// Batches of vectors that go to the same expert, so that they share its weights. A batch has `columns` slots,
// and the batches of an expert follow one another. A slot holds an assignment: a row of the result, that is,
// a vector and one of its experts.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  slots: u32,           // slots of all batches
  expert_count: u32,    // experts
  assignments: u32,     // assignments of all vectors
  columns: u32,         // slots of a batch
}

#import lib/invocation.wgsl

// The content of an empty slot.
const NO_ASSIGNMENT = 0xffffffffu;

// The expert of each assignment.
@group(0) @binding(1) var<storage, read> experts: array<u32>;
// The slots of all batches, then the number of assignments of each expert.
@group(0) @binding(2) var<storage, read_write> slots: array<u32>;
