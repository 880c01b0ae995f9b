//! Options, and tensors that keep their format.

use super::{Given, as_tensors, chosen, f32, formats, keep, rules, write};
use qmill::Error;
use qmill::Format::{F16, F32, NVFP4, Q2_0, Q4_0, Q4_K, Q5_1, Q5_K, Q6_K, Q8_0, TQ1_0, TQ2_0};
use qmill::error::RequestFault;
use qmill::mix::{Facts, FileType, Options, TensorRule, choose};

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
    // The format of an option applies to a float file too, which has no other exceptions.
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
    // Tensors with a rule do not count: the other attn_v is the first of the mix.
    let options = rules(&["blk.0=f16"]);
    let wanted = [Q6_K, F16, Q5_K, Q5_K];
    assert_eq!(formats(&Facts::default(), &given, FileType::Q3_K_L, &options), wanted);
    // In a float file rules have no effect.
    assert_eq!(formats(&Facts::default(), &given, FileType::F16, &rules(&["attn_v=Q8_0"])), [F16; 4]);
    // In one case a rule overrides --token-embedding-type.
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
    assert!(matches!(error("attn_v"), Error::Request(RequestFault::TensorRule { rule }) if rule == "attn_v"));
    assert!(matches!(error("=q8_0"), Error::Request(RequestFault::TensorRule { .. })));
    assert!(matches!(error("attn_v="), Error::UnknownFormat { name } if name.is_empty()));
    assert!(matches!(error("attn_v=q9"), Error::UnknownFormat { name } if name == "q9"));
    // Split at the first sign, so the rest is not a format.
    assert!(matches!(error("a(?=b)=q8_0"), Error::Request(RequestFault::Pattern { .. })));
    assert!(matches!(error("a=b=q8_0"), Error::UnknownFormat { name } if name == "b=q8_0"));
    for pattern in ["(?!a)", "(a)\\1", "["] {
        let error = error(&format!("{pattern}=q8_0"));
        let Error::Request(RequestFault::Pattern { pattern: named, .. }) = &error else { panic!("{error}") };
        assert_eq!(named, pattern);
        assert!(error.to_string().contains(&format!("{pattern:?}")));
    }
}
