//! Attention: which kernel computes it, and in how many splits of the KV cache.

use super::buffers::Buffers;
use super::kv_splits::{MAX_KV_SPLITS, Size, kv_splits_for};
use super::source::{Grid, Kernels, Source, Text};
use crate::gpu::Access::{Read, ReadWrite};
use crate::gpu::Op;
use crate::llm::config::Config;
use crate::llm::shared::Shared;
use crate::llm::steps::{Attention, Slot};
use crate::{Error, Format, Result};
use wgpu::BufferBinding;

/// Lanes of a workgroup.
pub(super) const FEW_LANES: usize = 64;
pub(super) const MANY_LANES: usize = 256;
/// Most floats in a head: one lane of a workgroup takes four of them.
const MAX_HEAD: usize = 4 * FEW_LANES;
/// Rows of queries in a workgroup: few for a single token, and many on a GPU where they keep all lanes busy.
const FEW_ROWS: usize = 4;
const ATTENTION_ROWS: [usize; 3] = [FEW_ROWS, 8, 16];
const PREFILL_ROWS: usize = 32;
/// Lanes of the prefill kernel that share four rows.
const LANES_PER_FOUR_ROWS: usize = 16;

/// A kernel of attention.
#[derive(Clone, Copy)]
pub(super) enum AttentionKernel {
    /// For a single token on a GPU.
    Decode,
    /// With this many rows in a workgroup.
    Rows(usize),
    /// For many tokens on a GPU.
    Prefill,
}

impl AttentionKernel {
    /// Those that can split the KV cache.
    pub(super) fn with_splits() -> impl Iterator<Item = Self> {
        ATTENTION_ROWS.into_iter().map(Self::Rows).chain([Self::Decode])
    }

    /// The kernel for `rows` rows of `count` tokens.
    fn of(count: usize, rows: usize, software_adapter: bool) -> Self {
        match (software_adapter, count) {
            (false, 1) => Self::Decode,
            (false, _) if rows >= PREFILL_ROWS => Self::Prefill,
            _ => {
                let enough = ATTENTION_ROWS.into_iter().find(|&most| most >= rows);
                Self::Rows(enough.unwrap_or(ATTENTION_ROWS[2]))
            }
        }
    }

    /// Rows in a workgroup.
    fn rows(self) -> usize {
        match self {
            Self::Decode => FEW_ROWS,
            Self::Rows(rows) => rows,
            Self::Prefill => PREFILL_ROWS,
        }
    }
}

/// Quads of a head, rounded up to a power of two, and at least 8.
fn row_quads(config: &Config) -> usize {
    (config.head_stride() / 4).next_power_of_two().max(8)
}

/// The constants of the shape of attention.
pub(super) fn head_text(config: &Config) -> Text {
    Text::new()
        .number("HEADS", config.heads)
        .number("KV_HEADS", config.kv_heads)
        .number("HEAD", config.head_stride())
}

/// The source of attention; with several `kv_splits`, each layer of the grid does one of them.
pub(super) fn source(
    window: Option<usize>,
    shared: &Shared,
    kernel: AttentionKernel,
    kv_splits: usize,
    int8: bool,
    software_adapter: bool,
) -> Source {
    let (config, cache) = (&shared.config, shared.sessions.cache);
    let cached = |format: Format, f16, f32| if format == Format::F16 { f16 } else { f32 };
    let text = head_text(config)
        .number("WINDOW", window.unwrap_or(0))
        .number("KV_SPLITS", kv_splits)
        .float("SCALE", config.attention_scale)
        .alias("keys", cached(cache.keys, "llm/keys_f16.wgsl", "llm/keys_f32.wgsl"))
        .alias("values", cached(cache.values, "llm/values_f16.wgsl", "llm/values_f32.wgsl"))
        .int8(int8, 5);
    let access = &[Read, Read, Read, ReadWrite, ReadWrite][..4 + usize::from(int8)];
    let grid = Grid::Rows(config.kv_heads);
    match kernel {
        AttentionKernel::Decode => {
            let text = text.number("LANES", MANY_LANES).number("ROW_QUADS", row_quads(config));
            Source::new("attention_decode", text, access, grid)
        }
        AttentionKernel::Rows(rows) => {
            let fours = rows / 4;
            // Each group of lanes has all quads of a head.
            let lanes = if software_adapter { FEW_LANES } else { 2 * FEW_LANES };
            let groups = 1 << (4 * lanes / config.head_stride()).ilog2();
            let text = text
                .number("LANES", lanes)
                .flag("FULL_TILES", !software_adapter)
                .number("ROWS", rows)
                .number("LANE_FOURS", (fours / groups).max(1))
                .number("PARTS", (groups / fours).max(1));
            Source::new("attention", text, access, grid)
        }
        AttentionKernel::Prefill => {
            let text = text
                .number("LANES", PREFILL_ROWS / 4 * LANES_PER_FOUR_ROWS)
                .number("ROWS", PREFILL_ROWS)
                .number("LANE_QUADS", (config.head_stride() / 4).div_ceil(LANES_PER_FOUR_ROWS));
            Source::new("attention_prefill", text, access, grid)
        }
    }
}

/// The source of the kernel that combines the results of splits.
pub(super) fn reduce_source(config: &Config, kv_splits: usize, int8: bool, software_adapter: bool) -> Source {
    let lanes = if software_adapter { FEW_LANES } else { MANY_LANES };
    let text = head_text(config)
        .number("LANES", lanes)
        .number("ROW_QUADS", row_quads(config))
        .number("KV_SPLITS", kv_splits)
        .int8(int8, 3);
    Source::new(
        "attention_reduce",
        text,
        &[Read, ReadWrite, ReadWrite][..2 + usize::from(int8)],
        Grid::Rows(config.heads),
    )
}

/// Prepares attention in a layer, and returns ops with their names. `blocks` is where the int8 form of the
/// result is stored.
pub(super) fn prepare(
    step: Attention,
    kernels: &mut Kernels,
    shared: &Shared,
    buffers: &Buffers,
    size: Size,
    blocks: Option<BufferBinding>,
) -> Result<Vec<(&'static str, Op)>> {
    let config = &shared.config;
    let Attention { layer, window } = step;
    let software_adapter = shared.software_adapter;
    let most = window.map_or(MAX_KV_SPLITS, |window| kv_splits_for(window, software_adapter));
    let kv_splits = size.kv_splits.min(most);
    let rows = size.tokens * (config.heads / config.kv_heads);
    let kernel = AttentionKernel::of(size.tokens, rows, software_adapter);
    let row_groups = rows.div_ceil(kernel.rows());
    let [keys, values] = buffers.cache(layer);
    let read = [buffers.slot(Slot::Qkv), keys, values];
    let (splits, attended) = (buffers.kv_splits.as_entire_buffer_binding(), buffers.slot(Slot::Attended));
    let is_whole = kv_splits == 1;
    let int8 = is_whole && blocks.is_some();
    let attention = source(window, shared, kernel, kv_splits, int8, software_adapter);
    let result = if is_whole { attended.clone() } else { splits.clone() };
    let bound: Vec<_> = read.into_iter().chain([result]).chain(blocks.clone().filter(|_| is_whole)).collect();
    let mut ops = vec![kernels.prepare_deep(attention, &bound, row_groups, kv_splits)?];
    if !is_whole {
        let reduce = reduce_source(config, kv_splits, blocks.is_some(), software_adapter);
        let bound: Vec<_> = [splits, attended].into_iter().chain(blocks).collect();
        ops.push(kernels.prepare(reduce, &bound, 1)?);
    }
    Ok(ops)
}

/// Fails with [`Error::Number`] for a head that the kernels cannot take.
pub(super) fn check_head(width: usize) -> Result<()> {
    if width <= MAX_HEAD {
        return Ok(());
    }
    let needed = format!("at most {MAX_HEAD}");
    Err(Error::Number { what: "the number of floats in a head", needed, found: width as u64 })
}
