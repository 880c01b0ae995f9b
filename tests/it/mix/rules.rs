//! The exceptions of file types and the replacements of formats.

use super::{Given, as_tensors, chosen, column, f32, fall_back, formats, layers, rules, write};
use qmill::Error;
use qmill::Format::{
    self, F16, IQ2_XXS, IQ3_S, IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q2_0, Q2_K, Q3_K, Q4_0, Q4_K, Q5_0, Q5_1, Q5_K,
    Q6_K, Q8_0, TQ1_0, TQ2_0,
};
use qmill::error::RequestFault;
use qmill::mix::{Choice, FILE_TYPES, Facts, FileType, Options, block_count, choose, file_order};

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
    // The replacement may be the format of the source.
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
fn eight_experts_are_special() {
    use FileType::{IQ3_M, IQ3_S, IQ4_NL, IQ4_XS, Q2_K, Q3_K_L, Q3_K_M, Q3_K_S, Q4_K_M, Q4_K_S};
    let given = layers(16);
    let facts = Facts { expert_count: Some(8), block_count: Some(16), ..Facts::default() };
    for info in &FILE_TYPES {
        let file_type = info.file_type;
        if info.format.is_none_or(Format::is_float) {
            continue;
        }
        // NVFP4 is qmill's own file type, with no exceptions but the output matrix.
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
        assert!(matches!(error, Error::Request(RequestFault::NoLayer { layers: 16, .. })));
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
