// Adds the products of a unit of codes: fetches it once and multiplies its parts one after another.

fn add_unit(before: Sums, task: Task, block: u32, unit: u32, at: u32) -> Sums {
  let first = block * (BLOCK_QUADS / 8u) + first_part(unit);
  let low = fetch_four(task, 0u, block, unit);
  var high = low;
#if ROWS > 4
  high = fetch_four(task, 4u, block, unit);
#endif
  var sums = before;
#ifdef LOOP_OF_PARTS
#if UNIT_PARTS > 1
  for (var part = 0u; part < UNIT_PARTS; part++) {
    sums = add_part(sums, codes_of(low, part), codes_of(high, part), task.vector, first + part * PART_STEP);
  }
#else
  // A loop around one part would cost as much as the part.
  sums = add_part(sums, codes_of(low, 0u), codes_of(high, 0u), task.vector, first);
#endif
#else
#repeat part UNIT_PARTS
  sums = add_part(
    sums, codes_of(low, $partu), codes_of(high, $partu), task.vector, first + $partu * PART_STEP);
#end
#endif
  return sums;
}
