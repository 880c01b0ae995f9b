// Bundles of picks, which share the weights of their expert: slots for `columns` picks each, an expert's one after another.

// What an empty slot holds.
const NO_PICK = 0xffffffffu;

// The expert of each pick.
@group(0) @binding(1) var<storage, read> numbers: array<u32>;
// The slots of all bundles, then how many picks each expert has.
@group(0) @binding(2) var<storage, read_write> bundles: array<u32>;
