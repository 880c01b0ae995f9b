// Four rows of a matrix at once, as codes.

const UNIT_QUADS = 8u * UNIT_PARTS;
const ROW_UNITS = BLOCK_QUADS / UNIT_QUADS;

// Four rows' codes of the same 32 columns.
struct Four {
  r0: Codes,
  r1: Codes,
  r2: Codes,
  r3: Codes,
}

// What a unit of each was fetched as.
struct Raws {
  r0: Raw,
  r1: Raw,
  r2: Raw,
  r3: Raw,
}

fn fetch_four(task: Task, i: u32, block: u32, unit: u32) -> Raws {
  let r0 = fetch(row_start(task, i) + block * INTERLEAVED_ROWS, unit);
  let r1 = fetch(row_start(task, i + 1u) + block * INTERLEAVED_ROWS, unit);
  // Two rows stand for four, whose last two sums nobody uses.
  var raws = Raws(r0, r1, r0, r1);
#if ROWS > 2
  raws = Raws(r0, r1, fetch(row_start(task, i + 2u) + block * INTERLEAVED_ROWS, unit), fetch(row_start(task, i + 3u) + block * INTERLEAVED_ROWS, unit));
#endif
  return raws;
}

fn codes_of(raws: Raws, part: u32) -> Four {
  return Four(codes(raws.r0, part), codes(raws.r1, part), codes(raws.r2, part), codes(raws.r3, part));
}
