// The parameters of kernels that need none of their own.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
}

#import lib/invocation.wgsl
