// What a unit of codes gives: its parts one after another, fetched once.

fn add_unit(before: Sums, place: Place, block: u32, unit: u32) -> Sums {
  let low = fetch_four(place, 0u, block, unit);
  var high = low;
  if (ROWS > 4u) { high = fetch_four(place, 4u, block, unit); }
  let first = block * (BLOCK_QUADS / 8u) + unit * UNIT_PARTS;
  var sums = add_part(before, codes_of(low, 0u), codes_of(high, 0u), place.vector, first);
  if (UNIT_PARTS > 1u) {
    sums = add_part(sums, codes_of(low, 1u), codes_of(high, 1u), place.vector, first + 1u);
  }
  if (UNIT_PARTS > 2u) {
    sums = add_part(sums, codes_of(low, 2u), codes_of(high, 2u), place.vector, first + 2u);
    sums = add_part(sums, codes_of(low, 3u), codes_of(high, 3u), place.vector, first + 3u);
  }
  if (UNIT_PARTS > 4u) {
    sums = add_part(sums, codes_of(low, 4u), codes_of(high, 4u), place.vector, first + 4u);
    sums = add_part(sums, codes_of(low, 5u), codes_of(high, 5u), place.vector, first + 5u);
    sums = add_part(sums, codes_of(low, 6u), codes_of(high, 6u), place.vector, first + 6u);
    sums = add_part(sums, codes_of(low, 7u), codes_of(high, 7u), place.vector, first + 7u);
  }
  return sums;
}
