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
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)))),*]
    };
}

/// The files of `shaders/llm`.
const FILES: &[(&str, &str)] = files![
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
#[derive(PartialEq, Default)]
pub(super) struct Text(Wgsl<'static>);

impl Text {
    pub(super) fn new() -> Self {
        Self::default()
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

    /// With `is_on`, the kernel stores the int8 form of its result too, in the buffer at `binding`.
    pub(super) fn int8(self, is_on: bool, binding: usize) -> Self {
        Self(self.0.switch("INT8", is_on).constant("INT8_BINDING", binding as u32))
    }
}

/// The workgroups of a kernel.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Grid {
    /// One for each token.
    Tokens,
    /// A row of this many for each token.
    Rows(usize),
}

/// The source of a kernel for one model.
#[derive(PartialEq)]
pub(super) struct Source {
    pub(super) name: &'static str,
    text: Text,
    /// The access to its buffers, without the state at binding 0.
    access: &'static [Access],
    grid: Grid,
}

impl Source {
    pub(super) fn new(name: &'static str, text: Text, access: &'static [Access], grid: Grid) -> Self {
        Self { name, text, access, grid }
    }

    /// The WGSL text.
    pub(super) fn wgsl(&self) -> String {
        let wgsl = self.text.0.clone().files(FILES);
        wgsl.preprocess(&format!("llm/{}.wgsl", self.name)).expect("every kernel joins")
    }
}

/// Compiles kernels and prepares them. Most layers have the same kernels, whose text is joined once.
pub(super) struct Kernels<'a> {
    gpu: &'a Gpu,
    state: &'a wgpu::Buffer,
    known: Vec<(Source, Kernel)>,
}

impl<'a> Kernels<'a> {
    pub(super) fn new(gpu: &'a Gpu, state: &'a wgpu::Buffer) -> Self {
        Self { gpu, state, known: Vec::new() }
    }

    /// Prepares a kernel for `tokens` tokens, and returns its name too.
    pub(super) fn prepare(
        &mut self,
        source: Source,
        buffers: &[BufferBinding],
        tokens: usize,
    ) -> Result<(&'static str, Op)> {
        self.prepare_deep(source, buffers, tokens, 1)
    }

    /// [`prepare`](Self::prepare) with a grid that is `depth` deep.
    pub(super) fn prepare_deep(
        &mut self,
        source: Source,
        buffers: &[BufferBinding],
        tokens: usize,
        depth: usize,
    ) -> Result<(&'static str, Op)> {
        let (name, tokens, depth) = (source.name, tokens as u32, depth as u32);
        let groups = match source.grid {
            Grid::Tokens => [tokens, 1, depth],
            Grid::Rows(groups) => [groups as u32, tokens, depth],
        };
        let kernel = self.kernel(source)?;
        Ok((name, kernel.prepare(&self.state.as_entire_buffer_binding(), buffers, groups)?))
    }

    fn kernel(&mut self, source: Source) -> Result<Kernel> {
        if let Some((_, kernel)) = self.known.iter().find(|(known, _)| *known == source) {
            return Ok(kernel.clone());
        }
        let kernel = Kernel::new(self.gpu, &format!("llm.{}", source.name), &source.wgsl(), source.access)?;
        self.known.push((source, kernel.clone()));
        Ok(kernel)
    }
}
