//! The WGSL of a kernel: a file of `shaders/llm`, with constants for one model.
//!
//! Shapes are constants. What varies are the number of tokens, which sets the number of workgroups, and their
//! position.

use crate::gpu::wgsl::Wgsl;
use crate::gpu::{Access, Kernel, Op};
use crate::{Gpu, Result};
use wgpu::BufferBinding;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../shaders/", $path)))),*]
    };
}

/// The files of `shaders/llm`.
const FILES: &[(&str, &str)] = files![
    "llm/activation.wgsl",
    "llm/add_rms_norm.wgsl",
    "llm/add_rms_norm_quads.wgsl",
    "llm/attention.wgsl",
    "llm/attention_common.wgsl",
    "llm/attention_decode.wgsl",
    "llm/attention_prefill.wgsl",
    "llm/attention_reduce.wgsl",
    "llm/attention_rows.wgsl",
    "llm/copy_columns.wgsl",
    "llm/glu.wgsl",
    "llm/glu_blocks.wgsl",
    "llm/glu_quads.wgsl",
    "llm/int8_by_1_lane.wgsl",
    "llm/int8_by_2_lanes.wgsl",
    "llm/int8_by_8_lanes.wgsl",
    "llm/keys_f16.wgsl",
    "llm/keys_f32.wgsl",
    "llm/moe_combine.wgsl",
    "llm/moe_router.wgsl",
    "llm/rope_store.wgsl",
    "llm/softcap.wgsl",
    "llm/unpad_heads.wgsl",
    "llm/values_f16.wgsl",
    "llm/values_f32.wgsl",
];

/// What the text of a kernel depends on: constants, switches and aliases.
pub(super) struct Text(Wgsl<'static>);

impl Text {
    /// The files of `shaders/llm`, without a constant.
    pub(super) fn new() -> Self {
        Self(FILES.iter().fold(Wgsl::new(), |wgsl, &(path, text)| wgsl.file(path, text)))
    }

    pub(super) fn number(self, name: &'static str, value: usize) -> Self {
        Self(self.0.constant(name, value as u32))
    }

    pub(super) fn float(self, name: &'static str, value: f32) -> Self {
        Self(self.0.constant(name, value))
    }

    pub(super) fn flag(self, name: &'static str, value: bool) -> Self {
        Self(self.0.constant(name, value))
    }

    /// `#import name` imports `path`.
    pub(super) fn alias(self, name: &'static str, path: &'static str) -> Self {
        Self(self.0.alias(name, path))
    }

    /// With `is_on`, the kernel stores its result in eight bits too, in the buffer at `binding`.
    pub(super) fn int8(self, is_on: bool, binding: usize) -> Self {
        Self(self.0.switch("INT8", is_on).constant("INT8_BINDING", binding as u32))
    }
}

/// The workgroups of a kernel.
#[derive(Clone, Copy)]
pub(super) enum Grid {
    /// One for each token.
    Tokens,
    /// A row of this many for each token.
    Rows(usize),
}

/// The source of a kernel for one model.
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) text: String,
    /// The access to its buffers, without the state at binding 0.
    access: &'static [Access],
    grid: Grid,
}

impl Source {
    pub(super) fn new(name: &'static str, text: &Text, access: &'static [Access], grid: Grid) -> Self {
        let text = text.0.preprocess(&format!("llm/{name}.wgsl")).expect("every kernel joins");
        Self { name, text, access, grid }
    }

    /// Compiles the kernel, and prepares it for `tokens` tokens.
    pub(super) fn prepare(
        &self,
        gpu: &Gpu,
        state: &wgpu::Buffer,
        buffers: &[BufferBinding],
        tokens: usize,
    ) -> Result<Op> {
        self.prepare_deep(gpu, state, buffers, tokens, 1)
    }

    /// [`prepare`](Self::prepare) with a grid that is `depth` deep.
    pub(super) fn prepare_deep(
        &self,
        gpu: &Gpu,
        state: &wgpu::Buffer,
        buffers: &[BufferBinding],
        tokens: usize,
        depth: usize,
    ) -> Result<Op> {
        let kernel = Kernel::new(gpu, &format!("llm.{}", self.name), &self.text, self.access)?;
        let (tokens, depth) = (tokens as u32, depth as u32);
        let groups = match self.grid {
            Grid::Tokens => [tokens, 1, depth],
            Grid::Rows(groups) => [groups as u32, tokens, depth],
        };
        kernel.prepare(&state.as_entire_buffer_binding(), buffers, groups)
    }
}
