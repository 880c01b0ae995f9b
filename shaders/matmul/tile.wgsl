// The rows that a tile reads, and the results that it stores.

// The first block of row `i` of those that are bound; of the last row where `i` is beyond it.
fn row_start(i: u32) -> u32 { return first_block(min(i, params.rows - 1u)); }

fn store_one(slice: u32, row: u32, vector: u32, sum: f32) {
  if (row < params.rows && vector < params.batch) {
    store_y(slice, vector, params.first_row + row, sum);
  }
}
