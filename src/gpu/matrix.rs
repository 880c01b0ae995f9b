//! Quantized weights on the device, for operations that use them as they are.

use super::kernel::{Access, Layout, NO_CONTRACTION, WORKGROUP};
use super::op::{Op, Range};
use super::{Gpu, shader};
use crate::{Error, Format, Result, cpu};
use wgpu::{BufferBinding, BufferUsages};

/// A matrix of quantized weights in a device's memory, row by row: what a file has, and nothing decoded.
///
/// Its blocks lie as in a file, but each on a whole word; of F32, F16 and BF16 each row starts on a quad. Rows are
/// divided among as many buffers as the device's limits ask for. Cheap to clone; clones share the memory, which is free
/// when the last of them and of the operations prepared with it is dropped.
#[derive(Clone, Debug)]
pub struct Matrix {
    format: Format,
    rows: u32,
    cols: u32,
    pub(super) shards: Vec<Shard>,
}

/// A buffer with some of the rows.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    buffer: wgpu::Buffer,
    first_row: u32,
    pub(super) rows: u32,
}

impl Matrix {
    /// Copies `rows` rows of `cols` weights to the device, from the blocks that a file has of them.
    ///
    /// Returns when the bytes are on their way; needs as much of the host's memory again meanwhile. Fails with
    /// [`Error::Number`] where there is no row, no column, more than 2³² - 1 of them, or a row is longer than the device can
    /// bind; with [`Error::RowLength`] and [`Error::Length`] where `bytes` are not that many whole blocks; and with
    /// [`Error::DeviceMemory`].
    pub fn new(gpu: &Gpu, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        cpu::check_matrix(format, rows, cols, bytes.len())?;
        let row_bytes = Layout::of(format).device_bytes(cols as u64);
        let limit = gpu.max_binding_bytes();
        // Bindings are whole words; below 4 GiB, so that a shader can count the words.
        let shard_rows = (limit.min(u64::from(u32::MAX)) / row_bytes) as usize;
        if shard_rows == 0 {
            let needed = format!("at most {limit}, the device's largest binding");
            return Err(Error::Number { what: "bytes of a row", needed, found: row_bytes });
        }
        let file_row_bytes = format.bytes_for(cols as u64) as usize;
        let shards = bytes.chunks(shard_rows * file_row_bytes).enumerate().map(|(i, bytes)| {
            let rows = bytes.len() / file_row_bytes;
            let buffer = upload(gpu, Layout::of(format), bytes, file_row_bytes, row_bytes as usize)?;
            Ok(Shard { buffer, first_row: (i * shard_rows) as u32, rows: rows as u32 })
        });
        Ok(Self { format, rows: rows as u32, cols: cols as u32, shards: shards.collect::<Result<_>>()? })
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

    /// Bytes of the device's memory that it takes.
    pub fn device_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.buffer.size()).sum()
    }

    /// Blocks in a row, on the device.
    pub(super) fn row_blocks(&self) -> u64 {
        Layout::of(self.format).blocks(u64::from(self.cols))
    }

    /// Quads in a row, on the device.
    pub(super) fn row_quads(&self) -> u64 {
        self.row_blocks() * Layout::of(self.format).quads as u64
    }

    /// Whether a row ends within a quad.
    pub(super) fn is_ragged(&self) -> bool {
        !self.cols.is_multiple_of(4)
    }
}

/// A buffer with whole rows: each block on a word, each row on a block.
fn upload(
    gpu: &Gpu,
    layout: Layout,
    bytes: &[u8],
    file_row_bytes: usize,
    row_bytes: usize,
) -> Result<wgpu::Buffer> {
    let size = bytes.len() / file_row_bytes * row_bytes;
    let buffer = gpu.guarded(|| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("matrix"),
            size: size as u64,
            usage: BufferUsages::STORAGE,
            mapped_at_creation: true,
        })
    })?;
    let view = gpu.guarded(|| buffer.get_mapped_range_mut(..))?;
    let mut view = view.map_err(|error| gpu.fault(error.to_string()))?;
    if row_bytes == file_row_bytes {
        view.slice(..).copy_from_slice(bytes);
    } else {
        let stride = 4 * layout.words;
        for (r, row) in bytes.chunks(file_row_bytes).enumerate() {
            for (b, block) in row.chunks(layout.file_bytes).enumerate() {
                let at = r * row_bytes + b * stride;
                view.slice(at..at + block.len()).copy_from_slice(block);
            }
        }
    }
    drop(view);
    buffer.unmap();
    Ok(buffer)
}

/// A kernel that takes a matrix, joined with a format: one shader module.
///
/// It binds the blocks, what it reads, what it writes, and the codebook if there is one.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The name of the kernel's file.
    pub(super) kernel: &'static str,
    pub(super) format: Format,
    /// Whether rows end within a quad.
    pub(super) ragged: bool,
    /// What chooses the kernel's text.
    pub(super) names: Vec<&'static str>,
    pub(super) constants: Vec<(&'static str, usize)>,
}

impl Program {
    /// As in `matvec.q4_k.lanes64.columns1`.
    pub(super) fn name(&self) -> String {
        let mut parts = vec![self.kernel.to_owned(), self.format.name().to_lowercase()];
        parts.extend(self.constants.iter().map(|(name, value)| format!("{}{value}", name.to_lowercase())));
        parts.extend(self.ragged.then(|| "ragged".to_owned()));
        parts.join(".")
    }

    pub(super) fn wgsl(&self, may_contract: bool) -> Result<String, String> {
        let layout = Layout::of(self.format);
        let constants = [
            &[
                ("WORKGROUP", WORKGROUP as usize),
                ("BLOCK_QUADS", layout.quads),
                ("BLOCK_WORDS", layout.words),
            ],
            &self.constants[..],
        ]
        .concat();
        let mut names = [&["MATRIX", "DEQUANTIZE"], &self.names[..]].concat();
        let optional = [
            ("RAGGED", self.ragged),
            ("GRID", self.format.info().grid.is_some()),
            (NO_CONTRACTION, !may_contract),
        ];
        names.extend(optional.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name));
        shader::join(&format!("kernel/{}.wgsl", self.kernel), Some(self.format), &names, &constants)
    }
}

impl Gpu {
    /// Prepares `program`: a dispatch for each shard, with as many invocations as `invocations` says it needs.
    pub(super) fn prepare_with_matrix(
        &self,
        program: &Program,
        matrix: &Matrix,
        batch: u32,
        [input, output]: [Range; 2],
        invocations: impl Fn(&Shard) -> u64,
    ) -> Result<Op> {
        let grid = self.grid(program.format)?;
        let grid = grid.as_ref().map(|grid| whole("the codebook", grid));
        let mut bindings = vec![Access::Uniform, Access::Read, Access::Read, Access::ReadWrite];
        bindings.extend(grid.iter().map(|_| Access::Read));
        let pipeline =
            self.pipeline(&program.name(), &bindings, |may_contract| program.wgsl(may_contract))?;
        let steps = matrix.shards.iter().map(|shard| {
            // In the order of Params in lib/params.wgsl.
            let row_blocks = matrix.row_blocks() as u32;
            let params = [shard.rows, shard.first_row, matrix.rows, matrix.cols, row_blocks, batch];
            let weights = whole("the matrix", &shard.buffer);
            let bound: Vec<_> =
                [weights, input.clone(), output.clone()].into_iter().chain(grid.clone()).collect();
            self.bind(pipeline.clone(), invocations(shard), &params, &bound)
        });
        Ok(Op { steps: steps.collect::<Result<_>>()? })
    }
}

fn whole<'a>(name: &'static str, buffer: &'a wgpu::Buffer) -> Range<'a> {
    Range::new(name, &BufferBinding { buffer, offset: 0, size: None }, buffer.size())
}
