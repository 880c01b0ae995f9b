//! The types that models get.

use super::{fitted, like, request};
use crate::support::{ModelFile, TINY_SHAKESPEARE, gaussian, quantized};
use qmill::error::{FitFault, RequestFault};
use qmill::fit::{Fit, Fitted, Options, Sensitivity, SensitivityRule, Target, recipe};
use qmill::gguf::Model;
use qmill::mix::{self, FileType, TensorRule};
use qmill::stream::{Plan, Request};
use qmill::{Error, Format};

fn tiny() -> Model {
    Model::open(TINY_SHAKESPEARE).unwrap()
}

fn format_of(fitted: &Fitted, name: &str) -> Format {
    fitted.tensors.iter().find(|tensor| tensor.name == name).unwrap().format
}

/// A Llama with rows of this length.
fn with_rows(row: u64) -> Model {
    let mut file = ModelFile::llama()
        .with_gaussian("token_embd.weight", &[row, 40], Format::F16)
        .with_gaussian("output.weight", &[row, 40], Format::F16);
    for layer in 0..2 {
        for role in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
            file = file.with_gaussian(&format!("blk.{layer}.{role}.weight"), &[row, 24], Format::F16);
        }
    }
    file.open()
}

#[test]
fn a_file_like_a_mix_is_never_larger_and_never_expected_to_be_worse() {
    let tiny = tiny();
    let models = [256, 576, 640, 1152, 2880].map(with_rows);
    for model in std::iter::once(&tiny).chain(&models) {
        for file_type in [
            FileType::Q2_K,
            FileType::Q3_K_M,
            FileType::Q4_0,
            FileType::Q4_K_S,
            FileType::Q4_K_M,
            FileType::Q5_K_M,
            FileType::Q6_K,
            FileType::IQ4_XS,
        ] {
            let found = fitted(model, &request(), &like(file_type)).unwrap();
            let mix = Plan::new(model, &Request::new(file_type)).unwrap();
            assert_eq!((found.mix, found.mix_bytes), (file_type, mix.file_bytes()));
            assert!(found.plan.file_bytes() <= mix.file_bytes(), "{file_type}");
            assert!(found.loss <= found.mix_loss, "{file_type}: {} {}", found.loss, found.mix_loss);
            // What was added up is what the plan has.
            for tensor in &found.tensors {
                let planned = found.plan.tensors().find(|planned| planned.to.name() == tensor.name).unwrap();
                assert_eq!(planned.to.tensor_type().format(), Some(tensor.format), "{}", tensor.name);
                assert_eq!(planned.fallback(), None);
            }
            let sensitivities: f64 = found.tensors.iter().map(|tensor| tensor.sensitivity).sum();
            assert!((sensitivities - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn sizes_are_exact_limits_and_larger_ones_lose_less() {
    let model = tiny();
    let mut before = f64::INFINITY;
    for kilobytes in (1300..5200).step_by(300) {
        let target = Target::Bytes(kilobytes * 1000);
        let found = fitted(&model, &request(), &Options::new(target)).unwrap();
        assert!(found.plan.file_bytes() <= kilobytes * 1000, "{kilobytes}");
        assert!(found.loss <= before, "{kilobytes}");
        before = found.loss;
    }
    let found = fitted(&model, &request(), &Options::new(Target::BitsPerWeight(4.85))).unwrap();
    let (weights, bytes) = found
        .plan
        .tensors()
        .fold((0, 0), |(weights, bytes), tensor| (weights + tensor.to.weights(), bytes + tensor.to.bytes()));
    let bits = bytes as f64 * 8.0 / weights as f64;
    assert!(bits <= 4.85 && bits > 4.80, "{bits}");
}

#[test]
fn impossible_targets_say_what_is_possible() {
    let model = tiny();
    let error = |target| fitted(&model, &request(), &Options::new(target)).unwrap_err();
    let Error::Fit(FitFault::TooSmall { target_bytes: 1_000_000, least_bytes }) =
        error(Target::Bytes(1_000_000))
    else {
        panic!("too small");
    };
    let least = fitted(&model, &request(), &Options::new(Target::Bytes(least_bytes))).unwrap();
    assert_eq!(least.plan.file_bytes(), least_bytes);
    let fault = |error| match error {
        Error::Fit(fault) => fault,
        other => panic!("{other}"),
    };
    assert!(matches!(fault(error(Target::Bytes(1 << 30))), FitFault::TooLarge { .. }));
    assert!(matches!(fault(error(Target::Like(FileType::COPY))), FitFault::Like { .. }));
    assert!(matches!(fault(error(Target::Like(FileType::F16))), FitFault::Like { .. }));
    assert!(matches!(error(Target::Like(FileType::IQ3_S)), Error::NotEncoded { .. }));
    for (text, bytes) in [("4.2GiB", 4_509_715_660), ("4.2GB", 4_200_000_000), ("4200MB", 4_200_000_000)] {
        assert_eq!(Target::parse_bytes(text).unwrap(), Target::Bytes(bytes));
    }
    for text in ["4G", "", "GB", "-1GB", "1e400GB", "0", "nanGB"] {
        assert!(matches!(Target::parse_bytes(text), Err(Error::Fit(FitFault::Size { .. }))), "{text}");
    }
    for text in ["0", "-1", "33", "x", "nan"] {
        assert!(Target::parse_bits(text).is_err(), "{text}");
    }
}

#[test]
fn pins_and_named_types_are_kept() {
    let model = tiny();
    let rules = vec![TensorRule::named("blk.1.ffn_up.weight", Format::Q8_0)];
    let mix = mix::Options::default().with_tensor_types(rules).with_output_tensor_type(Some(Format::Q5_1));
    let found = fitted(&model, &request().with_mix(mix), &like(FileType::Q4_K_M)).unwrap();
    assert_eq!(format_of(&found, "blk.1.ffn_up.weight"), Format::Q8_0);
    assert_eq!(format_of(&found, "output.weight"), Format::Q5_1);
    assert_eq!(found.tensors.iter().filter(|tensor| tensor.is_pinned).count(), 2);
    // The size is that of the fixed mix without them.
    let mix = Plan::new(&model, &Request::new(FileType::Q4_K_M)).unwrap();
    assert_eq!(found.max_bytes, mix.file_bytes());
    assert!(found.plan.file_bytes() <= found.max_bytes);
    let types = vec![Format::Q4_0, Format::Q8_0];
    let options = like(FileType::Q5_K_M).with_types(Some(types.clone()));
    let found = fitted(&model, &request(), &options).unwrap();
    assert!(found.tensors.iter().all(|tensor| types.contains(&tensor.format)));
    let options = like(FileType::Q5_K_M).with_types(Some(vec![Format::IQ2_XXS]));
    assert!(matches!(fitted(&model, &request(), &options), Err(Error::NotEncoded { .. })));
}

#[test]
fn a_recipe_makes_the_same_plan() {
    for model in [tiny(), with_rows(576)] {
        let found = fitted(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
        let rules: Vec<TensorRule> =
            recipe(&found).split_whitespace().map(|rule| rule.parse().unwrap()).collect();
        assert_eq!(rules.len(), found.tensors.len());
        let mix = mix::Options::default().with_tensor_types(rules);
        let plan = Plan::new(&model, &Request::new(found.mix).with_mix(mix)).unwrap();
        let types = |plan: &Plan| plan.tensors().map(|tensor| tensor.to.tensor_type()).collect::<Vec<_>>();
        assert_eq!(types(&plan), types(&found.plan));
    }
}

#[test]
fn a_plan_reads_no_weights_and_is_near_what_is_measured() {
    let model = tiny();
    let fit = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    let planned = fit.plan().unwrap();
    let found = fitted(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    let ratio = |fitted: &Fitted| fitted.loss / fitted.mix_loss;
    assert!((ratio(&planned) - ratio(&found)).abs() < 0.1, "{} {}", ratio(&planned), ratio(&found));
}

#[test]
fn rules_of_sensitivity_move_bytes_to_what_they_name() {
    let model = tiny();
    let rules = "# a comment\n\nblk\\.2\\.ffn_up 1000\nffn_up   0\n";
    let rules = SensitivityRule::parse_all(rules, "rules".as_ref()).unwrap();
    let options = like(FileType::Q4_K_M).with_sensitivity(Sensitivity::Rules(rules));
    let found = fitted(&model, &request(), &options).unwrap();
    assert_eq!(format_of(&found, "blk.2.ffn_up.weight"), Format::Q8_0);
    assert_eq!(format_of(&found, "blk.1.ffn_up.weight"), Format::Q3_K);
    for (text, line) in [("ffn_up", 1), ("a 1\nb x", 2), ("a 1\n\n( 2", 3), ("a -1", 1), ("a inf", 1)] {
        let error = SensitivityRule::parse_all(text, "rules".as_ref()).unwrap_err().to_string();
        assert!(error.contains(&format!("rules: line {line}:")), "{error}");
    }
    let options = like(FileType::Q4_K_M).with_sensitivity(Sensitivity::Measured);
    let error = fitted(&model, &request(), &options).unwrap_err();
    assert!(matches!(error, Error::Fit(FitFault::NoSensitivities)), "{error}");
}

/// A mixture of 8 experts, of which a token goes to 2.
fn experts() -> Model {
    let mut file = ModelFile::llama();
    file.metadata.set("llama.expert_count", 8u32);
    file.metadata.set("llama.expert_used_count", 2u32);
    file = file.with_gaussian("token_embd.weight", &[256, 64], Format::F16);
    file = file.with_gaussian("output.weight", &[256, 64], Format::F16);
    for layer in 0..2 {
        for role in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            file = file.with_gaussian(&format!("blk.{layer}.{role}.weight"), &[256, 64], Format::F16);
        }
        for role in ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"] {
            file = file.with_gaussian(&format!("blk.{layer}.{role}.weight"), &[256, 32, 8], Format::F16);
        }
    }
    file.open()
}

#[test]
fn active_bytes_of_experts_are_limited() {
    let model = experts();
    let active = |limit| {
        let options = like(FileType::Q4_K_S).with_active_limit(limit);
        let found = fitted(&model, &request(), &options).unwrap();
        assert!(found.plan.file_bytes() <= found.mix_bytes);
        // The fixed mix is within a limit of at least its own bytes.
        assert!(limit.is_some_and(|limit| limit < 1.0) || found.loss <= found.mix_loss);
        found.active_bytes.map(|(active, mix)| active as f64 / mix as f64)
    };
    assert_eq!(active(None), None);
    let free = active(Some(10.0)).unwrap();
    for part in [1.0, 0.98, 0.95, 0.9] {
        let found = active(Some(free * part)).unwrap();
        assert!(found <= free * part && found > 0.6 * free, "{free} {part} {found}");
    }
    let options = like(FileType::Q4_K_S).with_active_limit(Some(0.1));
    let error = fitted(&model, &request(), &options).unwrap_err();
    assert!(matches!(error, Error::Fit(FitFault::ActiveBytes { .. })), "{error}");
}

#[test]
fn an_output_that_is_left_as_it_is_leaves_the_embedding_untied() {
    let model = with_rows(256);
    let share = |leave| {
        let mix = mix::Options::default().with_leave_output_tensor(leave);
        let found = fitted(&model, &request().with_mix(mix), &like(FileType::Q4_K_M)).unwrap();
        let embedding = found.tensors.iter().find(|tensor| tensor.name == "token_embd.weight").unwrap();
        assert_eq!(found.tensors.iter().any(|tensor| tensor.name == "output.weight"), !leave);
        embedding.sensitivity
    };
    assert!((share(false) - 0.025).abs() < 1e-12 && (share(true) - 0.025).abs() < 1e-12);
}

#[test]
fn quantized_tensors_stay_or_compete_with_others() {
    let weights = gaussian(3, 256 * 64);
    let on = |format| quantized(format, &weights);
    let mut file = ModelFile::llama()
        .with_bytes("blk.0.attn_v.weight", &[256, 64], Format::IQ4_XS, on(Format::IQ4_XS))
        .with_bytes("blk.0.ffn_up.weight", &[256, 64], Format::Q5_0, on(Format::Q5_0));
    for role in ["attn_q", "ffn_gate", "ffn_down"] {
        file = file.with_gaussian(&format!("blk.0.{role}.weight"), &[256, 64], Format::F16);
    }
    let model = file.open();
    let allowing = request().with_allow_requantize(true);
    let found = fitted(&model, &allowing, &like(FileType::Q5_K_M)).unwrap();
    for (name, format) in [("blk.0.attn_v.weight", Format::IQ4_XS), ("blk.0.ffn_up.weight", Format::Q5_0)] {
        let tensor = found.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!((tensor.format, tensor.error), (format, 0.0), "{name}");
    }
    // Without leave to quantize again, the mix must keep them, and nothing is chosen for them.
    let rules = ["blk.0.attn_v.weight=IQ4_XS", "blk.0.ffn_up.weight=Q5_0"].map(|rule| rule.parse().unwrap());
    let mix = mix::Options::default().with_tensor_types(rules.to_vec());
    let found = fitted(&model, &request().with_mix(mix), &like(FileType::Q4_K_M)).unwrap();
    assert_eq!(found.tensors.len(), 3);
    assert!(matches!(
        fitted(&model, &request(), &like(FileType::Q4_K_M)),
        Err(Error::Request(RequestFault::Requantize { .. }))
    ));
}
