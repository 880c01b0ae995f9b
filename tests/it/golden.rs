//! Every format against the output of ggml itself for the same blocks; `tests/golden/README.md` has their
//! origin.

use qmill::format::FormatInfo;
use qmill::{FORMATS, cpu};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Weights in one named block of `blocks.f32`.
const BLOCK: usize = 256;

pub(crate) fn read(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_f32(file: &str) -> Vec<f32> {
    read(file).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn index() -> Value {
    serde_json::from_slice(&read("index.json")).unwrap()
}

/// The first named block where the two differ, in words.
fn first_difference<T: PartialEq>(
    info: &FormatInfo,
    index: &Value,
    ours: &[T],
    ggml: &[T],
) -> Option<String> {
    let blocks = index["blocks"].as_array().unwrap();
    assert_eq!((ours.len(), ours.len() % blocks.len()), (ggml.len(), 0), "{}", info.name);
    let per_block = ours.len() / blocks.len();
    let differing: Vec<usize> =
        (0..ours.len()).filter(|&i| ours[i] != ggml[i]).map(|i| i / per_block).collect();
    let first = *differing.first()?;
    let elements = differing.len();
    Some(format!("{}: {elements} elements differ, the first in block {first}, {}", info.name, blocks[first]))
}

#[test]
fn every_format_has_vectors() {
    let index = index();
    let mut golden: Vec<_> = index["types"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut ours: Vec<_> = FORMATS.iter().map(|info| info.name).collect();
    golden.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, golden);
    for info in &FORMATS {
        let facts = &index["types"][info.name];
        assert_eq!(facts["ggml_type"], info.ggml_id, "{}", info.name);
        assert_eq!(facts["block_values"], info.block_weights, "{}", info.name);
        assert_eq!(facts["block_bytes"], info.block_bytes, "{}", info.name);
    }
}

#[test]
fn weights_are_those_of_ggml() {
    let index = index();
    let failures = FORMATS.iter().filter_map(|info| {
        let ggml = read_f32(&format!("{}.f32", info.name));
        let mut ours = vec![f32::NAN; ggml.len()];
        cpu::dequantize(info.format, &read(&format!("{}.bin", info.name)), &mut ours).unwrap();
        let bits = |weights: &[f32]| weights.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
        first_difference(info, &index, &bits(&ours), &bits(&ggml))
    });
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn bytes_are_those_of_ggml() {
    let index = index();
    let weights = read_f32("blocks.f32");
    assert_eq!(weights.len(), BLOCK * index["blocks"].as_array().unwrap().len());
    let failures = FORMATS.iter().filter(|info| info.can_quantize()).filter_map(|info| {
        let ggml = read(&format!("{}.bin", info.name));
        // Every byte must be written.
        let mut ours: Vec<u8> = ggml.iter().map(|byte| !byte).collect();
        cpu::quantize(info.format, &weights, &mut ours).unwrap();
        first_difference(info, &index, &ours, &ggml)
    });
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_changed_bit_is_found_and_named() {
    let info = &FORMATS[0];
    let ours = read("blocks.f32");
    let mut ggml = ours.clone();
    assert_eq!(first_difference(info, &index(), &ours, &ggml), None);
    ggml[22 * BLOCK * 4] ^= 1;
    let found = first_difference(info, &index(), &ours, &ggml).unwrap();
    assert!(found.contains("block 22, \"zeros\""), "{found}");
}
