//! Programs that read a matrix: kernels joined with a format and a storage of weights, prepared for each
//! shard.

use super::layout::{FieldLayout, VEC4_BYTES};
use super::textures::{self, WeightTextures};
use super::{Matrix, Shard, Storage};
use crate::gpu::Gpu;
use crate::gpu::device::software_adapter::UNIFORM_BYTES;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::{Dispatch, Step};
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library;
use crate::gpu::shader::params::params;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Format, Result};

/// The weights: as vec4s and the same bytes as words; with textures, the fields of vec4s and the other
/// fields.
const VEC4S: Binding = Binding::new(1, "vec4s");
const WORDS: Binding = Binding::new(2, "words");
/// The format's codebook.
const GRID: Binding = Binding::new(5, "grid");

params! {
    /// For kernels that read a matrix: a shard of its rows, and what is multiplied or looked up.
    MatrixParams in "matrix/params.wgsl" {
        /// Rows of the shard.
        rows,
        /// The shard's first row.
        first_row,
        /// Rows of the result.
        all_rows,
        /// Weights in a row.
        cols,
        /// Blocks in a row.
        row_blocks,
        /// Blocks of the shard.
        blocks,
        /// The number of vectors, or of rows to look up.
        batch,
        /// Experts per vector.
        top_k,
        /// Slices that the columns are split into.
        split_k,
        /// Experts whose matrices are bound.
        expert_count,
        /// The first row to read back.
        start_row,
    }
}

/// How a program reads weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reads {
    Buffer,
    /// Textures with this many interleaved rows.
    Textures(usize),
    /// A buffer with blocks as in a file.
    File,
}

/// A kernel joined with a format: one shader module.
#[derive(Clone, Debug)]
pub(in crate::gpu) struct MatrixProgram {
    /// The kernel's file in `shaders/`.
    file: &'static str,
    format: Format,
    /// Parts of the program's name that reflect its switches.
    name_parts: Vec<&'static str>,
    switches: Vec<Switch>,
    constants: Vec<(&'static str, usize)>,
    /// Invocations in a workgroup.
    workgroup: u64,
    reads: Reads,
}

impl MatrixProgram {
    /// The kernel in `file` for a format, with every switch off.
    pub(in crate::gpu) fn new(file: &'static str, format: Format, workgroup: u64) -> Self {
        let (name_parts, switches, constants) = Default::default();
        Self { file, format, name_parts, switches, constants, workgroup, reads: Reads::Buffer }
    }

    /// Adds a switch that the name does not tell.
    pub(in crate::gpu) fn with(mut self, switch: Switch) -> Self {
        self.switches.push(switch);
        self
    }

    /// Adds a switch that the name does not tell, if `is_on`.
    pub(in crate::gpu) fn with_if(self, is_on: bool, switch: Switch) -> Self {
        if is_on { self.with(switch) } else { self }
    }

    /// Adds a switch if `is_on`, and then `part` to the name.
    pub(in crate::gpu) fn named_if(mut self, is_on: bool, switch: Switch, part: &'static str) -> Self {
        self.name_parts.extend(is_on.then_some(part));
        self.with_if(is_on, switch)
    }

    /// Adds a part to the name.
    pub(in crate::gpu) fn named(mut self, part: &'static str) -> Self {
        self.name_parts.push(part);
        self
    }

    /// Adds a constant, also to the name.
    pub(in crate::gpu) fn constant(mut self, name: &'static str, value: usize) -> Self {
        self.constants.push((name, value));
        self
    }

    /// Reads weights from textures with this many interleaved rows.
    pub(in crate::gpu) fn reading_textures(self, interleaved_rows: usize) -> Self {
        let part = if interleaved_rows > 1 { "interleaved" } else { "textures" };
        Self { reads: Reads::Textures(interleaved_rows), ..self.named(part) }
    }

    /// Reads blocks as in a file.
    pub(in crate::gpu) fn reading_file(self) -> Self {
        Self { reads: Reads::File, ..self.named("file") }
    }

    /// Reads f16 activations.
    pub(in crate::gpu) fn reading_f16(self) -> Self {
        self.named_if(true, Switch::F16X, "f16")
    }

    /// Reads int8 activations from a uniform buffer.
    pub(in crate::gpu) fn reading_uniform(self) -> Self {
        self.named_if(true, Switch::UniformX, "uniform")
    }

    /// Lets the lanes of a subgroup of eight load activations for each other.
    pub(in crate::gpu) fn broadcasting(self) -> Self {
        self.named_if(true, Switch::BroadcastX, "subgroup8")
    }

    /// Whether the kernel decodes weights of a format with a codebook.
    fn needs_grid(&self) -> bool {
        let decodes = [Switch::Dequantize, Switch::Codes].iter().any(|switch| self.switches.contains(switch));
        decodes && self.format.info().grid.is_some()
    }

    /// The name, for example `matvec.q4_k.int8.subgroup.rows4.columns1`.
    pub(in crate::gpu) fn name(&self) -> String {
        let mut parts = vec![library::kernel_name(self.file).to_owned(), self.format.name().to_lowercase()];
        parts.extend(self.name_parts.iter().map(|&part| part.to_owned()));
        parts.extend(self.constants.iter().map(|(name, value)| format!("{}{value}", name.to_lowercase())));
        parts.join(".")
    }

    /// The WGSL text, for a compiler that may contract float operations or one that may not.
    pub(in crate::gpu) fn wgsl(&self, may_contract: bool) -> Result<String, String> {
        let layout = FieldLayout::of(self.format);
        let (interleaved_rows, storage, block_bytes) = match self.reads {
            Reads::Buffer => (1, "matrix/storage_buffer.wgsl", "matrix/block_bytes_fields.wgsl"),
            Reads::Textures(rows) => (rows, "matrix/storage_texture.wgsl", "matrix/block_bytes_fields.wgsl"),
            Reads::File => (1, "matrix/storage_file.wgsl", "matrix/block_bytes_file.wgsl"),
        };
        let is_texture = matches!(self.reads, Reads::Textures(_));
        let optional = [
            (Switch::Grid, self.needs_grid()),
            (Switch::UniformGrid, is_texture),
            (Switch::PrivateParams, is_texture),
            (Switch::NoContraction, !may_contract),
        ];
        let mut switches = vec![Switch::Matrix];
        switches.extend(layout.switches().into_iter().chain(Switch::on(optional)));
        switches.extend(&self.switches);
        let mut constants = layout.constants();
        let sizes = [
            ("WORKGROUP", self.workgroup as usize),
            ("INTERLEAVED_ROWS", interleaved_rows),
            ("VEC4_COLS", textures::VEC4.cols() as usize),
            ("WORD_COLS", textures::WORD.cols() as usize),
            ("VEC4_WORDS", layout.vec4_bytes() / 4),
            ("UNIFORM_QUADS", UNIFORM_BYTES as usize / VEC4_BYTES),
            ("GRID_QUADS", self.format.info().grid.map_or(0, |words| words().len() / 4)),
        ];
        constants.extend(sizes.map(|(name, value)| (name.to_owned(), value)));
        constants.extend(self.constants.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        let constants: Vec<_> = constants.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let wgsl = library::with_format(library::files(&switches, &constants), self.format);
        let wgsl = wgsl.alias("storage", storage).alias("block_bytes", block_bytes);
        wgsl.preprocess(self.file).map_err(|error| error.to_string())
    }
}

/// The work of a dispatch over a shard.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) struct Work {
    pub(in crate::gpu) dispatch: Dispatch,
    /// The number of vectors, or of rows to look up.
    pub(in crate::gpu) batch: usize,
    /// Rows of the result.
    pub(in crate::gpu) all_rows: usize,
    /// Experts per vector.
    pub(in crate::gpu) top_k: usize,
    /// The number of experts whose matrices these are.
    pub(in crate::gpu) expert_count: usize,
    /// Slices that the columns are split into.
    pub(in crate::gpu) split_k: usize,
    /// The first row to read back, counted in the shard.
    pub(in crate::gpu) start_row: usize,
}

impl Work {
    /// Work on `batch` vectors or rows with `all_rows` rows of results, without experts or `split_k`.
    pub(in crate::gpu) fn new(dispatch: Dispatch, batch: usize, all_rows: usize) -> Self {
        Self { dispatch, batch, all_rows, top_k: 1, expert_count: 1, split_k: 1, start_row: 0 }
    }
}

impl Gpu {
    /// Prepares `program` for each shard of a matrix.
    pub(in crate::gpu) fn prepare_with_matrix(
        &self,
        program: &MatrixProgram,
        matrix: &Matrix,
        bindings: &Bindings,
        arithmetic: Arithmetic,
        work: impl Fn(&Shard) -> Work,
    ) -> Result<Op> {
        let steps = matrix
            .shards
            .iter()
            .map(|shard| self.prepare_with_shard(program, matrix, shard, bindings, arithmetic, &work(shard)));
        Ok(Op::new(steps.collect::<Result<Vec<_>>>()?))
    }

    /// Prepares `program` for one shard.
    pub(in crate::gpu) fn prepare_with_shard(
        &self,
        program: &MatrixProgram,
        matrix: &Matrix,
        shard: &Shard,
        bindings: &Bindings,
        arithmetic: Arithmetic,
        work: &Work,
    ) -> Result<Step> {
        let grid = if program.needs_grid() { self.grid(program.format)? } else { None };
        let grid = grid.as_ref().map(|grid| Range::whole("the codebook", grid));
        let (program, bindings) = match &shard.storage {
            Storage::Buffer(buffer) | Storage::File(buffer) => {
                let weights = Range::whole("the matrix", buffer);
                let bindings = bindings.clone().read(VEC4S, &weights).read(WORDS, &weights);
                let is_file = matches!(shard.storage, Storage::File(_));
                let program = if is_file { program.clone().reading_file() } else { program.clone() };
                (program, bindings.read_optional(GRID, grid.as_ref()))
            }
            Storage::Textures(WeightTextures { vec4s, words }) => {
                let bindings = bindings.clone().texture(VEC4S, textures::VEC4.format, vec4s).texture(
                    WORDS,
                    textures::WORD.format,
                    words,
                );
                let bindings = match &grid {
                    Some(grid) => bindings.uniform(GRID, grid),
                    None => bindings,
                };
                (program.clone().reading_textures(shard.interleaved_rows as usize), bindings)
            }
        };
        let row_blocks = matrix.row_blocks() as u32;
        let params = MatrixParams {
            rows: shard.rows,
            first_row: shard.first_row,
            all_rows: work.all_rows as u32,
            cols: matrix.cols,
            row_blocks,
            blocks: shard.rows.next_multiple_of(shard.interleaved_rows) * row_blocks,
            batch: work.batch as u32,
            top_k: work.top_k as u32,
            split_k: work.split_k as u32,
            expert_count: work.expert_count as u32,
            start_row: work.start_row as u32,
        };
        let wgsl = |may_contract| program.wgsl(may_contract);
        self.prepare_step((&program.name(), arithmetic), wgsl, work.dispatch, &params, &bindings)
    }
}
