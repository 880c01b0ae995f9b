// A reduction in workgroup memory: every SHARERS consecutive lanes of a workgroup combine what each of them
// has.
//
// The kernel defines, before it imports this file:
//   alias Partial = …;                               what a lane has
//   fn combine(a: Partial, b: Partial) -> Partial    the sum, the larger one, …
//   const SHARERS = …;                               a power of two
//
// Longest path of `combine`: log2 of SHARERS.

var<workgroup> partials: array<Partial, WORKGROUP>;

// Leaves the result in `partials` at the first of the lanes, which may read it at once; others read it after
// a barrier. All lanes of the workgroup must call this.
fn reduce(lane: u32, partial: Partial) {
  // Lanes may still read the result of an earlier call.
  workgroupBarrier();
  partials[lane] = partial;
  for (var lanes = SHARERS / 2u; lanes > 0u; lanes >>= 1u) {
    workgroupBarrier();
    if (lane % SHARERS < lanes) {
      partials[lane] = combine(partials[lane], partials[lane + lanes]);
    }
  }
}
