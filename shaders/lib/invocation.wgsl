// The parameters, in the struct `Params` of the kernel's family, and the number of an invocation.

#ifdef PRIVATE_PARAMS
// llvmpipe gathers a uniform's value for each lane wherever it is used, so in a loop a copy costs less.
@group(0) @binding(0) var<uniform> shared_params: Params;
var<private> params: Params;
fn read_params() { params = shared_params; }
// For values that must be uniform: as far as a compiler knows, the lanes' copies may differ.
fn uniform_params() -> Params { return shared_params; }
#else
@group(0) @binding(0) var<uniform> params: Params;
fn read_params() {}
fn uniform_params() -> Params { return params; }
#endif

// The number of this invocation. Those with a number below `params.count` have work.
fn invocation(group: vec3<u32>, lane: u32) -> u32 {
  return (group.y * params.groups_per_row + group.x) * WORKGROUP + lane;
}
