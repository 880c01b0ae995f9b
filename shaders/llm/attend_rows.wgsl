// What kernels of attention that do rows of several tokens have in common: a workgroup has ROWS of the query heads that share a head of keys and values, of one token after
// another.

const TOKEN_QUADS = (HEADS + 2u * KV_HEADS) * QUADS;

struct Row {
  token: u32,
  head: u32,
  is_there: bool,
}

// A row that is not there computes what the last does.
fn row_of(group: vec3<u32>, i: u32) -> Row {
  let row = group.y * ROWS + i;
  let rows = state.tokens * SHARERS;
  let there = min(row, rows - 1u);
  return Row(there / SHARERS, group.x * SHARERS + there % SHARERS, row < rows);
}

fn query_at(row: Row) -> u32 { return row.token * TOKEN_QUADS + row.head * QUADS; }

// Scores of a key that rows do not see are LOWEST.
fn seen(score: vec4<f32>, key: u32, starts: vec4<u32>, ends: vec4<u32>) -> vec4<f32> {
  let is_seen = (vec4<u32>(key) >= starts) & (vec4<u32>(key) < ends);
  return select(vec4<f32>(LOWEST), SCALE * score, is_seen);
}
