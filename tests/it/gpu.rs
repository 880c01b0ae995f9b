//! The GPU against the CPU reference. Without an adapter, these tests are skipped and say so;
//! `QMILL_REQUIRE_GPU=1` makes that a failure.

mod auto;
mod cli;
mod custom;
mod embedding;
mod experts;
mod get_rows;
mod golden;
mod matmul;
mod matmul_can_fail;
mod matrix;
mod parity;
mod parity_can_fail;
mod product;
mod round_trip;
mod shaders;
mod stream;
mod tuning;
pub(crate) mod weights;
mod worst_case;

use qmill::gpu::{DeviceChoice, adapters};
use qmill::{FORMATS, Format, Gpu, wgpu};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// The device that all tests share: the one that `WGPU_ADAPTER_NAME` names, or the best. Weights are in
/// buffers, also on llvmpipe.
pub(crate) fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| match Gpu::open(&DeviceChoice::Gpu, None) {
        Ok(gpu) => Some(gpu.with_weights_in_textures(false)),
        Err(error) if std::env::var_os("QMILL_REQUIRE_GPU").is_some_and(|value| value != "0") => {
            panic!("QMILL_REQUIRE_GPU is set, but {error}")
        }
        Err(error) => {
            // Bypasses the test harness, which shows output only of failed tests.
            let _ = writeln!(std::io::stderr(), "SKIPPED: tests that need an adapter: {error}");
            None
        }
    });
    gpu.as_ref()
}

/// The shared device's adapter.
fn adapter() -> Option<wgpu::Adapter> {
    // Without an adapter, `gpu` has reported it already.
    let name = gpu()?.device().adapter_info().name;
    adapters().into_iter().map(|adapter| adapter.handle).find(|adapter| adapter.get_info().name == name)
}

/// A device that binds at most 32 KiB.
fn device_of_small_buffers() -> Option<Gpu> {
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits { max_storage_buffer_binding_size: 32768, ..wgpu::Limits::default() },
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter()?.request_device(&descriptor)).unwrap();
    Some(Gpu::from_device(device, queue).unwrap())
}

/// A separate device, for a test that breaks it or changes its shaders.
pub(crate) fn another_device() -> Option<(wgpu::Device, wgpu::Queue)> {
    another_device_with(wgpu::Features::empty())
}

fn another_device_with(required_features: wgpu::Features) -> Option<(wgpu::Device, wgpu::Queue)> {
    let adapter = adapter()?;
    let descriptor = wgpu::DeviceDescriptor {
        required_features,
        required_limits: Gpu::required_limits(&adapter),
        experimental_features: experimental(required_features),
        ..wgpu::DeviceDescriptor::default()
    };
    Some(pollster::block_on(adapter.request_device(&descriptor)).unwrap())
}

#[expect(unsafe_code, reason = "cooperative matrices are experimental in wgpu")]
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: cooperative matrices are the only experimental feature used, by this crate's own kernel, which
    // stays within its arrays.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// A device whose shaders have `right` replaced by `wrong`, and whether any of them had `right`.
fn planting(
    required_features: wgpu::Features,
    right: &'static str,
    wrong: &'static str,
) -> Option<(Gpu, Arc<AtomicBool>)> {
    let (device, queue) = another_device_with(required_features)?;
    let planted = Arc::new(AtomicBool::new(false));
    let seen = planted.clone();
    let rewrite = move |_: &str, text: String| {
        seen.fetch_or(text.contains(right), Relaxed);
        text.replace(right, wrong)
    };
    Some((Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap(), planted))
}

/// The shared device, which on Vulkan takes SPIR-V that forbids contraction, and one that takes portable
/// WGSL.
fn variants() -> Vec<(&'static str, &'static Gpu)> {
    static PORTABLE: OnceLock<Option<Gpu>> = OnceLock::new();
    let portable = PORTABLE.get_or_init(|| {
        let (device, queue) = another_device()?;
        Some(Gpu::from_device(device, queue).unwrap())
    });
    let opened = gpu().map(|gpu| {
        let is_vulkan = gpu.device().adapter_info().backend == wgpu::Backend::Vulkan;
        let passes = gpu.device().features().contains(wgpu::Features::PASSTHROUGH_SHADERS);
        assert_eq!(is_vulkan, passes, "the two kinds of shader are not both tested");
        ("as opened", gpu)
    });
    opened.into_iter().chain(portable.as_ref().map(|gpu| ("portable", gpu))).collect()
}

/// The device; for odd `turn` with weights in textures, if it is llvmpipe.
fn in_turn(gpu: &Gpu, turn: usize) -> Gpu {
    gpu.with_weights_in_textures(!turn.is_multiple_of(2))
}

/// All formats, or those in `QMILL_PARITY_FORMATS`, such as `Q4_K,Q6_K`.
fn formats() -> Vec<Format> {
    match std::env::var("QMILL_PARITY_FORMATS") {
        Ok(names) => names.split(',').map(|name| name.parse().unwrap()).collect(),
        Err(_) => FORMATS.iter().map(|info| info.format).collect(),
    }
}

/// A number of weights times `QMILL_PARITY_SCALE` (default 1), rounded up to whole super-blocks.
fn scaled(count: usize) -> usize {
    let scale = std::env::var("QMILL_PARITY_SCALE")
        .map_or(1.0, |scale| scale.parse::<f64>().expect("QMILL_PARITY_SCALE is a number"));
    ((count as f64 * scale) as usize).next_multiple_of(256)
}
