//! Whole models on the GPU: the same files, and failures of the device midway.

use super::{another_device, formats, gpu};
use crate::stream::{Memory, least_memory_bytes, pure};
use crate::support::{ModelFile, TINY_SHAKESPEARE};
use qmill::gguf::Model;
use qmill::mix::{FILE_TYPES, FileType};
use qmill::stream::{Plan, Progress, Report, Request, Resources, Verify};
use qmill::{Device, Error, Format, Gpu, Result};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

fn on(device: Device, memory_bytes: u64) -> Resources {
    Resources::default().with_device(device).with_memory_bytes(memory_bytes)
}

/// Writes the file for `request`; `progress` is called for every batch of rows.
fn write(
    model: &Model,
    request: &Request,
    resources: &Resources,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(Vec<u8>, Report)> {
    let memory = Memory::default();
    let plan = Plan::new(model, request)?;
    let report = plan.write(model, |_| Ok(memory.clone()), resources, &mut |told| {
        progress(told);
        ControlFlow::Continue(())
    })?;
    Ok((memory.0.take(), report))
}

fn trained() -> Model {
    Model::open(TINY_SHAKESPEARE).unwrap()
}

/// A Llama with a tensor of each source, and rows that are whole blocks of every format.
fn mixed() -> Model {
    ModelFile::llama()
        .with_gaussian("token_embd.weight", &[512, 300], Format::BF16)
        .with_gaussian("blk.0.attn_v.weight", &[256, 77], Format::F32)
        .with_gaussian("blk.0.ffn_down.weight", &[768, 33], Format::F16)
        .with_gaussian("blk.1.attn_v.weight", &[256, 5], Format::Q8_0)
        .with_gaussian("blk.1.ffn_down.weight", &[768, 33], Format::Q4_K)
        .with_gaussian("output_norm.weight", &[512], Format::F32)
        .open()
}

#[test]
fn a_gpu_writes_the_same_files() {
    let Some(gpu) = gpu() else { return };
    let is_made = |format: Format| format.info().can_quantize() && formats().contains(&format);
    let types = FILE_TYPES.iter().filter(|info| info.format.is_none_or(is_made));
    for file_type in types.map(|info| info.file_type) {
        for model in [trained(), mixed()] {
            let request = Request::new(file_type).with_allow_requantize(true);
            let (expected, _) = write(&model, &request, &Resources::default(), &mut |_| ()).unwrap();
            for memory_bytes in [256 << 20, 1 << 20] {
                let device = Device::Gpu(gpu.clone());
                let (found, report) =
                    write(&model, &request, &on(device, memory_bytes), &mut |_| ()).unwrap();
                assert!(found == expected, "{file_type} with {memory_bytes} bytes of memory");
                assert_eq!(report.given_up, None);
            }
        }
    }
}

#[test]
fn the_least_memory_is_enough_on_a_gpu_too() {
    let Some(gpu) = gpu() else { return };
    let model = mixed();
    let request = pure(FileType::Q8_0);
    let least = least_memory_bytes(&model, &Plan::new(&model, &request).unwrap());
    let (expected, _) = write(&model, &request, &Resources::default(), &mut |_| ()).unwrap();
    let (found, _) = write(&model, &request, &on(Device::Gpu(gpu.clone()), least), &mut |_| ()).unwrap();
    assert!(found == expected);
    let error = write(&model, &request, &on(Device::Gpu(gpu.clone()), least - 1), &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

#[test]
fn a_device_lost_midway_is_given_up_and_the_file_is_right() {
    // A host's device, whose loss only failing calls show, and qmill's own.
    let host = || another_device().map(|(device, queue)| Gpu::from_device(device, queue).unwrap());
    let own = || {
        let name = gpu()?.device().adapter_info().name;
        Some(Gpu::open(&qmill::gpu::DeviceChoice::Name(name), None).unwrap())
    };
    let model = trained();
    let request = Request::new(FileType::Q8_0);
    let (expected, _) = write(&model, &request, &Resources::default(), &mut |_| ()).unwrap();
    for lost_after in [0, 1, 7] {
        for gpu in [host(), own()] {
            let Some(gpu) = gpu else { return };
            if lost_after == 0 {
                gpu.device().destroy();
            }
            let mut batches = 0;
            let (found, report) =
                write(&model, &request, &on(Device::Gpu(gpu.clone()), 4 << 20), &mut |_| {
                    batches += 1;
                    if batches == lost_after {
                        gpu.device().destroy();
                    }
                })
                .unwrap();
            assert!(found == expected, "lost after {lost_after} batches");
            assert!(report.given_up.is_some(), "lost after {lost_after} batches");
        }
    }
}

#[test]
fn a_panic_in_the_middle_ends_the_run() {
    let Some((device, queue)) = another_device() else { return };
    let rewrite = |name: &str, text: String| {
        assert!(!name.starts_with("quantize"), "a planted panic");
        text
    };
    let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
    let request = Request::new(FileType::Q8_0);
    let run = || write(&trained(), &request, &on(Device::Gpu(gpu), 4 << 20), &mut |_| ());
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}

#[test]
fn verify_finds_a_wrong_byte_with_row_and_column() {
    let Some((device, queue)) = another_device() else { return };
    // Block 700 gets a wrong code.
    let rewrite = |_: &str, text: String| {
        text.replace(
            "blocks[at + 8u] = before;",
            "blocks[at + 8u] = before ^ select(0u, 0x100u, block == 700u);",
        )
    };
    let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
    let model = ModelFile::llama()
        .with_gaussian("output.weight", &[256, 8], Format::F16)
        .with_gaussian("token_embd.weight", &[256, 300], Format::F16)
        .open();
    let request = Request::new(FileType::Q8_0).with_verify(Verify::All);
    let error = write(&model, &request, &on(Device::Gpu(gpu), 256 << 20), &mut |_| ()).unwrap_err();
    match error {
        // Block 700 of 32 weights, in rows of 8 blocks.
        Error::Differs { ref tensor, row: 87, column: 128, format: Format::Q8_0, .. } => {
            assert_eq!(tensor, "token_embd.weight");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn verify_reports_how_much_it_compared() {
    let Some(gpu) = gpu() else { return };
    let model = trained();
    let quantized = |verify| {
        let request = Request::new(FileType::Q8_0).with_verify(verify);
        write(&model, &request, &on(Device::Gpu(gpu.clone()), 64 << 20), &mut |_| ()).unwrap().1
    };
    let converted = model.tensors().filter(|tensor| tensor.info.tensor_type().format() == Some(Format::F16));
    let converted: u64 = converted.map(|tensor| tensor.info.weights()).sum();
    assert_eq!(quantized(Verify::Off).verified_weights, 0);
    assert_eq!(quantized(Verify::All).verified_weights, converted);
    let sampled = quantized(Verify::Sample).verified_weights;
    assert!(sampled > converted / 17 && sampled < converted / 4, "{sampled} of {converted}");
}

#[test]
fn a_device_of_small_limits_gets_small_chunks() {
    let Some(gpu) = gpu() else { return };
    let name = gpu.device().adapter_info().name;
    let adapter =
        qmill::gpu::adapters().into_iter().find(|adapter| adapter.handle.get_info().name == name).unwrap();
    let model = mixed();
    let request = Request::new(FileType::Q4_K_M).with_allow_requantize(true);
    let (expected, _) = write(&model, &request, &Resources::default(), &mut |_| ()).unwrap();
    for binding_bytes in [32 << 10, 1 << 20] {
        let limits = qmill::wgpu::Limits {
            max_storage_buffer_binding_size: binding_bytes,
            ..Gpu::required_limits(&adapter.handle)
        };
        let descriptor = qmill::wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.handle.request_device(&descriptor)).unwrap();
        let gpu = Gpu::from_device(device, queue).unwrap();
        // With any amount of memory, no buffer exceeds the device's limits.
        let (found, report) = write(&model, &request, &on(Device::Gpu(gpu), u64::MAX), &mut |_| ()).unwrap();
        assert!(found == expected, "bindings of {binding_bytes} bytes");
        assert_eq!(report.given_up, None, "bindings of {binding_bytes} bytes");
    }
}

#[test]
fn a_device_that_misrounds_does_not_quantize() {
    let Some((device, queue)) = another_device() else { return };
    let rewrite = |_: &str, text: String| {
        text.replace("results[5u * i] = a + b;", "results[5u * i] = (a + b) * 1.0000002;")
    };
    let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
    assert_eq!(gpu.misrounding().unwrap().operation, "the sum");
    let (model, request) = (trained(), Request::new(FileType::Q8_0));
    let (expected, _) = write(&model, &request, &Resources::default(), &mut |_| ()).unwrap();
    let (found, report) = write(&model, &request, &on(Device::Gpu(gpu), 64 << 20), &mut |_| ()).unwrap();
    assert!(found == expected);
    let given_up = report.given_up.unwrap();
    assert!(given_up.contains("computes the sum of"), "{given_up}");
}
