// The four bytes from byte `at` on, out of the word that has that byte and the next word.
fn unaligned_word(low: u32, high: u32, at: u32) -> u32 {
  let shift = 8u * (at & 3u);
  return select((low >> shift) | (high << (32u - shift)), low, shift == 0u);
}
