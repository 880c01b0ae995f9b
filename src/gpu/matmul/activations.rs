//! Vectors that a matrix is to be multiplied by, as f32 or quantized on the fly.

use super::precision::Precision;
use crate::gpu::Gpu;
use crate::gpu::device::software_adapter::{SoftwareAdapter, UNIFORM_BYTES};
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::join::join;
use crate::gpu::shader::params::{HeadParams, WORKGROUP};
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Error, Result, cpu};
use wgpu::{BufferBinding, BufferUsages};

const NAME: &str = "quantize_activations";

/// Vectors, and their int8 blocks.
const X: Binding = Binding::new(1, "x");
const BLOCKS: Binding = Binding::new(2, "blocks");

/// Numbers under one scale.
pub const INT8_BLOCK: usize = 32;
/// Bytes of their block: the numbers, the scale and sums.
const INT8_BLOCK_BYTES: u64 = 48;
/// Blocks whose parts lie together.
const INT8_GROUP: u64 = 8;

/// WGSL that makes 32 numbers the eight-bit block that products take, for an app's kernel that computes the numbers.
///
/// `int8_block(x0, …, x7: vec4<f32>) -> Int8Block` makes it, and `int8_block_at(i)` says which quad of [`Activations::blocks`], an `array<vec4<u32>>`, gets the `a` of
/// block `i`; its `b` goes `INT8_B` quads behind that, and its `head` `INT8_HEAD` quads. The blocks of a vector follow those of the one before. Other names are
/// `INT8_GROUP`, `largest_of`, `sum_of`, and `int8_codes`, `int8_scale`, `int8_multiplier` and `int8_head`.
pub const INT8_BLOCK_WGSL: &str = concat!(
    include_str!("../../../shaders/lib/int8_layout.wgsl"),
    include_str!("../../../shaders/lib/int8_block.wgsl")
);

const OF_F16: &str = "quantize_activations.f16";

/// `native_f16` is whether f16 is converted by the device itself.
fn wgsl(is_f16: bool, native_f16: bool) -> Result<String, String> {
    let optional = [(Switch::F16X, is_f16), (Switch::NativeF16, native_f16)];
    let switches: Vec<_> = Switch::on(optional).collect();
    join("matmul/quantize_activations.wgsl", &switches, &[("WORKGROUP", WORKGROUP as usize)])
}

/// What tests and compilers of other platforms see.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [(NAME, wgsl(false, true)), (OF_F16, wgsl(true, true))].into_iter()
}

/// `batch` vectors of `cols` numbers, f32 or f16 in a range of a buffer with usage `STORAGE`: what products take.
///
/// The numbers may be had in eight bits besides, which makes products with quantized weights about twice as fast and less exact: a number is then off by at most a
/// 254th of the largest magnitude among 32.
#[derive(Clone, Debug)]
pub struct Activations<'a> {
    x: BufferBinding<'a>,
    batch: usize,
    cols: usize,
    is_f16: bool,
    int8: Option<Int8>,
}

/// The vectors in blocks of 32 signed bytes under a scale, and what fills them.
#[derive(Clone, Debug)]
struct Int8 {
    gpu: Gpu,
    blocks: wgpu::Buffer,
    quantize: Op,
    /// Whether the app sees to it that the blocks are filled before products.
    is_shared: bool,
}

impl<'a> Activations<'a> {
    /// Products take the numbers as they are.
    pub fn exact(x: BufferBinding<'a>, batch: usize, cols: usize) -> Self {
        Self { x, batch, cols, is_f16: false, int8: None }
    }

    /// Products take the numbers as they are, and they are f16, two to a word: half as many bytes to read. All are finite. The device needs no feature for it.
    pub fn f16(x: BufferBinding<'a>, batch: usize, cols: usize) -> Self {
        Self { x, batch, cols, is_f16: true, int8: None }
    }

    /// Products take them in eight bits, in a buffer that is made here; those with weights in F32, F16 or BF16 take them as they are.
    ///
    /// What makes eight bits of the numbers is a part of every product that is prepared with them; of several
    /// products [`Activations::shared`] leaves that to the app, to do it once. Fails with [`Error::Number`]
    /// where there is no vector or `cols` is not a multiple of 32, with [`Error::ShortRange`] and
    /// [`Error::Misaligned`], [`Error::Usage`], and with what the device reports.
    pub fn int8(gpu: &Gpu, x: BufferBinding<'a>, batch: usize, cols: usize) -> Result<Self> {
        Self::exact(x, batch, cols).quantized(gpu)
    }

    /// The same vectors, f32 or f16, which products take in eight bits: [`Activations::int8`] says how, and how it fails.
    pub fn quantized(self, gpu: &Gpu) -> Result<Self> {
        let Self { batch, cols, is_f16, .. } = self;
        cpu::check_positive("the number of vectors", batch)?;
        if cols == 0 || !cols.is_multiple_of(INT8_BLOCK) {
            let needed = format!("a multiple of {INT8_BLOCK}");
            return Err(Error::Number { what: "the number of columns", needed, found: cols as u64 });
        }
        let count = (batch * (cols / INT8_BLOCK)) as u64;
        let bytes = count.next_multiple_of(INT8_GROUP) * INT8_BLOCK_BYTES;
        let blocks = if gpu.software_adapter().is_some_and(SoftwareAdapter::uniform_activations) {
            // A uniform buffer is bound as long as the shader says.
            gpu.buffer(bytes.max(UNIFORM_BYTES), BufferUsages::STORAGE | BufferUsages::UNIFORM)?
        } else {
            gpu.buffer(bytes, BufferUsages::STORAGE)?
        };
        let native_f16 = is_f16 && gpu.has_exact_f16();
        let bindings = Bindings::new()
            .read(X, &self.range(false))
            .write(BLOCKS, &Range::whole("the activations", &blocks));
        let program = (if is_f16 { OF_F16 } else { NAME }, Arithmetic::Loose);
        let (wgsl, params) = (|_| wgsl(is_f16, native_f16), HeadParams::default());
        let quantize = Op::new([gpu.prepare_step(program, wgsl, Dispatch::of(count), &params, &bindings)?]);
        let int8 = Int8 { gpu: gpu.clone(), blocks, quantize, is_shared: false };
        Ok(Self { int8: Some(int8), ..self })
    }

    /// The same vectors, of which products that are prepared from now on do not make the eight-bit form:
    /// before them the app records [`Activations::quantize`], once for all of them, or a kernel that fills
    /// [`Activations::blocks`]. Without that they multiply by what was there before.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.int8.iter_mut().for_each(|int8| int8.is_shared = true);
        self
    }

    /// What makes eight bits of the numbers, if products take them so and leave that to the app
    /// ([`Activations::shared`]).
    pub fn quantize(&self) -> Option<&Op> {
        self.int8.as_ref().filter(|int8| int8.is_shared).map(|int8| &int8.quantize)
    }

    /// What a product does first.
    ///
    /// Fails with [`Error::OtherDevice`] where the eight-bit form is not on `gpu`.
    pub(super) fn included(&self, gpu: &Gpu, precision: Precision) -> Result<Op> {
        let nothing = Op::default();
        let Some(int8) = self.int8.as_ref().filter(|_| precision == Precision::Int8) else {
            return Ok(nothing);
        };
        gpu.check_device(&int8.gpu, "the activations")?;
        Ok(if int8.is_shared { nothing } else { int8.quantize.clone() })
    }

    /// The eight-bit form, if there is one: an app's kernel may fill it by [`INT8_BLOCK_WGSL`] instead of
    /// [`Activations::quantize`], if they are [shared](Activations::shared).
    pub fn blocks(&self) -> Option<BufferBinding<'_>> {
        self.int8.as_ref().map(|int8| int8.blocks.as_entire_buffer_binding())
    }

    /// How many vectors they are.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Numbers in each.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// What a product binds: the eight-bit form if `int8`.
    pub(super) fn range(&self, int8: bool) -> Range<'_> {
        match &self.int8 {
            Some(quantized) if int8 => Range::whole("the activations", &quantized.blocks),
            _ => {
                let count = (self.batch * self.cols) as u64;
                let bytes = if self.is_f16 { (2 * count).next_multiple_of(4) } else { 4 * count };
                Range::new("x", &self.x, bytes)
            }
        }
    }

    /// Whether they are f16.
    pub(super) fn is_f16(&self) -> bool {
        self.is_f16
    }

    /// Whether the eight-bit form is also a uniform buffer, which some devices read faster.
    pub(super) fn fits_uniform(&self, gpu: &Gpu) -> bool {
        let is_uniform = |int8: &Int8| {
            int8.blocks.usage().contains(BufferUsages::UNIFORM) && int8.blocks.size() == UNIFORM_BYTES
        };
        gpu.software_adapter().is_some_and(SoftwareAdapter::uniform_activations)
            && self.int8.as_ref().is_some_and(is_uniform)
    }

    /// How products with quantized weights take them.
    pub(super) fn precision(&self) -> Precision {
        if self.int8.is_some() { Precision::Int8 } else { Precision::Exact }
    }
}
