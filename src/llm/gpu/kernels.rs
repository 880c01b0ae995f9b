//! Which kernel of `shaders/llm` a step takes, with which constants and buffers. The CPU reference is
//! [`crate::llm`]'s module `cpu`.

use super::attention::{FEW_LANES, MANY_LANES, head_text};
use super::buffers::Buffers;
use super::source::{Grid, Kernels, Source, Text};
use crate::gpu::Access::{Read, ReadWrite};
use crate::gpu::{Access, INT8_BLOCK, Op};
use crate::llm::architectures::{Activation, RopeLayout};
use crate::llm::config::Config;
use crate::llm::shared::Shared;
use crate::llm::steps::{KernelStep, Slot, Step};
use crate::{Format, Result};
use wgpu::BufferBinding;

/// Rows of this many floats and more are summed by more lanes.
const WIDE: usize = 2048;
/// Quads of a row for each lane of `add_rms_norm_quads`: at least, where a row has as many, and at most.
const LANE_QUADS: [usize; 2] = [4, 8];
/// Lanes in a vector of a CPU.
const CPU_LANES: usize = 8;

/// The slot whose int8 form a step can fill too, for products to take.
pub(super) fn int8_slot(step: &Step, config: &Config) -> Option<Slot> {
    match step {
        // Products take `Unpadded` instead.
        Step::Attention(_) if config.has_padded_heads() => None,
        // Blocks must not span heads, which different workgroups compute.
        Step::Attention(_) => config.head_width.is_multiple_of(INT8_BLOCK).then_some(Slot::Attended),
        Step::Kernel(KernelStep::ScaleRmsNorm { .. } | KernelStep::AddRmsNorm { .. }) => Some(Slot::Normed),
        Step::Kernel(KernelStep::Glu) => Some(Slot::Gated),
        Step::Kernel(_) | Step::Library(_) => None,
    }
}

/// A kernel in which an invocation computes one float of a token.
fn per_float(name: &'static str, text: Text, access: &'static [Access], length: usize) -> Source {
    let grid = Grid::Rows(length.div_ceil(FEW_LANES));
    Source::new(name, text.number("LENGTH", length), access, grid)
}

/// What is added to `Hidden`, by `add_rms_norm`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Added {
    Nothing,
    Branch,
    /// The norm of the branch.
    NormedBranch,
}

/// Adds to `Hidden` and norms it.
fn add_rms_norm(config: &Config, scale: f32, added: Added, int8: bool, software_adapter: bool) -> Source {
    let quads = config.width.div_ceil(4);
    let [least, most] = LANE_QUADS;
    let by_quads = !software_adapter && config.width.is_multiple_of(4) && quads <= most * MANY_LANES;
    let (name, lanes) = if by_quads {
        let lanes = quads.div_ceil(least).next_multiple_of(FEW_LANES).min(MANY_LANES);
        ("add_rms_norm_quads", lanes)
    } else {
        let lanes = if config.width < WIDE { FEW_LANES } else { MANY_LANES };
        ("add_rms_norm", lanes)
    };
    let text = Text::new()
        .number("LANES", lanes)
        .number("WIDTH", config.width)
        .float("EPSILON", config.epsilon)
        .float("SCALE", scale)
        .flag("ADD_BRANCH", added != Added::Nothing)
        .flag("POST_NORM", added == Added::NormedBranch)
        .int8(int8, 6);
    let access = &[ReadWrite, Read, Read, Read, ReadWrite, ReadWrite][..5 + usize::from(int8)];
    Source::new(name, text, access, Grid::Tokens)
}

fn rope_store(shared: &Shared, norm_heads: bool, software_adapter: bool) -> Source {
    let (config, cache) = (&shared.config, shared.sessions.cache);
    // On a GPU a lane for each float.
    let lanes = if software_adapter { FEW_LANES } else { config.head_stride().next_multiple_of(FEW_LANES) };
    let text = head_text(config)
        .number("LANES", lanes)
        .number("HEAD_FLOATS", config.head_width)
        .number("PAIRS", config.rope.dimensions / 2)
        .float("EPSILON", config.epsilon)
        .flag("SPLIT_HALVES", config.rope.layout == RopeLayout::SplitHalves)
        .flag("NORM_HEADS", norm_heads)
        .flag("F16_KEYS", cache.keys == Format::F16)
        .flag("F16_VALUES", cache.values == Format::F16);
    Source::new(
        "rope_store",
        text,
        &[ReadWrite, Read, Read, ReadWrite, ReadWrite],
        Grid::Rows(config.heads + 2 * config.kv_heads),
    )
}

fn glu(config: &Config, int8: bool, software_adapter: bool) -> Source {
    let length = Slot::Gated.width(config);
    let (name, lanes, floats) = match (int8, software_adapter) {
        (false, _) => ("glu", MANY_LANES, 1),
        (true, false) => ("glu_quads", FEW_LANES, 4),
        (true, true) => ("glu_blocks", CPU_LANES, INT8_BLOCK),
    };
    let text = Text::new()
        .number("STRIDE", Slot::Gate.width(config))
        // Without experts, the ups of a token follow its gates.
        .number("UP", if config.experts.is_none() { length } else { 0 })
        .number("LENGTH", length)
        .number("GELU", usize::from(config.activation == Activation::Gelu))
        .number("LANES", lanes)
        .int8(int8, 4);
    let access = &[Read, Read, ReadWrite, ReadWrite][..3 + usize::from(int8)];
    let grid = Grid::Rows(length.div_ceil(lanes * floats));
    Source::new(name, text, access, grid)
}

/// The source of a step's kernel, for a software adapter or a GPU. With `int8` it stores its result in eight
/// bits too.
pub(super) fn source(step: KernelStep, shared: &Shared, int8: bool, software_adapter: bool) -> Source {
    let config = &shared.config;
    match step {
        KernelStep::ScaleRmsNorm { scale, .. } => {
            add_rms_norm(config, scale, Added::Nothing, int8, software_adapter)
        }
        KernelStep::AddRmsNorm { post, .. } => {
            let added = if post.is_some() { Added::NormedBranch } else { Added::Branch };
            add_rms_norm(config, 1.0, added, int8, software_adapter)
        }
        KernelStep::RopeStore { norms, .. } => rope_store(shared, norms.is_some(), software_adapter),
        KernelStep::UnpadHeads => {
            let text = head_text(config).number("HEAD_FLOATS", config.head_width);
            let length = Slot::Unpadded.width(config);
            per_float("unpad_heads", text, &[Read, ReadWrite], length)
        }
        KernelStep::Glu => glu(config, int8, software_adapter),
        KernelStep::Softcap { softcap } => {
            let text = Text::new().float("SOFTCAP", softcap);
            per_float("softcap", text, &[ReadWrite], config.vocabulary)
        }
        KernelStep::MoeRouter => {
            let text = Text::new()
                .number("LANES", FEW_LANES)
                .number("EXPERTS", Slot::RouterLogits.width(config))
                .number("TOP_K", config.top_k());
            let access = &[Read, ReadWrite, ReadWrite];
            Source::new("moe_router", text, access, Grid::Tokens)
        }
        KernelStep::MoeCombine => {
            let text = Text::new().number("TOP_K", config.top_k());
            let access = &[Read, Read, ReadWrite];
            per_float("moe_combine", text, access, config.width)
        }
    }
}

/// Prepares a step for `count` tokens, and returns the kernel's name too. `blocks` is where the int8
/// form of the result is stored.
pub(super) fn prepare(
    step: KernelStep,
    kernels: &mut Kernels,
    shared: &Shared,
    buffers: &Buffers,
    vectors: &[wgpu::Buffer],
    count: usize,
    blocks: Option<BufferBinding>,
) -> Result<(&'static str, Op)> {
    let vector = |number: usize| vectors[number].as_entire_buffer_binding();
    let slot = |slot| buffers.slot(slot);
    // Buffers that a kernel does not use for this model are bound all the same.
    let add_rms_norm = |post: Option<usize>, norm: usize| {
        let post = vector(post.unwrap_or(norm));
        vec![slot(Slot::Hidden), slot(Slot::Branch), post, vector(norm), slot(Slot::Normed)]
    };
    let mut bound = match step {
        KernelStep::ScaleRmsNorm { norm, .. } => add_rms_norm(None, norm),
        KernelStep::AddRmsNorm { post, norm } => add_rms_norm(post, norm),
        KernelStep::RopeStore { layer, norms, rope } => {
            let [keys, values] = buffers.cache(layer);
            let cos_sin = buffers.rope_tables[rope].as_entire_buffer_binding();
            let norms = norms.map_or(slot(Slot::Normed), vector);
            vec![slot(Slot::Qkv), norms, cos_sin, keys, values]
        }
        KernelStep::UnpadHeads => vec![slot(Slot::Attended), slot(Slot::Unpadded)],
        KernelStep::Glu => {
            let ups = if shared.config.experts.is_none() { Slot::Gate } else { Slot::Up };
            vec![slot(Slot::Gate), slot(ups), slot(Slot::Gated)]
        }
        KernelStep::Softcap { .. } => vec![slot(Slot::Logits)],
        KernelStep::MoeRouter => {
            vec![slot(Slot::RouterLogits), slot(Slot::Experts), slot(Slot::ExpertWeights)]
        }
        KernelStep::MoeCombine => {
            vec![slot(Slot::ExpertOutputs), slot(Slot::ExpertWeights), slot(Slot::Branch)]
        }
    };
    let source = source(step, shared, blocks.is_some(), shared.software_adapter);
    bound.extend(blocks);
    kernels.prepare(source, &bound, count)
}

/// Copies rows into columns of longer rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyColumns {
    /// Floats in a row.
    pub(super) length: usize,
    /// The column that the first of them goes to.
    pub(super) start: usize,
    /// Floats in a longer row.
    pub(super) stride: usize,
}

impl CopyColumns {
    pub(super) fn source(self) -> Source {
        let text = Text::new().number("START", self.start).number("STRIDE", self.stride);
        per_float("copy_columns", text, &[Read, ReadWrite], self.length)
    }
}
