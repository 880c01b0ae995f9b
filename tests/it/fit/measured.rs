//! Sensitivities of the model itself.

use super::{like, measured, request};
use qmill::error::FitFault;
use qmill::fit::{Fit, Probe, Sensitivity, State};
use qmill::gguf::Model;
use qmill::gpu::Precision;
use qmill::llm::LoadOptions;
use qmill::mix::FileType;
use qmill::{Device, Error};
use std::ops::ControlFlow;

/// A seeded model of a few layers, whose rows suit every format.
fn model() -> Model {
    Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/llm/llama.gguf")).unwrap()
}

fn load() -> LoadOptions {
    LoadOptions::default().with_device(Device::Cpu).with_precision(Precision::Exact)
}

fn run(fit: &Fit, state: &mut State, probe: &Probe) -> qmill::Result<Vec<String>> {
    let mut names = Vec::new();
    fit.measure_sensitivities(state, &load(), probe, &mut |progress| {
        names.push(progress.name.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

#[test]
fn sensitivities_are_measured_resumed_and_blended() {
    let model = model();
    let options = like(FileType::Q4_K_M).with_sensitivity(Sensitivity::Measured);
    let fit = Fit::new(&model, &request(), &options).unwrap();
    let mut state = measured(&fit, &model).unwrap();
    assert!(matches!(fit.solve(&state), Err(Error::Fit(FitFault::NoSensitivities))));
    // Stopped in the middle, and resumed.
    let stopped = fit.measure_sensitivities(&mut state, &load(), &Probe::new(), &mut |progress| {
        if progress.done == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(state.sensitivities().len(), 3);
    let rest = run(&fit, &mut state, &Probe::new()).unwrap();
    let mut whole = measured(&fit, &model).unwrap();
    let all = run(&fit, &mut whole, &Probe::new()).unwrap();
    // The model as it is, and each tensor.
    assert_eq!((all[0].as_str(), all.len() - 3), ("the model as it is", rest.len()));
    assert_eq!(state, whole);
    assert!(state.sensitivities().values().all(|&sensitivity| sensitivity > 0.0));
    assert!(run(&fit, &mut state, &Probe::new()).unwrap().is_empty());
    let fitted = fit.solve(&state).unwrap();
    assert!(fitted.loss <= fitted.mix_loss);
    // What was measured moves sensitivities away from the table, half-way.
    let table = Fit::new(&model, &request(), &like(FileType::Q4_K_M)).unwrap().solve(&state).unwrap();
    let ratio = |i: usize| fitted.tensors[i].sensitivity / table.tensors[i].sensitivity;
    assert!((0..fitted.tensors.len()).any(|i| (ratio(i) - 1.0).abs() > 0.1));
}

#[test]
fn a_text_is_another_measurement() {
    let model = model();
    let options = like(FileType::Q4_K_M).with_sensitivity(Sensitivity::Measured);
    let fit = Fit::new(&model, &request(), &options).unwrap();
    let mut state = measured(&fit, &model).unwrap();
    run(&fit, &mut state, &Probe::new()).unwrap();
    let random = state.clone();
    let text: Vec<u32> = (0..2000).map(|i| i * 7 % 13).collect();
    run(&fit, &mut state, &Probe::new().with_text(text.clone())).unwrap();
    assert!(state.method().starts_with("text") && random.method().starts_with("random tokens"));
    assert_ne!(state.sensitivities(), random.sensitivities());
    let short = run(&fit, &mut state, &Probe::new().with_text(text[..5].to_vec())).unwrap_err();
    assert!(matches!(short, Error::Fit(FitFault::ShortText { found: 5, .. })), "{short}");
}
