//! The steps of a graph on a GPU, but for products: the kernels of `shaders/llm`, whose twins are in `ops_cpu`.
//!
//! A kernel's text is made for one model: shapes are constants in front of it. Only the number of tokens, which is how many
//! workgroups there are, and their position change.

use super::config::{Activation, Config, RopeLayout};
use super::engine::{Buffers, INT8_BLOCK};
use super::graph::{Slot, Step};
use super::model::{Model, Shared};
use crate::gpu::{Access, INT8_BLOCK_WGSL, Kernel, Op};
use crate::{Error, Format, Gpu, Result};
use Access::{Read, ReadWrite};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use wgpu::BufferBinding;

macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("../../shaders/llm/", $name, ".wgsl"))
    };
}

/// Integer conversions between f16 and f32, which kernels for files have too.
const HALF: &str = include_str!("../../shaders/lib/f16_bits.wgsl");
const SUM: &str = shader!("sum");

/// What stores results in eight bits too: the element of their buffer, the text, and that where they are not wanted so.
type Storing = [&'static str; 3];

/// Of an invocation that has whole blocks; and where two lanes have a block, or eight.
const BLOCKS: Storing = ["vec4<u32>", shader!("blocks"), shader!("no_blocks")];
const HALF_BLOCK: Storing = ["vec4<u32>", shader!("half_block"), shader!("no_half_block")];
const EIGHTH: Storing = ["u32", shader!("eighth"), shader!("no_eighth")];

/// That at a binding, if it is wanted.
fn storing([element, text, none]: Storing, binding: usize, int8: bool) -> String {
    if !int8 {
        return none.to_owned();
    }
    let declaration =
        format!("@group(0) @binding({binding}) var<storage, read_write> blocks: array<{element}>;\n");
    [&declaration, INT8_BLOCK_WGSL, text].concat()
}

/// The slot that a step fills in eight bits too, if it can, for products to take.
pub(super) fn fills(step: &Step, config: &Config) -> Option<Slot> {
    match step {
        Step::Begin { .. } | Step::Join { .. } => Some(Slot::Normed),
        // A workgroup has one head, and no product takes what is not packed.
        Step::Attend { .. } if config.has_padded_heads() => None,
        Step::Attend { .. } => config.head_width.is_multiple_of(INT8_BLOCK).then_some(Slot::Attended),
        Step::Gate => Some(Slot::Gated),
        _ => None,
    }
}

/// Rows of this many floats and more are summed up by more lanes.
const WIDE: usize = 2048;
const FEW_LANES: usize = 64;
const MANY_LANES: usize = 256;
/// Quads of a row that `join_quads` gives a lane, at least where there are so many, and at most.
const LANE_QUADS: [usize; 2] = [4, 8];
/// Of lanes that are a CPU's vector.
const CPU_LANES: usize = 8;
/// Floats in a head, at most: a lane of a workgroup has four of them.
pub(super) const MAX_HEAD: usize = 4 * FEW_LANES;
/// Rows of queries that attention does in a workgroup; few for a single token, and many on a GPU where there are enough for all its lanes.
const ATTENTION_ROWS: [usize; 3] = [FEW_ROWS, 8, 16];
const FEW_ROWS: usize = 4;
const MANY_ROWS: usize = 32;
/// Lanes that do four of many rows.
const FOUR_LANES: usize = 16;

/// A kernel of attention.
#[derive(Clone, Copy)]
enum Attention {
    /// Of a single token, for a GPU.
    One,
    /// Of so many rows in a workgroup.
    Rows(usize),
    /// Of many tokens, for a GPU.
    Many,
}

impl Attention {
    /// For `rows` rows of `count` tokens.
    fn of(count: usize, rows: usize, on_cpu: bool) -> Self {
        match (on_cpu, count) {
            (false, 1) => Self::One,
            (false, _) if rows >= MANY_ROWS => Self::Many,
            _ => {
                Self::Rows(ATTENTION_ROWS.into_iter().find(|&most| most >= rows).unwrap_or(ATTENTION_ROWS[2]))
            }
        }
    }

    /// In a workgroup.
    fn rows(self) -> usize {
        match self {
            Self::One => FEW_ROWS,
            Self::Rows(rows) => rows,
            Self::Many => MANY_ROWS,
        }
    }
}

/// Constants of a shader, as WGSL.
#[derive(Default)]
struct Constants(String);

impl Constants {
    fn number(mut self, name: &str, value: usize) -> Self {
        writeln!(self.0, "const {name} = {value}u;").expect("a string takes all");
        self
    }

    fn float(mut self, name: &str, value: f32) -> Self {
        writeln!(self.0, "const {name}: f32 = {value:?};").expect("a string takes all");
        self
    }

    fn flag(mut self, name: &str, value: bool) -> Self {
        writeln!(self.0, "const {name} = {value};").expect("a string takes all");
        self
    }
}

/// A shader, and how many workgroups do a token.
struct Shader {
    name: &'static str,
    /// Constants and parts, one after the other.
    text: String,
    access: &'static [Access],
    groups: usize,
    /// Whether the groups of a token are a row, or tokens are in a row.
    is_row: bool,
}

impl Shader {
    /// A kernel in which an invocation does one float of a token.
    fn of_floats(
        name: &'static str,
        constants: Constants,
        text: &str,
        access: &'static [Access],
        length: usize,
    ) -> Self {
        let text = constants.number("LENGTH", length).0 + text;
        Self { name, text, access, groups: length.div_ceil(FEW_LANES), is_row: true }
    }

    fn prepare(
        &self,
        gpu: &Gpu,
        state: &wgpu::Buffer,
        buffers: &[BufferBinding],
        count: usize,
    ) -> Result<Op> {
        self.prepare_spans(gpu, state, buffers, count, 1)
    }

    fn prepare_spans(
        &self,
        gpu: &Gpu,
        state: &wgpu::Buffer,
        buffers: &[BufferBinding],
        count: usize,
        spans: usize,
    ) -> Result<Op> {
        let kernel = Kernel::new(gpu, &format!("llm.{}", self.name), &self.text, self.access)?;
        let (groups, count, spans) = (self.groups as u32, count as u32, spans as u32);
        let groups = if self.is_row { [groups, count, spans] } else { [count, groups, spans] };
        kernel.prepare(&state.as_entire_buffer_binding(), buffers, groups)
    }
}

/// The shape of attention.
fn heads(config: &Config) -> Constants {
    Constants::default()
        .number("HEADS", config.heads)
        .number("KV_HEADS", config.kv_heads)
        .number("HEAD", config.head_stride())
}

/// Quads of a head, and of none that are there besides.
fn row_quads(config: &Config) -> usize {
    (config.head_stride() / 4).next_power_of_two().max(8)
}

/// Attention, or the parts of it that cover each a span of the keys.
fn attend(
    window: Option<usize>,
    shared: &Shared,
    kernel: Attention,
    spans: usize,
    int8: bool,
    on_cpu: bool,
) -> Shader {
    let config = &shared.config;
    let constants = heads(config)
        .number("WINDOW", window.unwrap_or(0))
        .number("SPANS", spans)
        .float("SCALE", config.attention_scale);
    let keys = if shared.cache.keys == Format::F16 { shader!("keys_f16") } else { shader!("keys_f32") };
    let values =
        if shared.cache.values == Format::F16 { shader!("values_f16") } else { shader!("values_f32") };
    let (name, constants, text) = match kernel {
        Attention::One => {
            let constants = constants.number("LANES", MANY_LANES).number("ROW_QUADS", row_quads(config));
            ("attend_one", constants, storing(EIGHTH, 5, int8) + shader!("attend_one"))
        }
        Attention::Rows(rows) => {
            let fours = rows / 4;
            // Each of so many groups of lanes has all quads of a head.
            let lanes = if on_cpu { FEW_LANES } else { 2 * FEW_LANES };
            let groups = 1 << (4 * lanes / config.head_stride()).ilog2();
            let constants = constants
                .number("LANES", lanes)
                .flag("FULL_TILES", !on_cpu)
                .number("ROWS", rows)
                .number("LANE_FOURS", (fours / groups).max(1))
                .number("PARTS", (groups / fours).max(1))
                .flag("INT8", int8);
            let parts = storing(BLOCKS, 5, int8) + shader!("attended_block");
            ("attend", constants, parts + shader!("attend_rows") + shader!("attend"))
        }
        Attention::Many => {
            let constants = constants
                .number("LANES", MANY_ROWS / 4 * FOUR_LANES)
                .number("ROWS", MANY_ROWS)
                .number("LANE_QUADS", (config.head_stride() / 4).div_ceil(FOUR_LANES));
            (
                "attend_many",
                constants,
                storing(EIGHTH, 5, int8) + shader!("attend_rows") + shader!("attend_many"),
            )
        }
    };
    Shader {
        name,
        text: constants.0 + keys + values + shader!("attention") + &text,
        access: &[Read, Read, Read, ReadWrite, ReadWrite][..4 + usize::from(int8)],
        groups: config.kv_heads,
        is_row: true,
    }
}

/// What puts the parts of attention together.
fn combine(config: &Config, spans: usize, int8: bool, on_cpu: bool) -> Shader {
    let lanes = if on_cpu { FEW_LANES } else { MANY_LANES };
    let constants =
        heads(config).number("LANES", lanes).number("ROW_QUADS", row_quads(config)).number("SPANS", spans);
    Shader {
        name: "combine",
        text: constants.0 + &storing(EIGHTH, 3, int8) + shader!("combine"),
        access: &[Read, ReadWrite, ReadWrite][..2 + usize::from(int8)],
        groups: config.heads,
        is_row: true,
    }
}

/// Adds a branch and norms.
fn join(config: &Config, scale: f32, (joins, post): (bool, bool), int8: bool, on_cpu: bool) -> Shader {
    let quads = config.width.div_ceil(4);
    let [few, most] = LANE_QUADS;
    let by_quads = !on_cpu && config.width.is_multiple_of(4) && quads <= most * MANY_LANES;
    let (name, text, lanes) = if by_quads {
        let lanes = quads.div_ceil(few).next_multiple_of(FEW_LANES).min(MANY_LANES);
        ("join_quads", storing(HALF_BLOCK, 6, int8) + shader!("join_quads"), lanes)
    } else {
        let lanes = if config.width < WIDE { FEW_LANES } else { MANY_LANES };
        ("join", storing(BLOCKS, 6, int8) + shader!("join"), lanes)
    };
    let constants = Constants::default()
        .number("LANES", lanes)
        .number("WIDTH", config.width)
        .float("EPSILON", config.epsilon)
        .float("SCALE", scale)
        .flag("JOINS", joins)
        .flag("POST", post)
        .flag("INT8", int8);
    Shader {
        name,
        text: constants.0 + SUM + &text,
        access: &[ReadWrite, Read, Read, Read, ReadWrite, ReadWrite][..5 + usize::from(int8)],
        groups: 1,
        is_row: false,
    }
}

/// The shader of a step that is no product, for an adapter that computes on the CPU or another; with `int8` it stores its results in eight bits too.
fn shader(step: &Step, shared: &Shared, int8: bool, on_cpu: bool) -> Shader {
    let config = &shared.config;
    match *step {
        Step::Begin { scale, .. } => join(config, scale, (false, false), int8, on_cpu),
        Step::Join { post, .. } => join(config, 1.0, (true, post.is_some()), int8, on_cpu),
        Step::Turn { norms, .. } => {
            // Of a GPU, one for each float.
            let lanes = config.head_stride().next_multiple_of(FEW_LANES);
            let constants = heads(config)
                .number("LANES", if on_cpu { FEW_LANES } else { lanes })
                .number("HEAD_FLOATS", config.head_width)
                .number("PAIRS", config.rope.dimensions / 2)
                .float("EPSILON", config.epsilon)
                .flag("HALVES", config.rope.layout == RopeLayout::Halves)
                .flag("NORMED", norms.is_some())
                .flag("F16_KEYS", shared.cache.keys == Format::F16)
                .flag("F16_VALUES", shared.cache.values == Format::F16);
            Shader {
                name: "turn",
                text: constants.0 + HALF + SUM + shader!("turn"),
                access: &[ReadWrite, Read, Read, ReadWrite, ReadWrite],
                groups: config.heads + 2 * config.kv_heads,
                is_row: true,
            }
        }
        Step::Pack => {
            let constants = heads(config).number("HEAD_FLOATS", config.head_width);
            Shader::of_floats(
                "pack",
                constants,
                shader!("pack"),
                &[Read, ReadWrite],
                Slot::Packed.width(config),
            )
        }
        Step::Gate => {
            let length = Slot::Gated.width(config);
            let constants = Constants::default()
                .number("STRIDE", Slot::Gate.width(config))
                .number("UP", if config.experts.is_none() { length } else { 0 })
                .number("LENGTH", length)
                .flag("GELU", config.activation == Activation::Gelu);
            let (name, text, lanes, floats) = match (int8, on_cpu) {
                (false, _) => ("gate", shader!("gate").to_owned(), MANY_LANES, 1),
                (true, false) => {
                    ("gate_quads", storing(EIGHTH, 4, true) + shader!("gate_quads"), FEW_LANES, 4)
                }
                (true, true) => {
                    ("gate_blocks", storing(BLOCKS, 4, true) + shader!("gate_blocks"), CPU_LANES, INT8_BLOCK)
                }
            };
            Shader {
                name,
                text: constants.number("LANES", lanes).0 + shader!("activation") + &text,
                access: &[Read, Read, ReadWrite, ReadWrite][..3 + usize::from(int8)],
                groups: length.div_ceil(lanes * floats),
                is_row: true,
            }
        }
        Step::Cap { cap } => {
            let constants = Constants::default().float("CAP", cap);
            Shader::of_floats("cap", constants, shader!("cap"), &[ReadWrite], config.vocabulary)
        }
        Step::Route => Shader {
            name: "route",
            text: Constants::default()
                .number("LANES", FEW_LANES)
                .number("COUNT", Slot::Fit.width(config))
                .number("USED", Slot::Picks.width(config))
                .0
                + shader!("route"),
            access: &[Read, ReadWrite, ReadWrite],
            groups: 1,
            is_row: false,
        },
        Step::Mix => {
            let constants = Constants::default().number("USED", Slot::Picks.width(config));
            Shader::of_floats("mix", constants, shader!("mix"), &[Read, Read, ReadWrite], config.width)
        }
        Step::Attend { .. } => unreachable!("attention has shaders of its own"),
        Step::Embed { .. } | Step::Product { .. } | Step::PickedProduct { .. } => {
            unreachable!("products and look-ups are the library's own")
        }
    }
}

/// Prepares a step that is neither a product nor attention, for `count` tokens; its name too. What it stores in eight bits goes into `blocks`.
pub(super) fn prepare(
    step: &Step,
    gpu: &Gpu,
    shared: &Shared,
    buffers: &Buffers,
    vectors: &[wgpu::Buffer],
    count: usize,
    blocks: Option<BufferBinding>,
) -> Result<(&'static str, Op)> {
    let vector = |number: usize| vectors[number].as_entire_buffer_binding();
    let slot = |slot| buffers.slot(slot);
    // What a kernel is told not to use is bound all the same.
    let join = |post: Option<usize>, norm: usize| {
        let post = vector(post.unwrap_or(norm));
        vec![slot(Slot::Hidden), slot(Slot::Branch), post, vector(norm), slot(Slot::Normed)]
    };
    let cache = |layer: usize| buffers.cache[layer].each_ref().map(wgpu::Buffer::as_entire_buffer_binding);
    let mut bound = match *step {
        Step::Begin { norm, .. } => join(None, norm),
        Step::Join { post, norm } => join(post, norm),
        Step::Turn { layer, norms, rope } => {
            let [keys, values] = cache(layer);
            let angles = buffers.angles[rope].as_entire_buffer_binding();
            let norms = norms.map_or(slot(Slot::Normed), vector);
            vec![slot(Slot::Qkv), norms, angles, keys, values]
        }
        Step::Pack => vec![slot(Slot::Attended), slot(Slot::Packed)],
        Step::Gate => {
            let ups = if shared.config.experts.is_none() { Slot::Gate } else { Slot::Up };
            vec![slot(Slot::Gate), slot(ups), slot(Slot::Gated)]
        }
        Step::Cap { .. } => vec![slot(Slot::Logits)],
        Step::Route => vec![slot(Slot::Fit), slot(Slot::Picks), slot(Slot::Shares)],
        Step::Mix => vec![slot(Slot::Parts), slot(Slot::Shares), slot(Slot::Branch)],
        Step::Attend { .. } | Step::Embed { .. } | Step::Product { .. } | Step::PickedProduct { .. } => {
            Vec::new()
        }
    };
    let shader = shader(step, shared, blocks.is_some(), shared.on_cpu);
    bound.extend(blocks);
    Ok((shader.name, shader.prepare(gpu, &buffers.state, &bound, count)?))
}

/// Prepares attention of `count` tokens in a layer; that of a single one may be in several spans, which are then put together. The names too.
pub(super) fn prepare_attention(
    (layer, window): (usize, Option<usize>),
    gpu: &Gpu,
    shared: &Shared,
    buffers: &Buffers,
    (count, spans): (usize, usize),
    blocks: Option<BufferBinding>,
) -> Result<Vec<(&'static str, Op)>> {
    let (config, state) = (&shared.config, &buffers.state);
    let rows = count * (config.heads / config.kv_heads);
    let kernel = Attention::of(count, rows, shared.on_cpu);
    let row_groups = rows.div_ceil(kernel.rows());
    let [keys, values] = buffers.cache[layer].each_ref().map(wgpu::Buffer::as_entire_buffer_binding);
    let read = [buffers.slot(Slot::Qkv), keys, values];
    let (parts, attended) = (buffers.spans.as_entire_buffer_binding(), buffers.slot(Slot::Attended));
    let is_whole = spans == 1;
    let attend = attend(window, shared, kernel, spans, is_whole && blocks.is_some(), shared.on_cpu);
    let result = if is_whole { attended.clone() } else { parts.clone() };
    let bound: Vec<_> = read.into_iter().chain([result]).chain(blocks.clone().filter(|_| is_whole)).collect();
    let mut ops = vec![(attend.name, attend.prepare_spans(gpu, state, &bound, row_groups, spans)?)];
    if !is_whole {
        let combine = combine(config, spans, blocks.is_some(), shared.on_cpu);
        let bound: Vec<_> = [parts, attended].into_iter().chain(blocks).collect();
        ops.push((combine.name, combine.prepare(gpu, state, &bound, 1)?));
    }
    Ok(ops)
}

/// Bytes of what so many spans of attention leave.
pub(super) fn spans_bytes(config: &Config, spans: usize) -> usize {
    4 * config.heads * spans * (config.head_stride() + 4)
}

/// The shaders that a model needs on a GPU beside the library's own, by name.
#[doc(hidden)]
pub fn shaders(model: &Model) -> BTreeMap<String, String> {
    let shared = &model.shared;
    let is_other = |step: &Step| {
        matches!(
            step,
            Step::Attend { .. } | Step::Embed { .. } | Step::Product { .. } | Step::PickedProduct { .. }
        )
    };
    let steps = shared.graph.trunk.iter().chain(&shared.graph.head).filter(|step| !is_other(step));
    let place = Place { length: 4, start: 4, stride: 8 }.shader();
    // In floats and in eight bits, for a GPU and for a CPU.
    let kinds = [(false, false), (false, true), (true, false), (true, true)];
    let forms = |step| {
        let kinds =
            kinds.into_iter().filter(move |&(int8, _)| !int8 || fills(step, &shared.config).is_some());
        kinds.map(move |(int8, on_cpu)| shader(step, shared, int8, on_cpu))
    };
    let combines = kinds.map(|(int8, on_cpu)| combine(&shared.config, 4, int8, on_cpu));
    let with_spans = || ATTENTION_ROWS.into_iter().map(Attention::Rows).chain([Attention::One]);
    let attends = kinds.into_iter().flat_map(|(int8, on_cpu)| {
        let whole = with_spans().chain([Attention::Many]);
        let whole = whole.map(move |kernel| attend(Some(64), shared, kernel, 1, int8, on_cpu));
        let spans = with_spans().map(move |kernel| attend(None, shared, kernel, 4, false, on_cpu));
        whole.chain(spans)
    });
    let shaders = steps.flat_map(forms).chain(attends).chain(combines).chain([place]);
    // A step of another kind has other constants.
    let texts: HashSet<(&str, String)> = shaders.map(|shader| (shader.name, shader.text)).collect();
    texts.into_iter().zip(0..).map(|((name, text), i)| (format!("{name}.{i}"), text)).collect()
}

/// Where rows go in longer ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Floats in a row.
    pub(super) length: usize,
    /// The column of the first.
    pub(super) start: usize,
    /// Floats in a longer row.
    pub(super) stride: usize,
}

impl Place {
    /// Prepares the copy of `count` rows.
    pub(super) fn prepare(
        self,
        gpu: &Gpu,
        state: &wgpu::Buffer,
        source: &BufferBinding,
        rows: &BufferBinding,
        count: usize,
    ) -> Result<Op> {
        self.shader().prepare(gpu, state, &[source.clone(), rows.clone()], count)
    }

    fn shader(self) -> Shader {
        let constants = Constants::default().number("START", self.start).number("STRIDE", self.stride);
        Shader::of_floats("place", constants, shader!("place"), &[Read, ReadWrite], self.length)
    }
}

/// Checks that the kernels can do with a head.
pub(super) fn check_head(width: usize) -> Result<()> {
    if width <= MAX_HEAD {
        return Ok(());
    }
    let needed = format!("at most {MAX_HEAD}");
    Err(Error::Number { what: "the number of floats in a head", needed, found: width as u64 })
}
