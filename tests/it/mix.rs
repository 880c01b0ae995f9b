//! The format of each tensor: compared with llama.cpp's own snapshots, and rule by rule.

mod file_types;
mod options;
mod rules;
mod snapshots;

use qmill::Format::{self, F32};
use qmill::mix::{Choice, Facts, FileType, Options, Tensor, choose};

/// A tensor of F32 unless its format is given.
struct Given(String, Vec<u64>, Option<Format>);

fn f32(name: &str, shape: &[u64]) -> Given {
    Given(name.to_owned(), shape.to_vec(), Some(F32))
}

fn as_tensors(given: &[Given]) -> Vec<Tensor<'_>> {
    given.iter().map(|Given(name, shape, format)| Tensor { name, shape, format: *format }).collect()
}

/// The choice for every tensor, with plain facts and options unless changed.
fn chosen(facts: &Facts, given: &[Given], file_type: FileType, options: &Options) -> Vec<Choice> {
    choose(facts, &as_tensors(given), file_type, options).unwrap()
}

/// The formats to write; panics where a tensor is kept.
fn formats(facts: &Facts, given: &[Given], file_type: FileType, options: &Options) -> Vec<Format> {
    chosen(facts, given, file_type, options).iter().map(|choice| choice.format.unwrap()).collect()
}

fn rules(rules: &[&str]) -> Options {
    Options::default().with_tensor_types(rules.iter().map(|rule| rule.parse().unwrap()).collect())
}

fn keep() -> Choice {
    Choice { format: None, fallback_from: None }
}

fn write(format: Format) -> Choice {
    Choice { format: Some(format), fallback_from: None }
}

fn fall_back(from: Format, to: Format) -> Choice {
    Choice { format: Some(to), fallback_from: Some(from) }
}

/// A layer of every kind of tensor that has rules.
fn layers(count: u32) -> Vec<Given> {
    let mut given = vec![f32("output.weight", &[256, 4]), f32("token_embd.weight", &[256, 4])];
    for layer in 0..count {
        for part in ["attn_k", "attn_output", "attn_q", "attn_v", "ffn_down", "ffn_gate", "ffn_up"] {
            given.push(f32(&format!("blk.{layer}.{part}.weight"), &[256, 4]));
        }
    }
    given
}

/// One kind of tensor through the layers, the formats as their first number: `Q5_K` is 5.
fn column(facts: &Facts, given: &[Given], file_type: FileType, part: &str) -> String {
    let formats = formats(facts, given, file_type, &Options::default());
    let of_part = given.iter().zip(formats).filter(|(Given(name, ..), _)| name.contains(part));
    of_part.map(|(_, format)| format.name().chars().find(char::is_ascii_digit).unwrap()).collect()
}
