// What a unit of codes gives: its parts one after another, fetched once.

fn add_unit(before: Sums, place: Place, block: u32, unit: u32) -> Sums {
  let first = block * (BLOCK_QUADS / 8u) + first_part(unit);
#ifdef INT8
  if (COLUMNS == 1u) { return add_unit_for_one(before, place, block, unit, first); }
#endif
  let low = fetch_four(place, 0u, block, unit);
  var high = low;
  if (ROWS > 4u) { high = fetch_four(place, 4u, block, unit); }
  var sums = add_part(before, codes_of(low, 0u), codes_of(high, 0u), place.vector, first);
  if (UNIT_PARTS > 1u) {
    sums = add_part(sums, codes_of(low, 1u), codes_of(high, 1u), place.vector, first + PART_STEP);
  }
  if (UNIT_PARTS > 2u) {
    sums = add_part(sums, codes_of(low, 2u), codes_of(high, 2u), place.vector, first + 2u * PART_STEP);
    sums = add_part(sums, codes_of(low, 3u), codes_of(high, 3u), place.vector, first + 3u * PART_STEP);
  }
  return sums;
}
