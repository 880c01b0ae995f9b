//! From WGSL files to compiled pipelines: joining, switches, bindings, parameters, compiling.

pub(in crate::gpu) mod binding;
pub(in crate::gpu) mod cache_file;
mod compile;
pub(crate) mod files;
pub(in crate::gpu) mod library;
pub(in crate::gpu) mod params;
pub(in crate::gpu) mod pipeline;
pub mod preprocess;
pub(in crate::gpu) mod spirv;
pub(in crate::gpu) mod switch;
