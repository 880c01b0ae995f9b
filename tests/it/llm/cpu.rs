//! The CPU's fast path, with activations in eight bits and sums in f32, against the reference.

use super::parity::{EXACT, F16_CACHE, INT8, logits, of_heads, tiny, with_formats};
use super::{SEEDED, assert_near, exact, gpu, magnitude, seeded, tokens};
use qmill::gguf;
use qmill::gpu::Precision;
use qmill::llm::{LoadOptions, Model, Session};
use qmill::{Device, FORMATS, Format};

fn fast() -> LoadOptions {
    exact(Device::Cpu).with_precision(Precision::Int8)
}

/// The tokens of a text.
const POSITIONS: usize = 150;

/// The logits of prompts of several lengths, and of tokens one by one, whose keys and values are in a cache.
fn long(model: &Model) -> Vec<f32> {
    let text = tokens(POSITIONS, model.config().vocabulary);
    let mut session = Session::new(model).unwrap();
    let mut logits = session.all_logits(&text[..3]).unwrap();
    for some in [&text[3..40], &text[40..141]] {
        logits.extend(session.all_logits(some).unwrap());
    }
    for &token in &text[141..] {
        session.prefill(&[token]).unwrap();
        logits.extend(session.logits());
    }
    logits
}

/// The positions whose logits are further apart than `bound`, relative to the largest of all.
fn positions_apart(found: &[f32], right: &[f32], bound: f32) -> usize {
    let allowed = bound * magnitude(right);
    let vocabulary = right.len() / POSITIONS;
    let positions = found.chunks(vocabulary).zip(right.chunks(vocabulary));
    positions.filter(|(a, b)| a.iter().zip(*b).any(|(a, b)| a.is_nan() || (a - b).abs() > allowed)).count()
}

#[test]
fn every_format_is_near_the_reference() {
    for info in &FORMATS {
        let Some(format) = info.can_quantize().then_some(info.format) else { continue };
        let file = with_formats(&tiny(), |_| Some(format));
        let right = logits(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
        let found = logits(&Model::from_gguf(&file, &fast()).unwrap());
        assert_near(&found, &right, if format.is_float() { EXACT } else { INT8 }, &format!("{format}"));
    }
}

/// Windows, experts, norms of heads, both activations; matrices as in the file, which are floats, and in
/// blocks.
#[test]
fn every_architecture_is_near_the_reference() {
    for name in SEEDED {
        let source = gguf::Model::open(seeded(name)).unwrap();
        for (format, bound) in [(Format::F32, EXACT), (Format::F16, EXACT), (Format::Q8_0, 2.0 * INT8)] {
            let file = with_formats(&source, |_| Some(format));
            let load = |options: &LoadOptions| Model::from_gguf(&file, options).unwrap();
            let (found, right) = (long(&load(&fast())), long(&load(&exact(Device::Cpu))));
            let far = positions_apart(&found, &right, bound);
            // A rounded activation may send a token to another expert.
            let allowed = if format.is_float() { 0 } else { POSITIONS / 20 };
            assert!(far <= allowed, "{name}, {format}: {far} positions are off by more than {bound}");
            // Activations are rounded as a GPU rounds them, so that both make the same error; until a number
            // between two integers is rounded otherwise, because a sum had another order.
            let Some(gpu) = gpu() else { continue };
            let on_gpu = exact(Device::Gpu(gpu.clone())).with_precision(Precision::Int8);
            let far = positions_apart(&found, &long(&load(&on_gpu)), EXACT);
            assert!(far <= POSITIONS / 2, "{name}, {format}: {far} positions are not those of a GPU");
        }
    }
}

#[test]
fn heads_of_every_width_and_caches_of_every_type_are_near_the_reference() {
    for shape in [[1, 1, 32], [7, 1, 96], [8, 4, 128], [32, 1, 4], [8, 2, 20], [16, 4, 18], [32, 4, 65]] {
        let file = of_heads(shape);
        for (keys, values, bound) in [
            (Format::F32, Format::F32, INT8),
            (Format::F16, Format::F16, INT8 + F16_CACHE),
            (Format::F32, Format::F16, INT8 + F16_CACHE),
        ] {
            let load = |options: LoadOptions| {
                let options = options.with_cache_keys(keys).with_cache_values(values);
                Model::from_gguf(&file, &options).unwrap()
            };
            let what = format!("{shape:?}, {keys} and {values}");
            assert_near(&long(&load(fast())), &long(&load(exact(Device::Cpu))), bound, &what);
        }
    }
}

/// Sums are in the same order whoever computes them.
#[test]
fn the_number_of_threads_changes_no_bit() {
    for name in SEEDED {
        let file = with_formats(&gguf::Model::open(seeded(name)).unwrap(), |_| Some(Format::Q8_0));
        let on = |threads| long(&Model::from_gguf(&file, &fast().with_threads(Some(threads))).unwrap());
        let right = on(1);
        for threads in [2, 5] {
            let same = right.iter().zip(on(threads)).all(|(right, found)| right.to_bits() == found.to_bits());
            assert!(same, "{name}, {threads} threads");
        }
    }
}
