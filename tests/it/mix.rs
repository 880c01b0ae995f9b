//! Which format each tensor gets, against llama.cpp's own snapshots and its rules one by one.

use qmill::Error;
use qmill::Format::{
    self, F16, F32, IQ2_XXS, IQ3_S, IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q2_0, Q2_K, Q3_K, Q4_0, Q4_K, Q5_0, Q5_1,
    Q5_K, Q6_K, Q8_0, TQ1_0, TQ2_0,
};
use qmill::mix::{
    Choice, FILE_TYPES, Facts, FileType, IMATRIX_FILE_TYPES, Options, Tensor, TensorRule, block_count,
    choose, file_order,
};
use std::path::Path;

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

/// The file types that upstream's snapshots do not have.
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

#[test]
fn file_types_have_names_in_any_case_aliases_and_numbers() {
    for (index, info) in FILE_TYPES.iter().enumerate() {
        assert_eq!(info.file_type as usize, index);
        assert!(!info.about.is_empty());
        assert_eq!(info.file_type.to_string(), info.name);
        assert_eq!(info.number.and_then(FileType::from_number), info.number.map(|_| info.file_type));
        if info.format.is_none_or(|format| format.info().can_quantize()) {
            assert_eq!(info.name.to_lowercase().parse::<FileType>().unwrap(), info.file_type);
        }
    }
    for (text, file_type) in [
        ("Q3_K", FileType::Q3_K_M),
        ("q4_k", FileType::Q4_K_M),
        ("Q5_k", FileType::Q5_K_M),
        ("0", FileType::F32),
        ("15", FileType::Q4_K_M),
        ("32", FileType::BF16),
        ("39", FileType::NVFP4),
        ("copy", FileType::COPY),
    ] {
        assert_eq!(text.parse::<FileType>().unwrap(), file_type, "{text}");
    }
    assert_eq!(FileType::COPY.info().number, None);
}

/// Every number that `general.file_type` may hold belongs to one file type.
#[test]
fn file_type_numbers_are_those_of_upstream() {
    let known = FILE_TYPES.iter().filter_map(|info| Some((info.number?, info.name)));
    let mut numbers: Vec<_> =
        known.chain(IMATRIX_FILE_TYPES.iter().map(|known| (known.number, known.name))).collect();
    numbers.sort_unstable();
    let upstream = "0 F32 1 F16 2 Q4_0 3 Q4_1 7 Q8_0 8 Q5_0 9 Q5_1 10 Q2_K 11 Q3_K_S 12 Q3_K_M 13 Q3_K_L \
        14 Q4_K_S 15 Q4_K_M 16 Q5_K_S 17 Q5_K_M 18 Q6_K 19 IQ2_XXS 20 IQ2_XS 21 Q2_K_S 22 IQ3_XS 23 IQ3_XXS \
        24 IQ1_S 25 IQ4_NL 26 IQ3_S 27 IQ3_M 28 IQ2_S 29 IQ2_M 30 IQ4_XS 31 IQ1_M 32 BF16 36 TQ1_0 37 TQ2_0 \
        38 MXFP4_MOE 39 NVFP4 40 Q1_0 41 Q2_0";
    let ours: Vec<_> = numbers.iter().map(|(number, name)| format!("{number} {name}")).collect();
    assert_eq!(ours.join(" "), upstream.split_whitespace().collect::<Vec<_>>().join(" "));
}

#[test]
fn a_file_type_that_cannot_be_made_says_why() {
    let message = |text: &str| text.parse::<FileType>().unwrap_err().to_string();
    for text in ["Q9", "", "4", "-1", "1024", "Q4_K_XL", "99999999999999999999"] {
        assert!(matches!(text.parse::<FileType>(), Err(Error::UnknownFileType { name }) if name == text));
    }
    assert_eq!(message("Q9"), "\"Q9\" is no file type");
    for text in ["iq2_xxs", "19"] {
        assert_eq!(
            message(text),
            "IQ2_XXS needs an importance matrix, which qmill does not take yet; Q2_K is the nearest that needs none"
        );
    }
    assert!(message("Q2_K_S").contains("Q2_K is the nearest"));
    assert!(message("IQ3_XS").contains("Q3_K_S is the nearest"));
    let has_encoder = IQ3_S.info().can_quantize();
    for text in ["IQ3_S", "iq3_m", "26"] {
        match text.parse::<FileType>() {
            Ok(_) => assert!(has_encoder),
            Err(error) => {
                assert!(!has_encoder && matches!(error, Error::NotEncoded { format: IQ3_S }));
            }
        }
    }
}

#[test]
fn files_begin_with_what_is_outside_the_layers() {
    let names =
        ["blk.10.a", "token_embd.weight", "blk.2.b", "blk.2.a", "output.weight", "blk.0.z", "x.blk.1.a"];
    let sorted: Vec<_> = file_order(&names).into_iter().map(|index| names[index]).collect();
    assert_eq!(
        sorted,
        ["output.weight", "token_embd.weight", "x.blk.1.a", "blk.0.z", "blk.2.a", "blk.2.b", "blk.10.a"]
    );
    assert_eq!(block_count(names), 11);
    assert_eq!(block_count(["token_embd.weight", "blk.x.a"]), 0);
}

#[test]
fn rows_that_are_no_whole_number_of_blocks_fall_back() {
    let by = |rule: &str, row: u64| {
        let given = [f32("output.weight", &[256, 4]), f32("a.weight", &[row, 4])];
        chosen(&Facts::default(), &given, FileType::Q4_K_M, &rules(&[rule]))[1]
    };
    for (format, smaller) in [
        (Q2_0, Q4_0),
        (Q2_K, Q4_0),
        (Q3_K, Q4_0),
        (TQ1_0, Q4_0),
        (TQ2_0, Q4_0),
        (NVFP4, Q4_0),
        (Q4_K, Q5_0),
        (Q5_K, Q5_1),
        (Q6_K, Q8_0),
        (IQ4_XS, IQ4_NL),
        (IQ2_XXS, IQ4_NL),
        (IQ3_S, IQ4_NL),
    ] {
        let rule = format!("a={format}");
        assert_eq!(by(&rule, 512), write(format));
        assert_eq!(by(&rule, 288), fall_back(format, smaller));
        assert_eq!(by(&rule, 40), fall_back(format, F16));
    }
    for format in [Q4_0, Q5_1, Q8_0, IQ4_NL, MXFP4] {
        assert_eq!(by(&format!("a={format}"), 96), write(format));
    }
    // The stand-in may be what the tensor is stored as.
    let given = [Given("a.weight".to_owned(), vec![40, 4], Some(F16))];
    assert_eq!(
        chosen(&Facts::default(), &given, FileType::Q4_K_S, &Options::default()),
        [Choice { format: None, fallback_from: Some(Q4_K) }]
    );
}

#[test]
fn q1_0_has_no_fallback() {
    let given = [f32("output.weight", &[256, 4]), f32("blk.0.attn_q.weight", &[192, 4])];
    let error =
        choose(&Facts::default(), &as_tensors(&given), FileType::Q1_0, &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "blk.0.attn_q.weight: rows of 192 weights are no whole number of Q1_0 blocks of 128"
    );
}

#[test]
fn some_tensors_are_kept_whatever_is_asked() {
    let matrix = [256, 256];
    let mut given = vec![
        f32("a.weight", &[256]),
        f32("b.weight", &[256, 1, 1]),
        f32("blk.0.attn_q.bias", &matrix),
        f32("blk.0.attn_q_norm.weight", &matrix),
        f32("blk.0.ffn_gate_inp.weight", &matrix),
        f32("blk.0.time_mix_lerp_fused.weight", &matrix),
        f32("blk.0.ssm_conv1d.weight", &matrix),
        f32("position_embd.weight", &matrix),
        Given("table.weight".to_owned(), matrix.to_vec(), None),
        Given("same.weight".to_owned(), matrix.to_vec(), Some(Q4_K)),
    ];
    let kept = given.len();
    given.push(f32("my_position_embd.weight", &matrix));
    given.push(f32("blk.0.ssm_beta.weight", &matrix));
    let options = rules(&["token_types=q8_0"]).with_token_embedding_type(Some(F16));
    let choices = chosen(&Facts::default(), &given, FileType::Q4_K_S, &options);
    assert_eq!(choices[..kept], vec![keep(); kept]);
    assert_eq!(choices[kept..], [write(Q4_K); 2]);

    let glm5 = Facts { architecture: "glm5-next".to_owned(), ..Facts::default() };
    assert_eq!(chosen(&glm5, &given, FileType::Q4_K_S, &options)[kept..], [write(Q4_K), keep()]);
    let given = [f32("blk.0.attn_q_a.weight", &matrix), f32("blk.0.attn_q.weight", &matrix)];
    assert_eq!(formats(&glm5, &given, FileType::Q4_K_S, &Options::default()), [Q8_0, Q4_K]);

    let copied = chosen(&glm5, &given, FileType::COPY, &rules(&["attn=q8_0"]));
    assert_eq!(copied, [keep(); 2]);
}

#[test]
fn the_output_matrix_may_be_the_token_embedding() {
    let embedding = f32("token_embd.weight", &[256, 4]);
    let tied = [embedding, f32("blk.0.attn_q.weight", &[256, 4])];
    let facts = Facts::default();
    let plain = Options::default();
    assert_eq!(formats(&facts, &tied, FileType::Q4_0, &plain), [Q6_K, Q4_0]);
    assert_eq!(formats(&facts, &tied, FileType::Q8_0, &plain), [Q8_0; 2]);
    assert_eq!(formats(&facts, &tied, FileType::TQ1_0, &plain), [Q6_K, TQ1_0]);
    assert_eq!(formats(&facts, &tied, FileType::NVFP4, &plain), [Q6_K, NVFP4]);
    let experts = Facts { expert_count: Some(8), ..Facts::default() };
    let values = [f32("token_embd.weight", &[256, 4]), f32("blk.0.attn_v.weight", &[256, 4])];
    assert_eq!(formats(&experts, &values, FileType::NVFP4, &plain), [Q6_K, NVFP4]);
    let falcon = Facts { architecture: "falcon".to_owned(), ..Facts::default() };
    assert_eq!(formats(&falcon, &tied, FileType::Q4_0, &plain), [Q8_0, Q4_0]);
    let output = Options::default().with_output_tensor_type(Some(Q5_K));
    assert_eq!(formats(&facts, &tied, FileType::Q4_0, &output), [Q5_K, Q4_0]);
    let pure = output.clone().with_pure(true);
    assert_eq!(formats(&facts, &tied, FileType::Q4_0, &pure), [Q4_0; 2]);

    let [embedding, query] = tied;
    let untied = [f32("output.weight", &[256, 4]), embedding, query];
    assert_eq!(formats(&facts, &untied, FileType::TQ2_0, &plain), [Q6_K, Q4_K, TQ2_0]);
    assert_eq!(formats(&facts, &untied, FileType::Q2_0, &plain), [Q6_K, Q4_K, Q2_0]);
    assert_eq!(formats(&facts, &untied, FileType::Q4_0, &output), [Q5_K, Q4_0, Q4_0]);
    assert_eq!(formats(&facts, &untied, FileType::Q4_0, &pure), [Q5_K, Q4_0, Q4_0]);
    let leave = pure.with_leave_output_tensor(true).with_token_embedding_type(Some(Q8_0));
    assert_eq!(chosen(&facts, &untied, FileType::Q4_0, &leave), [keep(), write(Q8_0), write(Q4_0)]);
    // A flag's format applies to a float file too, where there are no other exceptions.
    assert_eq!(formats(&facts, &untied, FileType::F16, &output), [Q5_K, F16, F16]);
    assert_eq!(chosen(&facts, &untied, FileType::F32, &plain), [keep(); 3]);
    let float = Options::default().with_output_tensor_type(Some(F32));
    assert_eq!(chosen(&facts, &untied, FileType::Q4_0, &float)[0], keep());
}

#[test]
fn a_format_that_a_flag_demands_has_no_fallback() {
    let options = Options::default().with_output_tensor_type(Some(Q6_K));
    let given = [f32("output.weight", &[96, 4])];
    let error = choose(&Facts::default(), &as_tensors(&given), FileType::Q4_0, &options).unwrap_err();
    assert!(matches!(error, Error::RowLength { weights: 96, format: Q6_K, .. }));
}

#[test]
fn the_first_rule_that_matches_a_name_decides() {
    let given = [
        f32("output.weight", &[256, 4]),
        f32("blk.0.attn_v.weight", &[256, 4]),
        f32("blk.1.attn_v.weight", &[256, 4]),
        f32("blk.1.ffn_down.weight", &[256, 4]),
    ];
    let options = rules(&[r"BLK\.[1-9]+\..*_V=q8_0", "attn_v=Q5_1", "down=Q4_K"]);
    assert_eq!(formats(&Facts::default(), &given, FileType::Q4_K_M, &options), [Q6_K, Q5_1, Q8_0, Q4_K]);
    // Named tensors do not count: the only attn_v left is the mix's first.
    let options = rules(&["blk.0=f16"]);
    let wanted = [Q6_K, F16, Q5_K, Q5_K];
    assert_eq!(formats(&Facts::default(), &given, FileType::Q3_K_L, &options), wanted);
    // In a float file they do nothing.
    assert_eq!(formats(&Facts::default(), &given, FileType::F16, &rules(&["attn_v=Q8_0"])), [F16; 4]);
    // Over --token-embedding-type they win in one case.
    let given = [f32("per_layer_token_embd.weight", &[256, 4]), f32("token_embd.weight", &[256, 4])];
    let options = rules(&["token_embd=q5_1"]).with_token_embedding_type(Some(Q8_0));
    assert_eq!(formats(&Facts::default(), &given, FileType::Q4_K_M, &options), [Q5_1, Q8_0]);
}

#[test]
fn counting_starts_with_the_first_tensor_that_is_not_named() {
    let given: Vec<Given> =
        (0..6).map(|layer| f32(&format!("blk.{layer}.attn_v.weight"), &[256, 4])).collect();
    let all = |options| formats(&Facts::default(), &given, FileType::Q4_K_S, &options);
    assert_eq!(all(Options::default()), [Q5_K, Q5_K, Q5_K, Q5_K, Q4_K, Q4_K]);
    assert_eq!(all(rules(&["blk.1=q8_0"])), [Q5_K, Q8_0, Q5_K, Q5_K, Q5_K, Q4_K]);
}

#[test]
fn a_malformed_rule_is_an_error() {
    let error = |rule: &str| rule.parse::<TensorRule>().unwrap_err();
    assert!(matches!(error("attn_v"), Error::TensorRule { rule } if rule == "attn_v"));
    assert!(matches!(error("=q8_0"), Error::TensorRule { .. }));
    assert!(matches!(error("attn_v="), Error::UnknownFormat { name } if name.is_empty()));
    assert!(matches!(error("attn_v=q9"), Error::UnknownFormat { name } if name == "q9"));
    // Split at the first sign: the rest is no format.
    assert!(matches!(error("a(?=b)=q8_0"), Error::Pattern { .. }));
    assert!(matches!(error("a=b=q8_0"), Error::UnknownFormat { name } if name == "b=q8_0"));
    for pattern in ["(?!a)", "(a)\\1", "["] {
        let error = error(&format!("{pattern}=q8_0"));
        assert!(matches!(&error, Error::Pattern { pattern: named, .. } if named == pattern), "{error}");
        assert!(error.to_string().contains(&format!("{pattern:?}")));
    }
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

#[test]
fn eight_experts_are_special() {
    use FileType::{IQ3_M, IQ3_S, IQ4_NL, IQ4_XS, Q2_K, Q3_K_L, Q3_K_M, Q3_K_S, Q4_K_M, Q4_K_S};
    let given = layers(16);
    let facts = Facts { expert_count: Some(8), block_count: Some(16), ..Facts::default() };
    for info in &FILE_TYPES {
        let file_type = info.file_type;
        if info.format.is_none_or(Format::is_float) {
            continue;
        }
        // NVFP4 is qmill's own and has no exceptions but the output.
        let expected = if file_type == FileType::NVFP4 { "4" } else { "8" };
        for part in ["attn_v", "attn_k"] {
            assert_eq!(column(&facts, &given, file_type, part), expected.repeat(16), "{file_type}");
        }
    }
    for file_type in [Q2_K, Q3_K_S, Q3_K_M, Q4_K_S, Q4_K_M, IQ3_S, IQ3_M, IQ4_NL, IQ4_XS] {
        assert_eq!(column(&facts, &given, file_type, "attn_output"), "5".repeat(16), "{file_type}");
    }
    assert_eq!(column(&facts, &given, Q3_K_L, "attn_output"), "3".repeat(16));
    assert_eq!(column(&facts, &given, FileType::Q6_K, "attn_output"), "6".repeat(16));
    assert_eq!(column(&facts, &given, IQ3_M, "ffn_down"), "4433433433433444");
    let dense = Facts { expert_count: None, ..facts };
    assert_eq!(column(&dense, &given, IQ3_M, "ffn_down"), "4433333333333333");
}

#[test]
fn experts_go_by_the_layer_in_the_name() {
    let given: Vec<Given> = [0, 0, 0, 7]
        .iter()
        .enumerate()
        .map(|(expert, layer)| f32(&format!("blk.{layer}.ffn_down.{expert}.weight"), &[256, 4]))
        .collect();
    let facts = Facts { expert_count: Some(4), block_count: Some(16), ..Facts::default() };
    assert_eq!(column(&facts, &given, FileType::Q4_K_S, "ffn_down"), "5554");
    let dense = Facts { expert_count: Some(1), ..facts.clone() };
    assert_eq!(column(&dense, &given, FileType::Q4_K_S, "ffn_down"), "5544");

    for name in ["ffn_down.weight", "blk.16.ffn_down.weight"] {
        let given = [f32(name, &[256, 4])];
        let error = choose(&facts, &as_tensors(&given), FileType::Q4_0, &Options::default()).unwrap_err();
        assert!(matches!(error, Error::NoLayer { layers: 16, .. }));
        assert!(error.to_string().starts_with(name));
    }
}

#[test]
fn falcon_has_rules_of_its_own() {
    let given = layers(16);
    let falcon = Facts { architecture: "falcon".to_owned(), block_count: Some(16), ..Facts::default() };
    let column = |file_type, part| column(&falcon, &given, file_type, part);
    assert_eq!(column(FileType::Q3_K_M, "ffn_down"), "5433433433433444");
    assert_eq!(column(FileType::Q3_K_L, "ffn_down"), "4".repeat(16));
    assert_eq!(column(FileType::Q4_K_M, "ffn_down"), "6544544544544555");
    assert_eq!(column(FileType::Q4_K_S, "ffn_down"), "4".repeat(16));
    assert_eq!(column(FileType::Q3_K_L, "attn_output"), "4".repeat(16));
    assert_eq!(column(FileType::Q3_K_M, "attn_output"), "3".repeat(16));
    assert_eq!(column(FileType::Q4_K_M, "attn_v"), "6644644644644666");
}

#[test]
fn large_models_spend_more_on_values() {
    let given = layers(2);
    let v = |architecture: &str, layers, heads_kv| {
        let facts = Facts {
            architecture: architecture.to_owned(),
            block_count: Some(layers),
            head_count: Some(8),
            head_count_kv: heads_kv,
            expert_count: None,
        };
        column(&facts, &given, FileType::Q2_K, "attn_v")
    };
    assert_eq!(v("llama", 80, Some(8)), "33");
    assert_eq!(v("llama", 80, None), "33");
    assert_eq!(v("llama", 80, Some(4)), "55");
    assert_eq!(v("llama", 79, Some(2)), "44");
    for (architecture, layers) in [("qwen2", 80), ("deci", 80), ("olmo", 80), ("jais2", 68)] {
        assert_eq!(v(architecture, layers, Some(8)), "55", "{architecture}");
    }
    assert_eq!(v("qwen3", 80, Some(0)), "33");
}

#[test]
fn mxfp4_is_for_experts() {
    let given = [
        f32("output.weight", &[256, 4]),
        f32("token_embd.weight", &[256, 4]),
        f32("blk.0.attn_k_b.weight", &[256, 4, 2]),
        f32("blk.0.ffn_down_exps.weight", &[256, 4, 2]),
        f32("blk.0.ffn_gate.weight", &[256, 4, 1]),
    ];
    let with = |architecture: &str| {
        let facts = Facts { architecture: architecture.to_owned(), ..Facts::default() };
        formats(&facts, &given, FileType::MXFP4_MOE, &Options::default())
    };
    assert_eq!(with("deepseek2"), [Q8_0, Q8_0, MXFP4, MXFP4, Q8_0]);
    assert_eq!(with("bailingmoe3"), [Q8_0, Q8_0, Q8_0, MXFP4, Q8_0]);
}

#[test]
fn missing_facts_are_noted_and_layers_counted() {
    assert_eq!(Facts::default().notes().len(), 3);
    let facts = Facts { architecture: "llama".to_owned(), head_count: Some(8), ..Facts::default() };
    assert_eq!(facts.notes(), ["no llama.block_count: layers are counted by the tensor names"]);
    let told = Facts { block_count: Some(16), ..facts.clone() };
    assert_eq!(told.notes(), [""; 0]);
    let given = layers(16);
    let by_name = column(&facts, &given, FileType::Q4_K_M, "ffn_down");
    assert_eq!(by_name, "6644644644644666");
    assert_eq!(column(&told, &given, FileType::Q4_K_M, "ffn_down"), by_name);
}

#[test]
fn a_type_of_short_blocks_takes_rows_that_the_other_does_not() {
    for info in &FILE_TYPES {
        let block =
            |file_type: FileType| file_type.info().format.map_or(1, |format| format.info().block_weights);
        match info.file_type.of_short_blocks() {
            Some(other) => {
                assert!(block(info.file_type) > 32 && block(other) == 32, "{}: {other}", info.name);
                assert!(other.info().format.unwrap().info().can_quantize(), "{}: {other}", info.name);
            }
            // Nothing stands in for Q1_0.
            None => assert!(block(info.file_type) <= 32 || info.file_type == FileType::Q1_0, "{}", info.name),
        }
    }
}
