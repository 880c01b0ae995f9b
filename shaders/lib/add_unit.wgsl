// What a unit of codes gives: its parts one after another, fetched once.

fn add_unit(before: Sums, place: Place, block: u32, unit: u32) -> Sums {
  let low = fetch_four(place, 0u, block, unit);
  var high = low;
  if (ROWS > 4u) { high = fetch_four(place, 4u, block, unit); }
  let first = block * (BLOCK_QUADS / 8u) + unit * UNIT_PARTS;
  var sums = before;
  for (var part = 0u; part < UNIT_PARTS; part++) {
    sums = add_part(sums, codes_of(low, part), codes_of(high, part), place.vector, first + part);
  }
  return sums;
}
