// A matrix in a storage buffer.

@group(0) @binding(1) var<storage, read> vec4s: array<vec4<u32>>;
// The same bytes as words.
@group(0) @binding(2) var<storage, read> words: array<u32>;

fn vec4_at(i: u32) -> vec4<u32> { return vec4s[i]; }
fn word_at(i: u32) -> u32 { return words[i]; }
fn late_word_at(i: u32) -> u32 { return word_at(i); }

#import matrix/load_fields.wgsl

fn load_word(at: u32, size: u32, block: u32, n: u32) -> u32 {
  return late_word_at(params.blocks * at + block * size + n);
}
