// Parts that the kernels of attention for several tokens share. A workgroup has ROWS of the query heads that
// share a head of keys and values, of one token after another.

const TOKEN_QUADS = (HEADS + 2u * KV_HEADS) * QUADS;

struct Row {
  token: u32,
  head: u32,
  is_there: bool,
}

// A row past the last computes the same as the last.
fn row_of(group: vec3<u32>, i: u32) -> Row {
  let row = group.y * ROWS + i;
  let rows = state.tokens * HEADS_PER_KV_HEAD;
  let there = min(row, rows - 1u);
  return Row(there / HEADS_PER_KV_HEAD, group.x * HEADS_PER_KV_HEAD + there % HEADS_PER_KV_HEAD, row < rows);
}

fn query_index(row: Row) -> u32 { return row.token * TOKEN_QUADS + row.head * QUADS; }

// Scores of four keys; a vector has one for each of four rows.
struct Scores {
  k0: vec4<f32>,
  k1: vec4<f32>,
  k2: vec4<f32>,
  k3: vec4<f32>,
}

// The scores of a key for four rows, scaled; LOWEST for rows that do not attend to it.
fn masked(score: vec4<f32>, key: u32, starts: vec4<u32>, ends: vec4<u32>) -> vec4<f32> {
  let is_attended = (vec4<u32>(key) >= starts) & (vec4<u32>(key) < ends);
  return select(vec4<f32>(LOWEST), SCALE * score, is_attended);
}
