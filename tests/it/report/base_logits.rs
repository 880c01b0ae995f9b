//! The base's predictions in a file.

use super::{CHUNKS, HELD_OUT, failure, json, report, stdout};
use crate::support::{TINY_SHAKESPEARE, files_in};
use qmill::eval::{BaseKey, BaseLogits, Chunks, Divergence, divergence_ratio};
use qmill::gguf;
use qmill::llm::LoadOptions;
use serde_json::Value;
use std::fs;

/// `perplexity` of the tiny model in `Q3_K_M`.
fn perplexity(more: &[&str]) -> Value {
    let same = ["perplexity", "-m", TINY_SHAKESPEARE, "--quantize", "Q3_K_M", "-f", HELD_OUT];
    json(&[&same[..], &CHUNKS, &["--device", "cpu"], more].concat())
}

#[test]
fn kept_logits_give_the_same_figures_as_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("base.logits");
    let name = file.to_str().unwrap();
    let computed = perplexity(&["--base", TINY_SHAKESPEARE]);
    assert_eq!(perplexity(&["--base", TINY_SHAKESPEARE, "--base-logits", name]), computed);
    assert_eq!(files_in(folder.path()), ["base.logits"]);
    let bytes = fs::read(&file).unwrap();
    // 93 positions of the vocabulary, 12 bytes each and 2 a token.
    let vocabulary = gguf_vocabulary();
    assert!(bytes.len() > 93 * (12 + 2 * vocabulary) && bytes.len() < 93 * (12 + 2 * vocabulary) + 1000);
    assert_eq!(perplexity(&["--base", TINY_SHAKESPEARE, "--base-logits", name]), computed);
    assert_eq!(perplexity(&["--base-logits", name]), computed);
    assert_eq!(fs::read(&file).unwrap(), bytes);

    // A planted fault: ln p of the last position's token is changed, and only the base's figures follow.
    let mut wrong = bytes.clone();
    let last = wrong.len() - (12 + 2 * vocabulary);
    wrong[last..last + 8].copy_from_slice(&(-20f64).to_le_bytes());
    fs::write(&file, &wrong).unwrap();
    let other = perplexity(&["--base-logits", name]);
    assert_eq!(other["perplexity"], computed["perplexity"]);
    assert_ne!(other["base"]["perplexity"], computed["base"]["perplexity"]);
    assert_eq!(other["base"]["kl_divergence"], computed["base"]["kl_divergence"]);
}

fn gguf_vocabulary() -> usize {
    qmill::llm::Config::new(&gguf::Model::open(TINY_SHAKESPEARE).unwrap()).unwrap().vocabulary
}

#[test]
fn kept_logits_of_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("base.logits");
    let name = file.to_str().unwrap();
    perplexity(&["--base", TINY_SHAKESPEARE, "--base-logits", name]);
    let bytes = fs::read(&file).unwrap();
    let quantized = folder.path().join("Q8_0.gguf");
    stdout(&["quantize", TINY_SHAKESPEARE, quantized.to_str().unwrap(), "Q8_0"]);

    let same =
        ["perplexity", "-m", TINY_SHAKESPEARE, "-f", HELD_OUT, "--device", "cpu", "--base-logits", name];
    let refused = |more: &[&str], word: &str| {
        let (line, code) = failure(&[&same, more].concat());
        assert!(code == 1 && line.lines().count() == 1 && line.contains(word), "{line}");
    };
    refused(&["-c", "64", "--chunks", "2"], "the text was 192 tokens");
    refused(&["-c", "32", "--chunks", "6"], "the length of a chunk was 64");
    let other = ["--base", quantized.to_str().unwrap()];
    refused(&[&CHUNKS[..], &other].concat(), "the base was llama Tiny Shakespeare");
    let precision = [&CHUNKS[..], &["--base", TINY_SHAKESPEARE, "--cache-type-k", "F32"]].concat();
    refused(&precision, "the precision was int8, cache F16/F16");

    for (damaged, word) in [
        (&bytes[..bytes.len() - 1], "where its key needs"),
        (&bytes[..7], "a file of 7 bytes"),
        (&[&b"QMLOGITT"[..], &bytes[8..]].concat(), "begins otherwise"),
        (&[&bytes[..8], &[9, 0, 0, 0], &bytes[12..]].concat(), "version 9"),
        (&[&bytes[..12], &[255; 4], &bytes[16..]].concat(), "a key of 4294967295 bytes"),
        (&[&bytes[..16], b"}", &bytes[17..]].concat(), "a key that is damaged"),
    ] {
        fs::write(&file, damaged).unwrap();
        refused(&CHUNKS, word);
    }
    fs::remove_file(&file).unwrap();
    refused(&CHUNKS, "cannot read");
}

#[test]
fn a_report_uses_kept_logits_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let first = report(&["--types", "Q4_0", "-f", HELD_OUT, "-o", path]);
    assert_eq!(files_in(folder.path()), ["base.logits", "report.html", "report.json", "report.md"]);
    let kept = folder.path().join("base.logits");
    let written = fs::metadata(&kept).unwrap().modified().unwrap();
    let again = report(&["--types", "Q4_0,Q2_K", "-f", HELD_OUT, "-o", path, "--force"]);
    for (row, other) in first.rows.iter().zip(&again.rows) {
        assert_eq!((&row.name, &row.quality, &row.error), (&other.name, &other.quality, &other.error));
    }
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), written);

    // Of another text: refused as they are, replaced by force.
    for name in ["report.html", "report.json", "report.md"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let other = ["report", "-m", TINY_SHAKESPEARE, "--device", "cpu", "-o", path, "--types", "Q4_0"];
    let other = [&other[..], &["-c", "32", "--chunks", "2", "-p", "0", "-n", "0"]].concat();
    let (line, code) = failure(&other);
    assert!(code == 1 && line.contains("base.logits: the text was 192 tokens"), "{line}");
    assert_eq!(files_in(folder.path()), ["base.logits"]);
    stdout(&[&other[..], &["--force"]].concat());
    assert!(fs::metadata(&kept).unwrap().modified().unwrap() > written);
}

#[test]
fn a_key_tells_models_and_texts_apart() {
    let model = gguf::Model::open(TINY_SHAKESPEARE).unwrap();
    let key = |model: &gguf::Model, text: &[u32]| {
        BaseKey::new(model, &LoadOptions::default(), text, &Chunks { tokens: 4, limit: None, bos: None })
    };
    let first = key(&model, &[1, 2, 3, 4, 5]).unwrap();
    // The fifth token is in no chunk.
    assert_eq!(first.first_difference(&key(&model, &[1, 2, 3, 4, 6]).unwrap(), false), None);
    let other = key(&model, &[1, 2, 3, 5]).unwrap();
    assert_eq!(first.first_difference(&other, true).unwrap().0, "the text");
    assert!(key(&model, &[1, 2, 3]).is_err());

    // One bit in the middle of a tensor.
    let mut bytes = fs::read(TINY_SHAKESPEARE).unwrap();
    let tensor = model.tensor("blk.1.ffn_up.weight").unwrap();
    let start = model.shards()[0].header().data_offset + tensor.info.offset();
    bytes[(start + tensor.info.bytes() / 2) as usize] ^= 1;
    let changed = gguf::Model::from_source("changed.gguf", Box::new(bytes)).unwrap();
    let changed = key(&changed, &[1, 2, 3, 4]).unwrap();
    assert_eq!(first.first_difference(&changed, false).unwrap().0, "the base");
    assert_eq!(first.first_difference(&changed, true), None);
}

#[test]
fn rounding_of_kept_logits_is_small() {
    // A model against itself: what is left is the rounding, and it is of second order.
    let same = ["perplexity", "-m", TINY_SHAKESPEARE, "--base", TINY_SHAKESPEARE, "-f", HELD_OUT];
    let found = json(&[&same[..], &CHUNKS, &["--device", "cpu"]].concat());
    let divergence = found["base"]["kl_divergence"].as_f64().unwrap();
    // f16 keeps 11 bits: at a distance x from the largest, ln p moves by at most x·2⁻¹², and the divergence
    // by half the mean square of that. Tokens beyond 16 do not count.
    assert!(divergence > 0.0 && divergence < 0.5 * (16.0 / 4096f64).powi(2), "{divergence}");
    assert_eq!(found["base"]["same_top"], 1.0);
    assert_eq!(found["base"]["log_ratio"], 0.0);
}

#[test]
fn chunks_give_an_interval_and_pairs_of_them_a_smaller_one() {
    let (half, quarter) = ([0.5f32.ln(), 0.5f32.ln()], [0.25f32.ln(), 0.75f32.ln()]);
    let mut divergence = Divergence::default();
    for model in [quarter, half, half] {
        divergence.add(&half, &model, 0);
        divergence.add(&half, &half, 1);
        divergence.end_chunk();
    }
    let one = (2f64.ln() + (2.0 / 3.0f64).ln()) / 4.0;
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-7, "{a} is not {b}");
    close(divergence.chunk_means()[0], one);
    close(divergence.by_chunk().value, one / 3.0);
    // Samples one, 0, 0: variance one²/3, error of the mean √(one²/9).
    close(divergence.by_chunk().error, one / 3.0);
    close(divergence.by_chunk().value, divergence.mean().value);

    // The same chunks are hard for both: each mean varies by a factor of ten, their ratio does not.
    let (a, b) = ([0.2, 2.2, 0.4], [0.1, 1.0, 0.2]);
    let ratio = divergence_ratio(&a, &b);
    close(ratio.value, 2.8 / 1.3);
    let without = [2.6 / 1.2, 0.6 / 0.3, 2.4 / 1.1];
    let mean = without.iter().sum::<f64>() / 3.0;
    let squares: f64 = without.iter().map(|r| (r - mean).powi(2)).sum();
    close(ratio.error, (squares * 2.0 / 3.0).sqrt());
    assert!(divergence_ratio(&a[..1], &b[..1]).error.is_nan());
    assert!(divergence_ratio(&a, &b[..2]).value.is_nan());
}

#[test]
fn bytes_that_are_read_are_those_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("base.logits");
    let computed = perplexity(&["--base", TINY_SHAKESPEARE, "--base-logits", file.to_str().unwrap()]);
    let kept = BaseLogits::open(&file).unwrap();
    let base = &computed["base"];
    assert_eq!(Some(kept.perplexity().unwrap().value()), base["perplexity"].as_f64());
    assert_eq!((kept.key().chunks, kept.key().chunk_tokens), (3, 64));
}
