// The result y of a product.

@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#ifdef BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
#endif

// Stores a number of y: that of row `row` and of a vector, with the bias. With SPLIT_K, that of a slice of
// the columns, without it.
fn store_y(slice: u32, vector: u32, row: u32, sum: f32) {
#ifdef SPLIT_K
  y[(slice * params.batch + vector) * params.all_rows + row] = sum;
#else
#ifdef BIAS
  y[vector * params.all_rows + row] = sum + bias[row];
#else
  y[vector * params.all_rows + row] = sum;
#endif
#endif
}
