// Cooperative matrices, and how workgroup memory holds what they are loaded from.

// Eight numbers, which an invocation loads at once.
struct Eight {
  a: vec4<f16>,
  b: vec4<f16>,
}

#ifdef SIDE8
const SIDE = 8u;
alias Rows = coop_mat8x8<f16, A>;
alias Vectors = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;
#else
const SIDE = 16u;
alias Rows = coop_mat16x16<f16, A>;
alias Vectors = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
#endif

// Numbers are stored four at a time, except on Metal, where naga loads matrices only from arrays of single
// numbers.
#ifdef QUADS
alias Stored = vec4<f16>;
const EACH = 4u;
#else
alias Stored = f16;
const EACH = 1u;
#endif
