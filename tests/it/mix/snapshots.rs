//! The choices of llama.cpp for whole models.

use super::{Given, chosen, f32};
use qmill::Format::F32;
use qmill::mix::{FILE_TYPES, Facts, FileType, Options};
use std::path::Path;

/// The file types that are not in llama.cpp's snapshots.
const NOT_IN_SNAPSHOTS: [FileType; 4] = [FileType::Q1_0, FileType::Q2_0, FileType::NVFP4, FileType::COPY];

/// Models of the snapshots, their architectures, and tensors in each.
const SNAPSHOTS: [(&str, &str, usize); 7] = [
    ("gemma-3-4b-it", "gemma3", 239),
    ("glm-4.6v", "glm4moe", 459),
    ("gpt-oss-120b", "gpt-oss", 254),
    ("meta-llama-3.1-70b-instruct", "llama", 562),
    ("qwen3-0.6b", "qwen3", 198),
    ("qwen3-14b", "qwen3", 282),
    ("qwen3.6-27b", "qwen35", 498),
];

#[test]
fn chooses_what_upstreams_snapshots_say() {
    let file_types: Vec<FileType> = FILE_TYPES
        .iter()
        .map(|info| info.file_type)
        .filter(|file_type| !NOT_IN_SNAPSHOTS.contains(file_type))
        .collect();
    assert_eq!(file_types.len(), 24);
    let mut compared = 0;
    for (model, architecture, tensors) in SNAPSHOTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/mixes/{model}.json"));
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let fact = |key: &str| golden["hyperparameters"][key].as_u64().map(|value| value as u32);
        let facts = Facts {
            architecture: architecture.to_owned(),
            block_count: fact("n_layer"),
            head_count: fact("n_head"),
            head_count_kv: fact("n_head_kv"),
            expert_count: fact("n_expert"),
        };
        let given: Vec<Given> = golden["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tensor| {
                let shape = tensor[1].as_array().unwrap().iter().map(|length| length.as_u64().unwrap());
                f32(tensor[0].as_str().unwrap(), &shape.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(given.len(), tensors, "{model}");
        for &file_type in &file_types {
            let expected = &golden["file_types"][file_type.name()];
            let default =
                expected["default"].as_str().unwrap_or_else(|| panic!("{model} has no {file_type}"));
            let choices = chosen(&facts, &given, file_type, &Options::default());
            for (index, (Given(name, ..), choice)) in given.iter().zip(choices).enumerate() {
                let expected = expected["overrides"][index.to_string()].as_str().unwrap_or(default);
                let format = choice.format.unwrap_or(F32);
                assert_eq!(format.name(), expected, "{model} {file_type} {name}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 24 * 2492);
}
