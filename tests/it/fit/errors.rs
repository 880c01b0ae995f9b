//! Errors that are measured, and the file that keeps them.

use super::{like, measured, request};
use crate::support::{ModelFile, TINY_SHAKESPEARE, dequantized, gaussian, quantized, tensor_bytes};
use qmill::error::FitFault;
use qmill::fit::{Fit, Sensitivity, SensitivityRule, State, gaussian_error, lattice, lattices};
use qmill::gguf::Model;
use qmill::gpu::DeviceChoice;
use qmill::mix::FileType;
use qmill::stream::Plan;
use qmill::{Device, Error, FORMATS, Format};
use std::ops::ControlFlow;

/// Σ(w-ŵ)²/Σw², in f64.
fn error(format: Format, weights: &[f32]) -> f64 {
    let decoded = dequantized(format, &quantized(format, weights));
    let square = |x: f64| x * x;
    let errors: f64 = weights.iter().zip(&decoded).map(|(&w, &d)| square(f64::from(w) - f64::from(d))).sum();
    errors / weights.iter().map(|&w| square(f64::from(w))).sum::<f64>()
}

#[test]
fn gaussian_errors_are_as_measured() {
    let weights = gaussian(5, 1 << 20);
    let wrong: Vec<_> = FORMATS
        .iter()
        .filter_map(|info| {
            let known = gaussian_error(info.format);
            assert_eq!(known.is_some(), info.can_quantize(), "{}", info.name);
            let (known, found) = (known?, error(info.format, &weights));
            ((found - known).abs() > 0.03 * found).then_some((info.name, known, found))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn errors_are_those_of_the_whole_tensor_or_near_it() {
    // The first is measured whole, of the second a quarter.
    let file = ModelFile::llama()
        .with_gaussian("blk.0.attn_v.weight", &[256, 64], Format::F16)
        .with_gaussian("blk.1.ffn_down.weight", &[512, 4096], Format::F32)
        .with_gaussian("output.weight", &[256, 12], Format::BF16);
    let model = file.open();
    let fit = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    let state = measured(&fit, &model).unwrap();
    let whole = |name: &str, from| dequantized(from, &tensor_bytes(&model, name));
    for (name, from, limit) in
        [("blk.0.attn_v.weight", Format::F16, 1e-5), ("blk.1.ffn_down.weight", Format::F32, 0.02)]
    {
        let weights = whole(name, from);
        for format in [Format::Q3_K, Format::IQ4_XS, Format::Q4_K, Format::Q5_K, Format::Q6_K, Format::Q8_0] {
            let (found, expected) = (state.error(name, format).unwrap(), error(format, &weights));
            assert!((found - expected).abs() < limit * expected, "{name} {format}: {found} {expected}");
        }
    }
}

#[test]
fn every_device_and_number_of_threads_measures_the_same() {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let fit = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    let one = {
        let mut state = State::new(&model).unwrap();
        let one = std::num::NonZeroUsize::new(1);
        fit.measure(&mut state, &Device::Cpu, one, &mut |_| ControlFlow::Continue(())).unwrap();
        state
    };
    assert_eq!(measured(&fit, &model).unwrap(), one);
    let Ok(device @ Device::Gpu(_)) = Device::open(&DeviceChoice::Gpu, None) else {
        eprintln!("SKIPPED: errors on a GPU: there is none");
        return;
    };
    let mut state = State::new(&model).unwrap();
    fit.measure(&mut state, &device, None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(state, one);
}

#[test]
fn a_state_is_kept_resumed_and_refused_for_another_model() {
    let file = |name: &str| {
        let file = ModelFile::llama().with_gaussian(name, &[256, 8], Format::F16);
        file.with_gaussian("output.weight", &[256, 12], Format::F16)
    };
    let (model, other) = (file("blk.0.attn_v.weight").open(), file("blk.0.attn_k.weight").open());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    assert_eq!(State::load(&path, &model).unwrap(), State::new(&model).unwrap());
    let fit = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    // Stopped before the second tensor.
    let mut state = State::new(&model).unwrap();
    let stopped = fit.measure(&mut state, &Device::Cpu, None, &mut |progress| {
        if progress.done == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(state.errors().len(), 1);
    assert!(matches!(fit.solve(&state), Err(Error::Fit(FitFault::NotMeasured { .. }))));
    state.save(&path).unwrap();
    let mut state = State::load(&path, &model).unwrap();
    let mut visited = 0;
    let progress = &mut |_: &qmill::fit::MeasureProgress| {
        visited += 1;
        ControlFlow::Continue(())
    };
    fit.measure(&mut state, &Device::Cpu, None, progress).unwrap();
    assert_eq!(visited, 1);
    state.save(&path).unwrap();
    assert_eq!(State::load(&path, &model).unwrap(), measured(&fit, &model).unwrap());
    let refused = State::load(&path, &other).unwrap_err().to_string();
    assert!(refused.contains("another model"), "{refused}");
    for (text, expected) in
        [("{", "no JSON"), ("{}", "no file of measured errors"), ("{\"qmill_fit_state\": 9}", "version 9")]
    {
        std::fs::write(&path, text).unwrap();
        let refused = State::load(&path, &model).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn weights_on_a_lattice_are_found_and_keep_their_type() {
    let weights = gaussian(3, 256 * 64);
    let on = |format| dequantized(format, &quantized(format, &weights));
    for format in [Format::Q4_0, Format::Q8_0, Format::MXFP4, Format::TQ2_0] {
        let file = ModelFile::llama()
            .with("blk.0.attn_v.weight", &[256, 64], Format::F32, &on(format))
            .with_gaussian("blk.0.ffn_up.weight", &[256, 64], Format::F32)
            .with_gaussian("blk.0.ffn_down.weight", &[256, 64], Format::F32)
            .with_gaussian("output.weight", &[256, 64], Format::F32);
        let model = file.open();
        let fit = Fit::new(&model, &request(), &like(FileType::Q5_K_M)).unwrap();
        let fitted = fit.solve(&measured(&fit, &model).unwrap()).unwrap();
        let tensor = fitted.tensors.iter().find(|tensor| tensor.name == "blk.0.attn_v.weight").unwrap();
        assert_eq!(tensor.lattice, Some(format));
        // Of those with fewer bytes than the usual types, nothing is better.
        assert!(tensor.format == format || format == Format::Q8_0, "{format}: {}", tensor.format);
        assert!(fitted.tensors.iter().filter(|tensor| tensor.lattice.is_some()).count() == 1);
        let plan = Plan::new(&model, &request()).unwrap();
        assert_eq!(lattices(&model, &plan).unwrap(), [("blk.0.attn_v.weight".to_owned(), format)]);
        assert!(!lattice(format, error(format, &weights)));
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let mut weights = gaussian(1, 256 * 16);
    weights[256 * 3 + 5] = f32::NAN;
    let file = ModelFile::llama().with_bytes(
        "blk.0.attn_v.weight",
        &[256, 16],
        Format::F32,
        bytemuck::cast_slice(&weights).to_vec(),
    );
    let model = file.open();
    let fit = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    let error = measured(&fit, &model).unwrap_err();
    assert!(matches!(error, Error::NotFinite { row: 3, column: 5, .. }), "{error}");
}

#[test]
fn weights_that_no_format_can_hold_are_an_error_like_any_other() {
    let huge = vec![1e30; 256 * 16];
    let file = ModelFile::llama().with("blk.0.attn_v.weight", &[256, 16], Format::F32, &huge).with_gaussian(
        "output.weight",
        &[256, 16],
        Format::F32,
    );
    let model = file.open();
    let rules = SensitivityRule::parse_all("attn_v 0", "rules".as_ref()).unwrap();
    let options = like(FileType::Q4_K_M).with_sensitivity(Sensitivity::Rules(rules));
    for options in [options, like(FileType::Q4_K_M)] {
        let fit = Fit::new(&model, &request(), &options).unwrap();
        let state = measured(&fit, &model).unwrap();
        assert!(state.error("blk.0.attn_v.weight", Format::Q4_K).unwrap() > 1.0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        state.save(&path).unwrap();
        assert_eq!(State::load(&path, &model).unwrap(), state);
        let fitted = fit.solve(&state).unwrap();
        assert!(fitted.loss.is_finite() && fitted.loss <= fitted.mix_loss);
    }
}

#[test]
fn a_state_serves_the_model_without_some_layers_too() {
    let mut file = ModelFile::llama().with_gaussian("output.weight", &[256, 16], Format::F32);
    for layer in 0..3 {
        file = file.with_gaussian(&format!("blk.{layer}.attn_v.weight"), &[256, 64 << layer], Format::F32);
    }
    let model = file.open();
    let whole = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap();
    let state = measured(&whole, &model).unwrap();
    let pruned = request().with_prune_layers([0].into());
    let pruned = Fit::new(&model, &pruned, &like(FileType::Q4_K_M)).unwrap();
    let mut rest = State::new(&model).unwrap();
    pruned.measure(&mut rest, &Device::Cpu, None, &mut |_| ControlFlow::Continue(())).unwrap();
    // Names are those of the source, so the errors are those of the same weights.
    assert_eq!(
        rest.errors().keys().collect::<Vec<_>>(),
        ["blk.1.attn_v.weight", "blk.2.attn_v.weight", "output.weight"]
    );
    for (name, errors) in rest.errors() {
        for (&format, &error) in errors {
            assert_eq!(state.error(name, format).unwrap_or(error), error, "{name} {format}");
        }
    }
    let fitted = pruned.solve(&rest).unwrap();
    // There they have new names.
    let tensor = fitted.tensors.iter().find(|tensor| tensor.name == "blk.0.attn_v.weight").unwrap();
    assert_eq!(tensor.error, rest.error("blk.1.attn_v.weight", tensor.format).unwrap());
}
