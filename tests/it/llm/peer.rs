//! Against libllama: its output for the same weights, as `tests/real/record_llm.py` recorded it.

use super::{SEEDED, TINY_SHAKESPEARE, argmax, assert_near, devices, exact, seeded, session};
use serde_json::Value;
use std::fs;

/// How far logits may be from libllama's, relative to the largest: it rounds sums in f32 in another order.
const BOUND: f32 = 5e-5;
/// For Gemma, whose GELU libllama looks up in a table of f16.
const GELU_BOUND: f32 = 1e-3;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

/// Compares the logits after each prompt, and then the choice of each next token after the tokens that
/// libllama chose. Where its two best logits differ by less than twice the bound, either token may win.
fn assert_as_recorded(name: &str, path: &str, bound: f32) {
    let record = format!("{}/tests/data/llm/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let record: Value = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
    for device in devices() {
        let mut session = session(path, &exact(device.clone()));
        let mut compared = 0;
        for found in record.as_array().unwrap() {
            session.rewind(0).unwrap();
            session.prefill(&tokens(&found["prompt"])).unwrap();
            let what = format!("{name} on {device} after {} tokens", session.position());
            let logits = numbers(&found["logits"]);
            assert_near(&session.logits()[..logits.len()], &logits, bound, &what);
            let least = 2.0 * bound * super::magnitude(&logits);
            for (&token, lead) in tokens(&found["tokens"]).iter().zip(numbers(&found["leads"])) {
                if lead > least {
                    assert_eq!(argmax(session.logits()), token, "{what}, at {}", session.position());
                    compared += 1;
                }
                session.prefill(&[token]).unwrap();
            }
        }
        assert!(compared > 300, "{name}: {compared} tokens of 384 compared");
    }
}

#[test]
fn the_tiny_shakespeare_continues_as_in_libllama() {
    assert_as_recorded("tiny-shakespeare", TINY_SHAKESPEARE, BOUND);
}

#[test]
fn every_architecture_continues_as_in_libllama() {
    for name in SEEDED {
        assert_as_recorded(name, &seeded(name), if name == "gemma3" { GELU_BOUND } else { BOUND });
    }
}
