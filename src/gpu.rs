//! The same operations on any GPU that wgpu reaches: Vulkan, Metal, DX12.
//!
//! A [`Gpu`] is a device with the kernels that run on it, which are compiled when they are first needed. An app that has
//! a device brings it ([`Gpu::from_device`]); otherwise [`Gpu::open`] finds one. A [`Converter`] turns weights into
//! blocks of a format and back, through buffers of its own; the bytes are those of [`cpu`](crate::cpu), by construction:
//! `ARCHITECTURE.md` has the argument, and a device that does not round as it should is found out when it is opened.
//! A [`Matrix`] is weights that stay quantized on the device, to be multiplied by ([`Gpu::matmul`]) or looked up
//! ([`Gpu::get_rows`]); operations are prepared once and recorded into an app's own commands ([`Op`]).
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
//! On buffers of an app's own: [`Gpu::prepare_quantize`] and [`Gpu::prepare_dequantize`] give an [`Op`], which is recorded
//! into a command encoder as often as it is wanted.
//!
//! What waits for the device has two forms. One blocks. The other is an `async fn`, which needs nobody to
//! poll the device: a thread polls while something is awaited, and what has to be compiled is compiled in a
//! thread of its own. What only prepares, as [`Gpu::prepare_matmul`] and [`Kernel::new`], blocks while it
//! compiles; [`Gpu::prepare_async`] awaits it. A browser has only the `async` forms, and tells of errors when
//! [`Gpu::settle`] is awaited.
//!
//! Matrices and activations of another device are [`Error::OtherDevice`], and buffers of another device
//! [`Error::Device`]. One limit remains: wgpu knows buffers by numbers that each `wgpu::Instance` gives out,
//! so the number of another instance's buffer may stand for a buffer of this one. Devices that this crate
//! opens are of one instance.
//!
//! Nothing here prints, panics on input or replaces a host's error handlers.

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
#[doc(hidden)]
pub use shader::pipeline::Rewrite;
pub use shader::preprocess as wgsl;
