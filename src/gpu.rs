//! Quantizing, dequantizing and matrix products on any GPU that wgpu supports: Vulkan, Metal, DX12, WebGPU.
//!
//! A [`Gpu`] is a device with its compiled kernels; each kernel is compiled on first use.
//! [`Gpu::from_device`] takes a device that an app has already; [`Gpu::open`] finds an adapter and opens it.
//!
//! - A [`Converter`] turns weights into blocks of a format and back, from host memory to host memory. Its
//!   bytes equal those of [`cpu`](crate::cpu); `ARCHITECTURE.md` explains why. A self-test at opening finds
//!   devices that round incorrectly ([`Gpu::misrounding`]).
//! - A [`Matrix`] holds weights that stay quantized on the device. [`Gpu::matmul`] multiplies by it,
//!   [`Gpu::get_rows`] looks up rows.
//! - An [`Op`] is an operation on an app's own buffers: prepared once, recorded into the app's command
//!   encoders any number of times.
//!
//! ```
//! use qmill::gpu::{Converter, DeviceChoice};
//! use qmill::{Format, Gpu};
//!
//! // Where there is no GPU, `qmill::cpu` makes the same bytes.
//! if let Ok(gpu) = Gpu::open(&DeviceChoice::Auto, None) {
//!     let weights: Vec<u8> = (0..512).flat_map(|i| (i as f32 * 0.1).sin().to_le_bytes()).collect();
//!     let mut blocks = vec![0; Format::Q4_K.bytes_for(512) as usize];
//!     Converter::new(&gpu, 64 << 20).convert(Format::F32, &weights, Format::Q4_K, &mut blocks)?;
//! }
//! # Ok::<(), qmill::Error>(())
//! ```
//!
//! [`Gpu::prepare_quantize`] and [`Gpu::prepare_dequantize`] prepare the conversions as an [`Op`] on an app's
//! own buffers, and [`Gpu::prepare_round_trip`] one after the other, for training.
//!
//! Every function that waits for the device has a blocking and an `async` form. The `async` form never
//! blocks, and the app need not poll the device: a background thread polls while something is awaited, and
//! shaders are compiled in a thread of their own. Functions that only prepare, such as
//! [`Gpu::prepare_matmul`] and [`Kernel::new`], block while they compile; [`Gpu::prepare_async`] runs them in
//! a thread. A browser has only the `async` forms, and reports errors when [`Gpu::settle`] is awaited.
//!
//! A matrix or activations of another device fail with [`Error::OtherDevice`](crate::Error::OtherDevice), a
//! buffer of another device with [`Error::Device`](crate::Error::Device). One case is not detected: wgpu
//! identifies buffers by numbers that each `wgpu::Instance` assigns by itself, so a buffer of another
//! instance may be taken for one of this device. All devices that this crate opens share one instance.
//!
//! Nothing in this module prints, panics on input or replaces a host's error handlers.

mod all_shaders;
mod convert;
mod device;
mod matmul;
mod matrix;
mod op;
mod shader;

pub use crate::error::Misrounding;
pub use all_shaders::{shaders, vulkan_modules};
pub use convert::converter::{Converted, Converter};
pub use convert::padded_layout::device_bytes;
pub use convert::quantize::{QuantizeBuffers, declined_bytes, scratch_bytes};
pub use convert::round_trip::{RoundTripBuffers, error_sums_bytes};
#[cfg(not(target_arch = "wasm32"))]
pub use device::adapter::adapters;
pub use device::adapter::{Adapter, DeviceChoice, adapters_async};
pub use device::context::Gpu;
pub use device::options::GpuOptions;
#[cfg(not(target_arch = "wasm32"))]
pub use device::timestamps::Timestamps;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use device::timestamps::{Clock, Lap};
pub(crate) use device::wait::Wait;
pub use matmul::activations::{Activations, INT8_BLOCK, INT8_BLOCK_WGSL};
pub(crate) use matmul::matrix_units::MatrixUnits;
pub use matmul::precision::Precision;
pub use matmul::tuning::Tuning;
#[doc(hidden)]
pub use matmul::variant::Variant;
pub use matrix::Matrix;
pub use matrix::from_gguf::TensorOptions;
pub use matrix::quantize_options::{Check, QuantizeOptions};
pub(crate) use matrix::textures;
pub use op::Op;
pub use op::kernel::{Access, Kernel};
pub(crate) use shader::files::wgsl_files;
#[doc(hidden)]
pub use shader::pipeline::Rewrite;
pub use shader::preprocess as wgsl;
