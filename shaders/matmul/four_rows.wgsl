// Codes of four rows of a matrix at once.

const UNIT_QUADS = 8u * UNIT_PARTS;
const ROW_UNITS = BLOCK_QUADS / UNIT_QUADS;

// The codes of the same part of four rows.
struct Four {
#repeat i 4
  r$i: Codes,
#end
}

// The same unit of four rows, as fetched.
struct Raws {
#repeat i 4
  r$i: Raw,
#end
}

fn fetch_four(task: Task, i: u32, block: u32, unit: u32) -> Raws {
  let r0 = fetch(row_start(task, i) + block * INTERLEAVED_ROWS, unit);
  let r1 = fetch(row_start(task, i + 1u) + block * INTERLEAVED_ROWS, unit);
  // With two rows, the last two sums are of no use.
  var raws = Raws(r0, r1, r0, r1);
#if ROWS > 2
  let r2 = fetch(row_start(task, i + 2u) + block * INTERLEAVED_ROWS, unit);
  let r3 = fetch(row_start(task, i + 3u) + block * INTERLEAVED_ROWS, unit);
  raws = Raws(r0, r1, r2, r3);
#endif
  return raws;
}

fn codes_of(raws: Raws, part: u32) -> Four {
  return Four(codes(raws.r0, part), codes(raws.r1, part), codes(raws.r2, part), codes(raws.r3, part));
}
