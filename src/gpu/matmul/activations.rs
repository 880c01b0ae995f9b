//! The vectors of a product: f32 or f16, optionally quantized to int8.

use super::precision::Precision;
use crate::gpu::Gpu;
use crate::gpu::device::software_adapter::{SoftwareAdapter, UNIFORM_BYTES};
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::HeadParams;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Error, Result, cpu};
use wgpu::{BufferBinding, BufferUsages};

const NAME: &str = "quantize_activations";

/// The vectors, and their int8 blocks.
const X: Binding = Binding::new(1, "x");
const BLOCKS: Binding = Binding::new(2, "blocks");

/// Numbers in an int8 block, which share a scale.
pub const INT8_BLOCK: usize = 32;
/// Bytes of an int8 block: the numbers, the scale and sums.
const INT8_BLOCK_BYTES: u64 = 48;
/// Blocks whose parts are stored together.
const INT8_GROUP: u64 = 8;

/// WGSL that quantizes 32 numbers to an int8 block as products read it, for an app's kernel that computes
/// activations.
///
/// `int8_block(x0, …, x7: vec4<f32>) -> Int8Block` quantizes 32 numbers. The result is stored in
/// [`Activations::blocks`], an `array<vec4<u32>>`: for block `i`, `a` at index `int8_block_at(i)`, `b` at
/// `INT8_B` behind that, and `head` at `INT8_HEAD` behind it. The blocks of all vectors are consecutive. The
/// text also declares `INT8_GROUP`, `largest_of`, `sum_of`, `int8_codes`, `int8_scale`, `int8_multiplier` and
/// `int8_head`.
pub const INT8_BLOCK_WGSL: &str = concat!(
    include_str!("../../../shaders/lib/int8_layout.wgsl"),
    include_str!("../../../shaders/lib/int8_block.wgsl")
);

/// Bytes of `count` int8 blocks.
pub(super) fn int8_bytes(count: u64) -> u64 {
    count.next_multiple_of(INT8_GROUP) * INT8_BLOCK_BYTES
}

const OF_F16: &str = "quantize_activations.f16";

/// With `native_f16`, the device converts f16 itself.
fn wgsl(is_f16: bool, native_f16: bool) -> Result<String, String> {
    let optional = [(Switch::F16X, is_f16), (Switch::NativeF16, native_f16)];
    let switches: Vec<_> = Switch::on(optional).collect();
    preprocess("matmul/quantize_activations.wgsl", &switches)
}

/// The shaders of this file, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [(NAME, wgsl(false, true)), (OF_F16, wgsl(true, true))].into_iter()
}

/// The vectors of a product: `batch` vectors of `cols` numbers, f32 or f16, in a range of a buffer with usage
/// `STORAGE`.
///
/// Products with quantized weights can take them quantized to int8, which makes them about twice as fast and
/// less exact: each number is off by at most 1/254 of the largest magnitude in its block of 32.
#[derive(Clone, Debug)]
pub struct Activations<'a> {
    x: BufferBinding<'a>,
    batch: usize,
    cols: usize,
    is_f16: bool,
    int8: Option<Int8>,
}

/// The vectors as int8 blocks, and the operation that quantizes them.
#[derive(Clone, Debug)]
struct Int8 {
    gpu: Gpu,
    blocks: wgpu::Buffer,
    quantize: Op,
    /// Whether the app fills the blocks before products.
    is_shared: bool,
}

impl<'a> Activations<'a> {
    /// f32 vectors, used as they are.
    pub fn exact(x: BufferBinding<'a>, batch: usize, cols: usize) -> Self {
        Self { x, batch, cols, is_f16: false, int8: None }
    }

    /// f16 vectors, two numbers to a word, used as they are; half the bytes of f32 to read. All numbers must
    /// be finite. The device needs no f16 feature.
    pub fn f16(x: BufferBinding<'a>, batch: usize, cols: usize) -> Self {
        Self { x, batch, cols, is_f16: true, int8: None }
    }

    /// f32 vectors that products quantize to int8, in a buffer that is created here. Products with F32, F16
    /// or BF16 weights use them as they are.
    ///
    /// Every product prepared with them includes quantizing. To share it among several products, use
    /// [`Activations::shared`]. Fails with [`Error::Number`] if there is no vector or `cols` is not a
    /// multiple of 32; with [`Error::ShortRange`], [`Error::Misaligned`] and [`Error::Usage`] for an
    /// unsuitable range; and with errors of the device.
    pub fn int8(gpu: &Gpu, x: BufferBinding<'a>, batch: usize, cols: usize) -> Result<Self> {
        Self::exact(x, batch, cols).quantized(gpu)
    }

    /// These vectors, f32 or f16, quantized to int8 as by [`Activations::int8`]. Fails in the same way.
    pub fn quantized(self, gpu: &Gpu) -> Result<Self> {
        let Self { batch, cols, is_f16, .. } = self;
        cpu::check_positive("the number of vectors", batch)?;
        if cols == 0 || !cols.is_multiple_of(INT8_BLOCK) {
            let needed = format!("a multiple of {INT8_BLOCK}");
            return Err(Error::Number { what: "the number of columns", needed, found: cols as u64 });
        }
        let count = (batch * (cols / INT8_BLOCK)) as u64;
        let bytes = int8_bytes(count);
        let blocks = if gpu.software_adapter().is_some_and(SoftwareAdapter::uniform_activations) {
            // A uniform binding must have the size that the shader declares.
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

    /// These vectors for products that do not quantize them. Before the products, the app must record
    /// [`Activations::quantize`] once, or a kernel that fills [`Activations::blocks`]; otherwise products
    /// read the blocks' previous contents.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.int8.iter_mut().for_each(|int8| int8.is_shared = true);
        self
    }

    /// The operation that quantizes the vectors, if that is left to the app ([`Activations::shared`]).
    pub fn quantize(&self) -> Option<&Op> {
        self.int8.as_ref().filter(|int8| int8.is_shared).map(|int8| &int8.quantize)
    }

    /// The operation that a product starts with: quantizing, if included.
    ///
    /// Fails with [`Error::OtherDevice`] if the int8 blocks are not on `gpu`.
    pub(super) fn included(&self, gpu: &Gpu, precision: Precision) -> Result<Op> {
        let nothing = Op::default();
        let Some(int8) = self.int8.as_ref().filter(|_| precision == Precision::Int8) else {
            return Ok(nothing);
        };
        gpu.check_device(&int8.gpu, "the activations")?;
        Ok(if int8.is_shared { nothing } else { int8.quantize.clone() })
    }

    /// The int8 blocks, if any. If they are [shared](Activations::shared), an app's kernel may fill them by
    /// [`INT8_BLOCK_WGSL`] instead of [`Activations::quantize`].
    pub fn blocks(&self) -> Option<BufferBinding<'_>> {
        self.int8.as_ref().map(|int8| int8.blocks.as_entire_buffer_binding())
    }

    /// The number of vectors.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The length of a vector.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The range that a product binds: the int8 blocks if `int8`.
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

    /// Whether the vectors are f16.
    pub(super) fn is_f16(&self) -> bool {
        self.is_f16
    }

    /// Whether the int8 blocks fit a uniform binding, which some devices read faster.
    pub(super) fn fits_uniform(&self, gpu: &Gpu) -> bool {
        let is_uniform = |int8: &Int8| {
            int8.blocks.usage().contains(BufferUsages::UNIFORM) && int8.blocks.size() == UNIFORM_BYTES
        };
        gpu.software_adapter().is_some_and(SoftwareAdapter::uniform_activations)
            && self.int8.as_ref().is_some_and(is_uniform)
    }

    /// The precision of products with quantized weights.
    pub(super) fn precision(&self) -> Precision {
        if self.int8.is_some() { Precision::Int8 } else { Precision::Exact }
    }
}
