//! Text around a model: tokens, chat templates, sampling.

mod sampling;
mod templates;

use crate::support::TINY_SHAKESPEARE;
use qmill::Error;
use qmill::gguf::{Array, Metadata, Model};
use qmill::llm::{ChatTemplate, Message, REPEAT_LAST, Sampler, SamplerOptions, Tokenizer};
use serde_json::Value;
use std::fs;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn metadata_of(path: &str) -> Metadata {
    Model::open(path).unwrap().shards()[0].metadata().clone()
}

fn tiny_metadata() -> Metadata {
    metadata_of(TINY_SHAKESPEARE)
}

fn sentence_piece() -> Metadata {
    metadata_of(&format!("{GOLDEN}/sentence-piece.gguf"))
}

/// The metadata of each recorded tokenizer, by name.
fn recorded(name: &str) -> Metadata {
    let mut metadata =
        if name.starts_with("llama") && name != "llama-bpe" { sentence_piece() } else { tiny_metadata() };
    match name {
        "llama" => {}
        "llama without a space" => {
            metadata.set("tokenizer.ggml.add_space_prefix", qmill::gguf::Value::Bool(false));
        }
        pre => metadata.set("tokenizer.ggml.pre", pre),
    }
    metadata
}

#[test]
fn tokens_are_those_of_libllama() {
    let golden: Value = serde_json::from_slice(&fs::read(format!("{GOLDEN}/tokens.json")).unwrap()).unwrap();
    let golden = golden.as_object().unwrap();
    let texts: Vec<&str> =
        golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let mut compared = 0;
    for (name, lists) in golden.iter().filter(|(name, _)| *name != "texts") {
        let tokenizer = Tokenizer::new(&recorded(name)).unwrap();
        for (text, list) in texts.iter().zip(lists.as_array().unwrap()) {
            let expected: Vec<u32> =
                list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokenizer.encode(text), expected, "{name}: {text:?}");
            compared += 1;
        }
    }
    assert_eq!(compared, 7 * texts.len());
}

/// libllama's tokens of each text.
fn lists(golden: &Value, name: &str) -> Vec<Vec<u32>> {
    serde_json::from_value(golden[name].clone()).unwrap_or_else(|_| panic!("{name}"))
}

fn strings_of(golden: &Value, name: &str) -> Vec<String> {
    serde_json::from_value(golden[name].clone()).unwrap_or_else(|_| panic!("{name}"))
}

fn splittings() -> Value {
    serde_json::from_slice(&fs::read(format!("{GOLDEN}/splittings.json")).unwrap()).unwrap()
}

/// Every name of a splitting. The vocabulary has pairs across the borders of words, so a border in the wrong
/// place changes tokens.
#[test]
fn every_splitting_is_that_of_libllama() {
    let (golden, pairs) = (splittings(), metadata_of(&format!("{GOLDEN}/pairs.gguf")));
    let texts = strings_of(&golden, "texts");
    let begun = strings_of(&golden, "begun");
    let names: Vec<Vec<String>> = serde_json::from_value(golden["names"].clone()).unwrap();
    assert!(names.len() >= 16 && begun.len() >= 9);
    let mut all = Vec::new();
    for group in &names {
        let expected = lists(&golden, &group[0]);
        assert_eq!(expected.len(), texts.len());
        for name in group {
            let mut metadata = pairs.clone();
            metadata.set("tokenizer.ggml.pre", name.as_str());
            let tokenizer = Tokenizer::new(&metadata).unwrap();
            for (text, expected) in texts.iter().zip(&expected) {
                assert_eq!(&tokenizer.encode(text), expected, "{name}: {text:?}");
            }
            assert_eq!(tokenizer.adds_bos(), begun.contains(name), "{name}");
        }
        all.push(expected);
    }
    // All groups differ, so that the test can tell them apart.
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate().skip(i + 1) {
            assert_ne!(a, b, "{:?} and {:?}", names[i], names[j]);
        }
    }
}

/// The printable letters of the GPT-2 alphabet, and `added` tokens after them.
fn letters_and(added: &[&str], kind: i32) -> Metadata {
    let mut metadata = Metadata::new();
    let letters = ["Ġ".to_owned()].into_iter().chain((33..127u8).map(|byte| char::from(byte).to_string()));
    let tokens: Vec<String> = letters.chain(added.iter().map(|&text| text.to_owned())).collect();
    let kinds: Vec<i32> = (0..tokens.len()).map(|id| if id < 95 { 1 } else { kind }).collect();
    metadata.set("tokenizer.ggml.model", "gpt2");
    metadata.set("tokenizer.ggml.pre", "gpt-2");
    metadata.set("tokenizer.ggml.merges", Array::from_strings(["a b"]));
    metadata.set("tokenizer.ggml.tokens", Array::from_strings(tokens));
    metadata.set("tokenizer.ggml.token_type", Array::from(&kinds[..]));
    metadata
}

#[test]
fn added_tokens_that_overlap_are_found_as_by_libllama() {
    // tests/real/tokens.py has the vocabulary: the bytes, a token of two spaces, and these.
    let added = ["QZX", "ZXWV", "abc", "bcd", "cab", "ab", "<s>", "</s>"];
    let golden = splittings();
    let tokenizer = Tokenizer::new(&letters_and(&added, 4)).unwrap();
    let expected = lists(&golden, "overlapping");
    assert_eq!(expected.len(), 10);
    for (text, expected) in strings_of(&golden, "overlapping texts").iter().zip(&expected) {
        let found = tokenizer.encode(text);
        let of_added = |ids: &[u32], first: u32| -> Vec<Option<u32>> {
            ids.iter().map(|&id| id.checked_sub(first)).collect()
        };
        assert_eq!(of_added(&found, 95), of_added(expected, 257), "{text:?}");
    }
    // Longer tokens come first, wherever they are.
    assert_eq!(
        tokenizer.encode("QZXWV").iter().map(|&id| tokenizer.name(id)).collect::<Vec<_>>(),
        ["Q", "ZXWV"]
    );
}

#[test]
fn tokens_of_phi_3_eat_the_white_space_after_them() {
    let golden = splittings();
    let mut metadata = sentence_piece();
    let tokens = metadata.array_of("tokenizer.ggml.tokens").unwrap().strings().unwrap();
    let mut tokens: Vec<String> = tokens.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let mut kinds = [vec![2, 3, 3], vec![6; 256], vec![4], vec![1; tokens.len() - 260]].concat();
    for (id, text) in (300..).zip(["<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"]) {
        text.clone_into(&mut tokens[id]);
        kinds[id] = 3;
    }
    metadata.set("tokenizer.ggml.tokens", Array::from_strings(tokens));
    metadata.set("tokenizer.ggml.token_type", Array::from(&kinds[..]));
    let plain = Tokenizer::new(&metadata).unwrap();
    metadata.set("general.name", "Phi-3 mini");
    let phi = Tokenizer::new(&metadata).unwrap();
    let mut differ = 0;
    for (text, expected) in strings_of(&golden, "phi-3 texts").iter().zip(lists(&golden, "phi-3")) {
        assert_eq!(phi.encode(text), expected, "{text:?}");
        differ += usize::from(plain.encode(text) != expected);
    }
    assert!(differ >= 4, "{differ}");
}

/// llama.cpp's issues 3634 and 3635: numbers past the vocabulary are ignored, and named.
#[test]
fn special_tokens_past_the_vocabulary_are_ignored_with_a_warning() {
    let mut metadata = tiny_metadata();
    assert!(Tokenizer::new(&metadata).unwrap().warnings().is_empty());
    for key in ["unknown", "eos", "bos", "eot", "fim_pad"] {
        metadata.set(format!("tokenizer.ggml.{key}_token_id"), qmill::gguf::Value::U32(1024));
    }
    metadata.set("tokenizer.ggml.add_bos_token", qmill::gguf::Value::Bool(true));
    let tokenizer = Tokenizer::new(&metadata).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.adds_bos()), (None, None, false));
    let warnings = tokenizer.warnings();
    assert_eq!(warnings.len(), 6, "{warnings:?}");
    let parts = [
        "unknown_token_id is 1024, and the model has 1024 tokens",
        "bos_token_id is",
        "eos",
        "eot",
        "fim_pad",
    ];
    for part in parts.iter().chain(&["texts should have the token of tokenizer.ggml.bos_token_id"]) {
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:?}");
    }
    // Tokens that end an answer by their text still do.
    assert!(tokenizer.ends(0));
    // SentencePiece's own numbers apply.
    let mut metadata = sentence_piece();
    metadata.set("tokenizer.ggml.eos_token_id", qmill::gguf::Value::U32(5000));
    let tokenizer = Tokenizer::new(&metadata).unwrap();
    assert_eq!((tokenizer.eos(), tokenizer.warnings().len()), (Some(2), 1));
}

#[test]
fn answers_end_at_the_tokens_of_libllama() {
    let ends = |added: &[&str], kind| {
        let tokenizer = Tokenizer::new(&letters_and(added, kind)).unwrap();
        let ends = (95..).zip(added).filter(|&(id, _)| tokenizer.ends(id)).map(|(_, text)| text.to_string());
        (ends.collect::<Vec<_>>(), tokenizer)
    };
    let (found, tokenizer) =
        ends(&["<|fim_pad|>", "<fim-pad>", "<|repo_name|>", "<|file_sep|>", "<|fim_prefix|>"], 1);
    assert_eq!(found, ["<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"]);
    assert_eq!(tokenizer.decode(&[95, 96, 97]), "");
    // gpt-oss: `<|end|>` ends a part of an answer, and is shown with what begins one.
    let harmony = ["<|return|>", "<|call|>", "<|end|>", "<|channel|>", "<|start|>"];
    let (found, tokenizer) = ends(&harmony, 3);
    assert_eq!(
        (found, tokenizer.decode(&[97, 98, 99])),
        (vec!["<|return|>".to_owned(), "<|call|>".to_owned()], harmony[2..].concat())
    );
    let (found, tokenizer) = ends(&harmony[1..], 3);
    assert_eq!(
        (found, tokenizer.decode(&[96, 97])),
        (vec!["<|call|>".to_owned(), "<|end|>".to_owned()], String::new())
    );
    // Gemma 4.
    assert_eq!(ends(&["</s>", "<|tool_response>"], 3).0, ["<|tool_response>"]);
    assert_eq!(ends(&["</s>"], 3).0, ["</s>"]);
}

#[test]
fn text_round_trips_through_tokens() {
    let texts = ["", " x", "  two  spaces ", "naïve 世界 😀👍🏽 \u{1F1E9}\u{1F1EA}\r\n\tend ", "a\0b"];
    for name in ["gpt-2", "llama-bpe", "qwen2", "smollm", "default", "llama", "llama without a space"] {
        let tokenizer = Tokenizer::new(&recorded(name)).unwrap();
        for text in texts {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text, "{name}");
        }
    }
}

#[test]
fn a_stream_waits_for_whole_characters() {
    let tokenizer = Tokenizer::new(&sentence_piece()).unwrap();
    let bytes = |text: &[u8]| text.iter().map(|&byte| u32::from(byte) + 3).collect::<Vec<_>>();
    let mut stream = tokenizer.stream();
    let texts: Vec<String> = bytes("x€!".as_bytes()).into_iter().map(|token| stream.push(token)).collect();
    assert_eq!(texts, ["x", "", "", "€", "!"]);

    // Invalid UTF-8 does not hold back the next bytes; an incomplete character comes at the end.
    let mut stream = tokenizer.stream();
    let texts: Vec<String> =
        bytes(b"\xE2\x82a\xFF\xF0\x9F").into_iter().map(|token| stream.push(token)).collect();
    assert_eq!(texts, ["", "", "\u{FFFD}a", "\u{FFFD}", "", ""]);
    assert_eq!(stream.finish(), "\u{FFFD}");
}

#[test]
fn special_tokens_follow_the_file() {
    let tokenizer = Tokenizer::new(&tiny_metadata()).unwrap();
    assert_eq!((tokenizer.len(), tokenizer.bos(), tokenizer.adds_bos()), (1024, Some(0), false));
    assert!(tokenizer.ends(0) && !tokenizer.ends(1));
    assert_eq!(tokenizer.name(0), "<|endoftext|>");
    assert_eq!(tokenizer.decode(&[0, 0]), "");
    assert_eq!(tokenizer.encode("<|endoftext|>"), [0]);
    assert!(tokenizer.encode_plain("<|endoftext|>").len() > 1);

    // SentencePiece begins a text with <s>, once.
    let tokenizer = Tokenizer::new(&sentence_piece()).unwrap();
    let hello = tokenizer.encode("Hello");
    assert_eq!(tokenizer.prompt("Hello"), [&[1], hello.as_slice()].concat());
    assert_eq!(tokenizer.prompt("<s>Hello"), tokenizer.prompt("Hello"));
    assert_eq!(tokenizer.decode(&tokenizer.prompt("Hello")), "Hello");
    assert!(tokenizer.ends(2) && !tokenizer.ends(1));
    // A number past the vocabulary has no text.
    assert_eq!(tokenizer.decode(&[u32::MAX]), "");
}

#[test]
fn unknown_tokenizers_are_refused() {
    let refused = |key: &str, value: &str| {
        let mut metadata = tiny_metadata();
        metadata.set(key, value);
        Tokenizer::new(&metadata).unwrap_err().to_string()
    };
    let error = refused("tokenizer.ggml.model", "rwkv");
    assert!(error.contains("rwkv") && error.contains("gpt2, llama"), "{error}");
    let error = refused("tokenizer.ggml.pre", "afmoe");
    assert!(error.contains("afmoe") && error.contains("qwen2") && error.contains("smollm"), "{error}");

    for (metadata, keys) in [
        (tiny_metadata(), ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"].as_slice()),
        (sentence_piece(), ["tokenizer.ggml.scores"].as_slice()),
    ] {
        for missing in keys {
            let mut metadata = metadata.clone();
            metadata.remove(missing);
            let error = Tokenizer::new(&metadata).unwrap_err();
            assert!(matches!(&error, Error::MetadataKey { key, .. } if key == missing), "{error}");
        }
    }
}
