//! The WGSL of a kernel: constants for one model, and parts from `shaders/llm` behind them.
//!
//! Shapes are constants. What varies are the number of tokens, which sets the number of workgroups, and their
//! position.

use crate::gpu::{Access, INT8_BLOCK_WGSL, Kernel, Op};
use crate::{Gpu, Result};
use std::fmt::Write;
use wgpu::BufferBinding;

/// The text of a file of `shaders/llm`.
macro_rules! wgsl {
    ($name:literal) => {
        include_str!(concat!("../../../shaders/llm/", $name, ".wgsl"))
    };
}
pub(super) use wgsl;

/// Integer conversions between f16 and f32.
pub(super) const F16_BITS: &str = include_str!("../../../shaders/lib/f16_bits.wgsl");
/// The sum over the lanes of a workgroup.
pub(super) const REDUCE: &str = include_str!("../../../shaders/lib/reduce.wgsl");

/// Floats in a block of activations in eight bits.
pub(super) const INT8_BLOCK: usize = 32;

/// The lanes that together store a block of the result in eight bits.
#[derive(Clone, Copy)]
pub(super) enum Int8Store {
    OneLane,
    TwoLanes,
    EightLanes,
}

impl Int8Store {
    /// Functions that store the result in eight bits in the buffer at `binding`, for products to take;
    /// without `int8`, the same functions with empty bodies.
    pub(super) fn text(self, binding: usize, int8: bool) -> String {
        let (element, store, nothing) = match self {
            Self::OneLane => ("vec4<u32>", wgsl!("int8_by_1_lane"), wgsl!("no_int8_by_1_lane")),
            Self::TwoLanes => ("vec4<u32>", wgsl!("int8_by_2_lanes"), wgsl!("no_int8_by_2_lanes")),
            Self::EightLanes => ("u32", wgsl!("int8_by_8_lanes"), wgsl!("no_int8_by_8_lanes")),
        };
        if !int8 {
            return nothing.to_owned();
        }
        let declaration =
            format!("@group(0) @binding({binding}) var<storage, read_write> blocks: array<{element}>;\n");
        [&declaration, INT8_BLOCK_WGSL, store].concat()
    }
}

/// Constants of a kernel, as WGSL.
#[derive(Default)]
pub(super) struct Constants(String);

impl Constants {
    pub(super) fn number(mut self, name: &str, value: usize) -> Self {
        writeln!(self.0, "const {name} = {value}u;").expect("writing to a string cannot fail");
        self
    }

    pub(super) fn float(mut self, name: &str, value: f32) -> Self {
        writeln!(self.0, "const {name}: f32 = {value:?};").expect("writing to a string cannot fail");
        self
    }

    pub(super) fn flag(mut self, name: &str, value: bool) -> Self {
        writeln!(self.0, "const {name} = {value};").expect("writing to a string cannot fail");
        self
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
    pub(super) fn new(
        name: &'static str,
        constants: Constants,
        parts: &[&str],
        access: &'static [Access],
        grid: Grid,
    ) -> Self {
        let text = constants.0 + &parts.concat();
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
