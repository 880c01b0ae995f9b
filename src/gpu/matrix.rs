//! Quantized weights on the device, for operations that use them as they are.

use super::kernel::{Access, NO_CONTRACTION, Slot};
use super::op::{Dispatch, Op, Range, Resource, Step};
use super::pipeline::Arithmetic;
use super::quantizing::{Check, Load, QuantizeOptions, Quantizing, check_finite};
use super::split::{CHUNK_BYTES, Split};
use super::texels::Texels;
use super::upload::{Filling, Source};
use super::wait::Wait;
use super::{Gpu, shader, texels};
use crate::cpu::{self, Float};
use crate::{Error, Format, Result};
use std::sync::{Arc, OnceLock};
use wgpu::{BufferBinding, BufferUsages};

/// A matrix of quantized weights in a device's memory, row by row: what a file has, and nothing decoded.
///
/// The fields of its blocks lie apart (`src/gpu/split.rs`), and the rows are divided among as many buffers as the device's limits ask for. It takes as many
/// bytes as in a file, but for the last few of a buffer, and of F32, F16 and BF16 each row takes whole chunks of 16 bytes. On llvmpipe, Mesa's adapter in
/// software, the buffers are two textures each, of whole rows of 32 KiB, with room for as many rows of the matrix as 32 divides. Cheap to clone; clones share the memory, which
/// is free when the last of them and of the operations prepared with it is dropped. A matrix keeps its device
/// open.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The device that it is on.
    pub(super) gpu: Gpu,
    pub(super) format: Format,
    pub(super) rows: u32,
    pub(super) cols: u32,
    pub(super) shards: Vec<Shard>,
}

/// Some of the rows.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) blocks: Blocks,
    pub(super) bytes: u64,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    /// Rows whose blocks take turns, of which there are whole bands; or 1.
    pub(super) band: u32,
    /// What matrix units divide the rows by, once they have been asked to multiply them (`halves.rs`).
    pub(super) row_sizes: Arc<OnceLock<wgpu::Buffer>>,
}

/// Where blocks are.
#[derive(Clone, Debug)]
pub(super) enum Blocks {
    Buffer(wgpu::Buffer),
    Texels(Texels),
    /// As a file has them.
    File(wgpu::Buffer),
}

impl Matrix {
    /// Copies `rows` rows of `cols` weights to the device, from the blocks that a file has of them.
    ///
    /// A kernel lays them out as they are multiplied best; that needs 32 MiB beside the matrix meanwhile, and on llvmpipe as much again as the matrix.
    /// Returns when all is there. Fails with [`Error::Number`] where there is no row, no column, more than
    /// 2³² - 1 of them, or a row is longer than the device can bind; with [`Error::RowLength`] and
    /// [`Error::Length`] where `bytes` are not that many whole blocks; and with [`Error::DeviceMemory`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(gpu: &Gpu, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        Self::stacked(gpu, format, cols, &[(rows, bytes)])
    }

    /// [`Matrix::new`], to be awaited.
    pub async fn new_async(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Self> {
        Self::stacked_async(gpu, format, cols, &[(rows, bytes)]).await
    }

    /// The rows of several matrices of one format and width one below the other, so that one product has them all: gate and up, or query, key and value.
    ///
    /// `parts` are the rows of each and their blocks. Fails as [`Matrix::new`] does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn stacked(gpu: &Gpu, format: Format, cols: usize, parts: &[(usize, &[u8])]) -> Result<Self> {
        pollster::block_on(Self::stacked_as(Wait::Blocking, gpu, format, cols, parts))
    }

    /// [`Matrix::stacked`], to be awaited.
    pub async fn stacked_async(
        gpu: &Gpu,
        format: Format,
        cols: usize,
        parts: &[(usize, &[u8])],
    ) -> Result<Self> {
        Self::stacked_as(Wait::Async, gpu, format, cols, parts).await
    }

    async fn stacked_as(
        wait: Wait,
        gpu: &Gpu,
        format: Format,
        cols: usize,
        parts: &[(usize, &[u8])],
    ) -> Result<Self> {
        for (rows, bytes) in parts {
            cpu::check_matrix(format, *rows, cols, bytes.len())?;
        }
        let mut filling = Filling::new(gpu, wait, format, parts.iter().map(|(rows, _)| rows).sum(), cols)?;
        let mut first_row = 0;
        for (rows, bytes) in parts {
            filling.upload(first_row, bytes).await?;
            first_row += rows;
        }
        filling.finish().await
    }

    /// Quantizes `rows` rows of `cols` weights, blocks of `source`, on the device, and holds them there: the blocks are those that [`cpu::quantize`] makes.
    ///
    /// `options` are [`QuantizeOptions`], or a [`Format`] for its defaults. Only blocks of unusual magnitude
    /// come back to the host, where the CPU does them. Needs some 64 MiB beside the matrix meanwhile. Fails
    /// as [`Matrix::new`] does; with [`Error::NotEncoded`] and [`Error::Inexact`] where
    /// [`Gpu::prepare_quantize`] does; and, unless [`Check::Nothing`](super::Check::Nothing) is asked for,
    /// with [`Error::NotFinite`] for a weight that is infinite or not a number, [`Error::BadBlock`] for a
    /// scale of `source` that is, and [`Error::Overflow`] for weights that are too large for the format.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn quantized(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        pollster::block_on(Self::quantized_as(
            Wait::Blocking,
            gpu,
            source,
            rows,
            cols,
            bytes,
            &options.into(),
        ))
    }

    /// [`Matrix::quantized`], to be awaited.
    pub async fn quantized_async(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        Self::quantized_as(Wait::Async, gpu, source, rows, cols, bytes, &options.into()).await
    }

    async fn quantized_as(
        wait: Wait,
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        options: &QuantizeOptions,
    ) -> Result<Self> {
        cpu::check_matrix(source, rows, cols, bytes.len())?;
        if source == options.format {
            check_finite(&options.name, source, bytes, 0, cols, options.check)?;
            return Self::stacked_as(wait, gpu, source, cols, &[(rows, bytes)]).await;
        }
        let mut quantizing = Quantizing::new(gpu, wait, source, rows, cols, options)?;
        let (row_bytes, piece_rows) = (bytes.len() / rows, quantizing.piece_rows());
        for (i, piece) in bytes.chunks(piece_rows * row_bytes).enumerate() {
            quantizing.piece(i * piece_rows, piece.len() / row_bytes, Load::Host(piece)).await?;
        }
        quantizing.finish().await
    }

    /// [`Matrix::quantized`] of a slice of f32, f16 or bf16. To their own format they are copied.
    ///
    /// Fails as that does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_weights<W: Float>(
        gpu: &Gpu,
        rows: usize,
        cols: usize,
        weights: &[W],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        Self::quantized(gpu, W::FORMAT, rows, cols, bytemuck::cast_slice(weights), options)
    }

    /// [`Matrix::from_weights`], to be awaited.
    pub async fn from_weights_async<W: Float>(
        gpu: &Gpu,
        rows: usize,
        cols: usize,
        weights: &[W],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        Self::quantized_async(gpu, W::FORMAT, rows, cols, bytemuck::cast_slice(weights), options).await
    }

    /// Takes `rows` rows of `cols` weights from a buffer of the device, which has their blocks as a file has
    /// them; they do not pass through the host.
    ///
    /// `blocks` is a range of a buffer with usage `STORAGE`, from any byte on, of whole words: of the last,
    /// bytes after the blocks mean nothing. What was submitted before this call is done by then. The matrix
    /// is a copy. Fails as [`Matrix::new`] does, and with [`Error::ShortRange`] and [`Error::Usage`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_buffer(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        blocks: &BufferBinding<'_>,
    ) -> Result<Self> {
        pollster::block_on(Self::from_buffer_as(Wait::Blocking, gpu, format, rows, cols, blocks))
    }

    /// [`Matrix::from_buffer`], to be awaited.
    pub async fn from_buffer_async(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        blocks: &BufferBinding<'_>,
    ) -> Result<Self> {
        Self::from_buffer_as(Wait::Async, gpu, format, rows, cols, blocks).await
    }

    async fn from_buffer_as(
        wait: Wait,
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        blocks: &BufferBinding<'_>,
    ) -> Result<Self> {
        let source = range_of(format, rows, cols, blocks)?;
        let filling = Filling::new(gpu, wait, format, rows, cols)?;
        let row_bytes = format.bytes_for(cols as u64) as usize;
        let piece_rows = (gpu.piece_bytes() / row_bytes).max(1);
        for row in (0..rows).step_by(piece_rows) {
            let source = Source { offset: source.offset + (row * row_bytes) as u64, ..source.clone() };
            let prepare = |gpu: &Gpu| filling.prepare_copy(gpu, row, piece_rows.min(rows - row), &source);
            let op = gpu.prepared(wait, prepare).await?;
            let submission = gpu.guarded(|| gpu.submit(|encoder| op.record(encoder)))?;
            gpu.done(wait, submission).await?;
        }
        filling.finish().await
    }

    /// [`Matrix::quantized`] of weights in a buffer of the device, which are blocks of `source` as a file has
    /// them; of F32, F16 and BF16 the numbers, one after the other.
    ///
    /// `weights` is such a range as [`Matrix::from_buffer`] takes. Fails as these two do. Of weights in the
    /// format that they are to have, only those in F32, F16 and BF16 are looked at.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn quantized_from_buffer(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        weights: &BufferBinding<'_>,
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        let options = options.into();
        pollster::block_on(Self::quantized_from_buffer_as(
            Wait::Blocking,
            gpu,
            source,
            rows,
            cols,
            weights,
            &options,
        ))
    }

    /// [`Matrix::quantized_from_buffer`], to be awaited.
    pub async fn quantized_from_buffer_async(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        weights: &BufferBinding<'_>,
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        let options = options.into();
        Self::quantized_from_buffer_as(Wait::Async, gpu, source, rows, cols, weights, &options).await
    }

    async fn quantized_from_buffer_as(
        wait: Wait,
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        weights: &BufferBinding<'_>,
        options: &QuantizeOptions,
    ) -> Result<Self> {
        if source == options.format && (!source.is_float() || options.check == Check::Nothing) {
            return Self::from_buffer_as(wait, gpu, source, rows, cols, weights).await;
        }
        let range = range_of(source, rows, cols, weights)?;
        let mut quantizing = Quantizing::new(gpu, wait, source, rows, cols, options)?;
        let (row_bytes, piece_rows) = (source.bytes_for(cols as u64), quantizing.piece_rows());
        for row in (0..rows).step_by(piece_rows) {
            let rows_here = Source { offset: range.offset + row as u64 * row_bytes, ..range.clone() };
            quantizing.piece(row, piece_rows.min(rows - row), Load::Device(rows_here)).await?;
        }
        quantizing.finish().await
    }

    /// The same weights with blocks as they lie in a file, to be measured beside what [`Matrix::new`] makes of them; of a format that is quantized.
    #[doc(hidden)]
    pub fn as_in_file(gpu: &Gpu, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        cpu::check_matrix(format, rows, cols, bytes.len())?;
        let row_bytes = bytes.len() / rows;
        let most = gpu.max_binding_bytes().min(u64::from(u32::MAX)) / 16 * 16;
        let shard_rows = (most as usize / row_bytes).max(1);
        let shards = bytes.chunks(shard_rows * row_bytes).enumerate().map(|(i, rows)| {
            // A kernel reads whole chunks of 16 bytes.
            let mut padded = rows.to_vec();
            padded.resize(rows.len().next_multiple_of(CHUNK_BYTES), 0);
            let buffer = gpu.buffer_with(&padded, BufferUsages::STORAGE)?;
            let (first_row, rows) = ((i * shard_rows) as u32, (rows.len() / row_bytes) as u32);
            Ok(Shard {
                bytes: buffer.size(),
                blocks: Blocks::File(buffer),
                first_row,
                rows,
                band: 1,
                row_sizes: Arc::default(),
            })
        });
        Ok(Self {
            gpu: gpu.clone(),
            format,
            rows: rows as u32,
            cols: cols as u32,
            shards: shards.collect::<Result<_>>()?,
        })
    }

    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Weights in a row.
    pub fn cols(&self) -> usize {
        self.cols as usize
    }

    /// Bytes of the device's memory that it takes; four a row more once matrix units have been asked to multiply it.
    pub fn device_bytes(&self) -> u64 {
        let sizes = |shard: &Shard| shard.row_sizes.get().map_or(0, wgpu::Buffer::size);
        self.shards.iter().map(|shard| shard.bytes + sizes(shard)).sum()
    }

    /// Blocks in a row, on the device.
    pub(super) fn row_blocks(&self) -> u64 {
        Split::of(self.format).blocks(self.cols as usize) as u64
    }

    /// Quads in a row, on the device.
    pub(super) fn row_quads(&self) -> u64 {
        self.row_blocks() * Split::of(self.format).quads as u64
    }

    /// Fails with [`Error::OtherDevice`] where `gpu` is not the device that it is on.
    pub(super) fn check_device(&self, gpu: &Gpu) -> Result<()> {
        gpu.check_device(&self.gpu, "the matrix")
    }

    /// Whether a row ends within a block.
    pub(super) fn is_ragged(&self) -> bool {
        u64::from(self.cols) != 4 * self.row_quads()
    }
}

/// The weights of a matrix of this shape in a range of a buffer.
fn range_of<'a>(format: Format, rows: usize, cols: usize, binding: &BufferBinding<'a>) -> Result<Source<'a>> {
    cpu::check_positive("the number of rows", rows)?;
    cpu::check_positive("the number of columns", cols)?;
    if !cols.is_multiple_of(format.info().block_weights) {
        return Err(Error::RowLength { tensor: "the matrix".to_owned(), weights: cols as u64, format });
    }
    // Whole words are bound, which begin at one.
    let (start, end) = (binding.offset, binding.offset + format.bytes_for(cols as u64) * rows as u64);
    Range::new("the weights", binding, end.next_multiple_of(4) - start).check(1)?;
    let stride = format.info().block_bytes as u64;
    Ok(Source { name: "the weights", buffer: binding.buffer, offset: start, stride })
}

/// A kernel that takes a matrix, joined with a format: one shader module.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The name of the kernel's file.
    pub(super) kernel: &'static str,
    /// What is appended to it in the program's name.
    pub(super) form: String,
    pub(super) format: Format,
    /// Whether rows end within a block.
    pub(super) ragged: bool,
    /// Whether f16 is converted by the device itself.
    pub(super) native_half: bool,
    /// Invocations in a workgroup.
    pub(super) workgroup: u64,
    /// Rows whose blocks take turns.
    pub(super) band: usize,
    /// What chooses the kernel's text.
    pub(super) names: Vec<&'static str>,
    pub(super) constants: Vec<(&'static str, usize)>,
}

impl Program {
    /// As in `matvec.q4_k.int8.lanes64.rows4.columns1`.
    pub(super) fn name(&self) -> String {
        let mut parts = vec![self.kernel.to_owned(), self.format.name().to_lowercase()];
        parts.extend((!self.form.is_empty()).then(|| self.form.clone()));
        parts.extend(self.constants.iter().map(|(name, value)| format!("{}{value}", name.to_lowercase())));
        parts.extend(self.ragged.then(|| "ragged".to_owned()));
        parts.join(".")
    }

    /// The same, of a matrix in textures, the blocks of so many rows taking turns.
    pub(super) fn reading_texels(self, band: usize) -> Self {
        let part = if band > 1 { "bands" } else { "texels" };
        Self { band, ..self.reading("TEXELS", part) }
    }

    /// The same, of blocks as a file has them.
    pub(super) fn reading_file(self) -> Self {
        self.reading("AS_IN_FILE", "file")
    }

    /// The same, of vectors in f16.
    pub(super) fn reading_f16(self) -> Self {
        self.reading("F16_X", "f16")
    }

    /// The same, of vectors in a uniform buffer.
    pub(super) fn reading_uniform(self) -> Self {
        self.reading("UNIFORM_X", "uniform")
    }

    /// The same, of vectors that the lanes of a subgroup of eight load for each other.
    pub(super) fn broadcasting(self) -> Self {
        self.reading("BROADCAST_X", "subgroup8")
    }

    /// The same with a name defined that chooses how something is read, and `part` in the program's own.
    fn reading(mut self, name: &'static str, part: &str) -> Self {
        self.names.push(name);
        self.form = if self.form.is_empty() { part.to_owned() } else { self.form + "." + part };
        self
    }

    pub(super) fn wgsl(&self, may_contract: bool) -> Result<String, String> {
        let split = Split::of(self.format);
        let mut constants = split.constants();
        let sizes = [
            ("WORKGROUP", self.workgroup as usize),
            ("BAND", self.band),
            ("CHUNK_COLS", texels::CHUNK.cols() as usize),
            ("WORD_COLS", texels::WORD.cols() as usize),
            ("CHUNK_WORDS", split.chunk_bytes() / 4),
            ("UNIFORM_QUADS", texels::UNIFORM_BYTES as usize / CHUNK_BYTES),
            ("GRID_QUADS", self.format.info().grid.map_or(0, |words| words().len() / 4)),
        ];
        constants.extend(sizes.map(|(name, value)| (name.to_owned(), value)));
        constants.extend(self.constants.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        let constants: Vec<_> = constants.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut names = [&["MATRIX"], &split.names()[..], &self.names[..]].concat();
        let optional = [
            ("RAGGED", self.ragged),
            ("NATIVE_HALF", self.native_half),
            ("GRID", self.format.info().grid.is_some()),
            (NO_CONTRACTION, !may_contract),
        ];
        names.extend(optional.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name));
        shader::join(&format!("kernel/{}.wgsl", self.kernel), Some(self.format), &names, &constants)
    }
}

/// How much of a dispatch a shard needs, and what its kernel is told of it.
pub(super) struct Work {
    pub(super) dispatch: Dispatch,
    pub(super) batch: usize,
    /// Rows of the result, as the kernel sees them.
    pub(super) all_rows: u32,
    /// Experts that each vector goes to.
    pub(super) picks: usize,
    /// Experts whose matrices these are.
    pub(super) experts: usize,
    /// In which the columns are divided.
    pub(super) spans: usize,
}

/// What a kernel binds at 3 (read) and 4 (written), and what at 6, 7 and 8 if it takes that.
pub(super) struct Bound<'a> {
    pub(super) input: Option<Range<'a>>,
    /// Whether the kernel reads it as a uniform buffer.
    pub(super) input_is_uniform: bool,
    pub(super) output: Range<'a>,
    pub(super) bias: Option<Range<'a>>,
    pub(super) numbers: Option<Range<'a>>,
    pub(super) slots: Option<Range<'a>>,
}

impl Gpu {
    /// Prepares `program`: a dispatch for each shard.
    pub(super) fn prepare_with_matrix(
        &self,
        program: &Program,
        matrix: &Matrix,
        bound: &Bound,
        arithmetic: Arithmetic,
        work: impl Fn(&Shard) -> Work,
    ) -> Result<Op> {
        let steps = matrix.shards.iter().map(|shard| {
            let work = work(shard);
            self.prepare_with_shard(program, matrix, shard, bound, arithmetic, &work)
        });
        Ok(Op { steps: steps.collect::<Result<_>>()? })
    }

    /// And for one of them.
    pub(super) fn prepare_with_shard(
        &self,
        program: &Program,
        matrix: &Matrix,
        shard: &Shard,
        bound: &Bound,
        arithmetic: Arithmetic,
        work: &Work,
    ) -> Result<Step> {
        let grid = self.grid(program.format)?;
        let mut program = program.clone();
        let mut resources = match &shard.blocks {
            Blocks::Buffer(buffer) => {
                let weights = read(&whole("the matrix", buffer));
                vec![(1, weights.clone()), (2, weights)]
            }
            Blocks::File(buffer) => {
                program = program.reading_file();
                let weights = read(&whole("the matrix", buffer));
                vec![(1, weights.clone()), (2, weights)]
            }
            Blocks::Texels(textures) => {
                program = program.reading_texels(shard.band as usize);
                let texture = |texel, view| (Slot::Texels(texel), Resource::Texels(view));
                vec![
                    (1, texture(texels::CHUNK, &textures.chunks)),
                    (2, texture(texels::WORD, &textures.words)),
                ]
            }
        };
        let slot = if bound.input_is_uniform { Slot::Uniform } else { Slot::Storage(Access::Read) };
        let input = bound.input.iter().cloned().map(Resource::Range);
        resources.extend(input.map(|input| (3, (slot, input))));
        resources.push((4, storage(Access::ReadWrite, &bound.output)));
        let grid_slot = match &shard.blocks {
            Blocks::Texels(_) => Slot::Uniform,
            Blocks::Buffer(_) | Blocks::File(_) => Slot::Storage(Access::Read),
        };
        let grid = grid.as_ref().map(|grid| Resource::Range(whole("the codebook", grid)));
        resources.extend(grid.map(|grid| (5, (grid_slot, grid))));
        resources.extend(bound.bias.iter().map(|bias| (6, read(bias))));
        resources.extend(bound.numbers.iter().map(|numbers| (7, read(numbers))));
        resources.extend(bound.slots.iter().map(|slots| (8, read(slots))));
        let slots: Vec<_> = resources.iter().map(|(binding, (slot, _))| (*binding, *slot)).collect();
        let pipeline =
            self.pipeline(&program.name(), &slots, arithmetic, |may_contract| program.wgsl(may_contract))?;
        let row_blocks = matrix.row_blocks() as u32;
        // In the order of Params in lib/params.wgsl.
        let params = [
            shard.rows,
            shard.first_row,
            work.all_rows,
            matrix.cols,
            row_blocks,
            shard.rows.next_multiple_of(shard.band) * row_blocks,
            work.batch as u32,
            work.picks as u32,
            work.spans as u32,
            work.experts as u32,
        ];
        let resources: Vec<_> =
            resources.into_iter().map(|(binding, (_, resource))| (binding, resource)).collect();
        self.bind(pipeline, work.dispatch, &params, &resources)
    }
}

fn storage<'a>(access: Access, range: &Range<'a>) -> (Slot, Resource<'a>) {
    (Slot::Storage(access), Resource::Range(range.clone()))
}

fn read<'a>(range: &Range<'a>) -> (Slot, Resource<'a>) {
    storage(Access::Read, range)
}

pub(super) fn whole<'a>(name: &'static str, buffer: &'a wgpu::Buffer) -> Range<'a> {
    Range::new(name, &BufferBinding { buffer, offset: 0, size: None }, buffer.size())
}
