// What a unit of codes gives: its parts one after another, fetched once.

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
  // A loop would cost as much as it does.
  sums = add_part(sums, codes_of(low, 0u), codes_of(high, 0u), task.vector, first);
#endif
#else
  sums = add_part(sums, codes_of(low, 0u), codes_of(high, 0u), task.vector, first);
#if UNIT_PARTS > 1
  sums = add_part(sums, codes_of(low, 1u), codes_of(high, 1u), task.vector, first + PART_STEP);
#endif
#if UNIT_PARTS > 2
  sums = add_part(sums, codes_of(low, 2u), codes_of(high, 2u), task.vector, first + 2u * PART_STEP);
  sums = add_part(sums, codes_of(low, 3u), codes_of(high, 3u), task.vector, first + 3u * PART_STEP);
#endif
#endif
  return sums;
}
