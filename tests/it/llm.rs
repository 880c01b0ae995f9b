//! Language models: parity of devices, sessions, errors, and libllama's records.

mod cpu;
mod errors;
mod parity;
mod peer;
mod sessions;
mod shaders;
mod variants;

use super::gpu::gpu;
use super::support::TINY_SHAKESPEARE;
use qmill::gpu::Precision;
use qmill::llm::{LoadOptions, Model, Session};
use qmill::{Device, Format};
use std::fs;
use std::path::Path;

/// The seeded models of `tests/data/llm`, one of each architecture.
const SEEDED: [&str; 5] = ["llama", "qwen2", "qwen3", "qwen3moe", "gemma3"];

fn seeded(name: &str) -> String {
    format!("{}/tests/data/llm/{name}.gguf", env!("CARGO_MANIFEST_DIR"))
}

/// Options under which nothing is rounded but by arithmetic in f32.
fn exact(device: Device) -> LoadOptions {
    LoadOptions::default()
        .with_device(device)
        .with_cache_keys(Format::F32)
        .with_cache_values(Format::F32)
        .with_precision(Precision::Exact)
}

/// The CPU, and the GPU if there is one.
fn devices() -> Vec<Device> {
    std::iter::once(Device::Cpu).chain(gpu().map(|gpu| Device::Gpu(gpu.clone()))).collect()
}

fn session(path: &str, options: &LoadOptions) -> Session {
    Session::new(&Model::load(path, options).unwrap()).unwrap()
}

fn argmax(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

/// The largest magnitude.
fn magnitude(floats: &[f32]) -> f32 {
    floats.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Panics unless all numbers are within `bound` of the right ones, relative to the largest.
#[track_caller]
fn assert_near(found: &[f32], right: &[f32], bound: f32, what: &str) {
    assert_eq!(found.len(), right.len(), "{what}");
    assert!(magnitude(right) > 0.1, "{what}: there is nothing to compare");
    let error = found.iter().zip(right).map(|(a, b)| if a.is_nan() { f32::MAX } else { (a - b).abs() });
    let error = error.fold(0.0, f32::max) / magnitude(right);
    assert!(error <= bound, "{what}: off by {error}, more than {bound}");
}

/// A fixed sequence of tokens without a pattern.
fn tokens(count: usize, vocabulary: usize) -> Vec<u32> {
    (1..=count as u64).map(|i| (i * i * 2_654_435_761 % vocabulary as u64) as u32).collect()
}

/// `llm` uses nothing of the crate that `lib.rs` does not export, but for `threads`, which has no part of the
/// crate.
#[test]
fn the_module_uses_only_the_public_api() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let exported = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let exports = |name: &str| {
        exported.lines().any(|line| {
            line == format!("pub mod {name};")
                || line.starts_with("pub use ")
                    && line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
        })
    };
    let mut names = 0;
    let mut paths = vec![root.join("src/llm"), root.join("src/llm.rs"), root.join("src/threads.rs")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(path.ends_with("threads.rs") || !text.contains("pub(crate)"), "{}", path.display());
        for used in text.match_indices("crate::").map(|(at, found)| &text[at + found.len()..]) {
            let list = match used.strip_prefix('{') {
                Some(rest) => rest.split('}').next().unwrap(),
                None => used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap(),
            };
            for name in list.split(',').map(|name| name.split("::").next().unwrap().trim()) {
                assert!(exports(name) || name == "threads", "{}: {name}", path.display());
                names += 1;
            }
        }
    }
    assert!(names > 20, "{names}");
}
