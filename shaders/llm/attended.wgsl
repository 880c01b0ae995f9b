// The result of a head: QUADS quads from `first` on, with INT8 in eight bits too. The first QUADS of `totals` are free for it.

fn store_attended(first: u32, quad: u32, x: vec4<f32>) {
  attended[first + quad] = x;
  totals[quad] = x;
}

// After all have stored theirs; all lanes must come here.
fn store_blocks(first: u32, lane: u32) {
  if (INT8) {
    workgroupBarrier();
    let at = 8u * lane;
    if (at < QUADS) {
      store_block(
        first / 8u + lane, totals[at], totals[at + 1u], totals[at + 2u], totals[at + 3u], totals[at + 4u], totals[at + 5u], totals[at + 6u],
        totals[at + 7u]);
    }
  }
}
