//! The kernel that multiplies rows of weights by up to 8 vectors at once: `shaders/matmul/matvec.wgsl`.

use super::EXAMPLES;
use super::variant::MOST_COLUMNS;
use crate::gpu::Gpu;
use crate::gpu::matrix::FLOAT_AND_QUANTIZED;
use crate::gpu::matrix::layout::{VEC4_BYTES, interleaved_rows};
use crate::gpu::matrix::program::MatrixProgram;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format};

/// The numbers of vectors at once that there are kernels for.
const COLUMNS: [usize; 3] = [1, 4, MOST_COLUMNS];

/// The vectors at once of the kernel for `batch` vectors. With more vectors, it runs several times.
pub(super) fn columns_for(batch: usize) -> usize {
    COLUMNS.into_iter().find(|&columns| columns >= batch).unwrap_or(MOST_COLUMNS)
}

/// Lanes that a row keeps busy: a power of two, at most a workgroup.
pub(super) fn lanes_for(format: Format, cols: usize) -> usize {
    let unit = if format.is_float() { VEC4_BYTES / format.info().block_bytes } else { 32 };
    cols.div_ceil(unit).next_power_of_two().clamp(8, WORKGROUP as usize)
}

/// How lanes share a product. The results differ by rounding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lanes {
    /// A thread computes whole rows: for software adapters, where a barrier is the most expensive operation.
    ThreadPerRow,
    /// This many lanes of a workgroup share a row: for any GPU.
    Shared(usize),
    /// A subgroup shares a row: for GPUs with subgroup operations.
    Subgroup(SubgroupSizes),
}

/// The range of a device's subgroup sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SubgroupSizes {
    least: usize,
    most: usize,
}

impl SubgroupSizes {
    pub(super) fn of(gpu: &Gpu) -> Self {
        let info = gpu.device().adapter_info();
        let [least, most] = [info.subgroup_min_size, info.subgroup_max_size].map(|size| size.max(1) as usize);
        Self { least, most }
    }
}

/// Whether and how a product selects experts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ExpertForm {
    None,
    /// Each assignment on its own.
    OneByOne,
    /// Assignments batched by expert.
    InBatches,
}

/// The kernel and its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Matvec {
    pub(super) int8: bool,
    pub(super) lanes: Lanes,
    /// Rows at once: 2, 4 or 8.
    pub(super) rows: usize,
    /// Vectors at once.
    pub(super) columns: usize,
    /// Slices that the columns are split into, each for its own workgroups.
    pub(super) split_k: usize,
}

impl Lanes {
    /// The fewest lanes that share a row.
    pub(super) fn least(self) -> usize {
        match self {
            Self::ThreadPerRow => 1,
            Self::Shared(lanes) => lanes,
            Self::Subgroup(sizes) => sizes.least,
        }
    }

    /// The most lanes that share a row.
    fn most(self) -> usize {
        match self {
            Self::Subgroup(sizes) => sizes.most,
            _ => self.least(),
        }
    }

    /// Invocations in a workgroup. A software adapter runs a workgroup on one thread; small workgroups keep
    /// all threads busy with a small matrix.
    fn workgroup(self) -> u64 {
        if self == Self::ThreadPerRow { 8 } else { WORKGROUP }
    }
}

impl Matvec {
    /// The program for a format.
    pub(super) fn program(
        self,
        format: Format,
        is_ragged: bool,
        has_bias: bool,
        experts: ExpertForm,
    ) -> MatrixProgram {
        let weights = if format.is_float() { Switch::Floats } else { Switch::Codes };
        let is_thread_per_row = self.lanes == Lanes::ThreadPerRow;
        let program = MatrixProgram::new("matmul/matvec.wgsl", format, self.lanes.workgroup())
            .with(weights)
            .named_if(is_ragged, Switch::Ragged, "ragged")
            .with_if(self.int8, Switch::Int8)
            .named(if self.int8 { "int8" } else { "exact" })
            .constant("ROWS", self.rows)
            .constant("COLUMNS", self.columns);
        let program = match self.lanes {
            // These are llvmpipe's largest kernels. A loop halves their memory and compile time.
            Lanes::ThreadPerRow => program
                .with(Switch::ThreadPerRow)
                .constant("LANES", 1)
                .with_if(self.int8, Switch::LoopOfParts),
            Lanes::Shared(lanes) => program.with(Switch::Shared).constant("LANES", lanes),
            Lanes::Subgroup(_) => program.named_if(true, Switch::Subgroup, "subgroup"),
        };
        program
            .with_if(!is_thread_per_row && format.info().pairs, Switch::PairTable)
            .named_if(has_bias, Switch::Bias, "bias")
            .named_if(experts != ExpertForm::None, Switch::Experts, "experts")
            .named_if(experts == ExpertForm::InBatches, Switch::ExpertBatches, "batches")
            .named_if(self.split_k > 1, Switch::SplitK, "split_k")
    }

    /// Whether lanes with the same vectors can load them for each other, one vec4 a lane: a part of 32
    /// numbers is eight vec4s, and eight int8 vectors are eight blocks.
    pub(super) fn can_broadcast(self, format: Format) -> bool {
        self.lanes == Lanes::ThreadPerRow && !format.is_float() && !(self.int8 && self.columns == 1)
    }

    /// The dispatch for `rows` rows and `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let row_groups = rows.div_ceil(self.rows) as u64;
        let invocations = row_groups * self.lanes.least() as u64;
        Dispatch {
            count: row_groups,
            groups: invocations.div_ceil(self.lanes.workgroup()),
            depth: (batch.div_ceil(self.columns) * self.split_k) as u64,
        }
    }

    /// The most additions between one weight's product and the result, for rows of `cols` weights.
    ///
    /// With the smallest subgroup, each lane adds the most.
    pub(super) fn longest_path(self, format: Format, cols: usize) -> usize {
        // No format fetches more than a block at once.
        let unit = format.info().block_weights.max(8);
        let additions = cols.div_ceil(unit).div_ceil(self.split_k).div_ceil(self.lanes.least()) * unit;
        additions + self.lanes.most().ilog2() as usize + self.split_k
    }
}

/// Programs for tests and compilers of other platforms: each format as on GPUs, and a few formats in every
/// form.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    let subgroup = Lanes::Subgroup(SubgroupSizes { least: 1, most: 1 });
    let thread = Lanes::ThreadPerRow;
    let kernel = |int8, lanes, rows, columns| Matvec { int8, lanes, rows, columns, split_k: 1 };
    let split = |kernel| Matvec { split_k: 4, ..kernel };
    let plain = |kernel: Matvec, format| kernel.program(format, false, false, ExpertForm::None);
    let of_each =
        [kernel(true, Lanes::Shared(64), 4, 4), kernel(true, subgroup, 4, 1), kernel(true, subgroup, 2, 1)];
    let of_few = [
        kernel(true, thread, 8, 1),
        kernel(true, subgroup, 2, 8),
        kernel(false, thread, 8, 1),
        kernel(false, Lanes::Shared(64), 4, 4),
        kernel(false, subgroup, 4, 1),
        kernel(false, subgroup, 2, 8),
        split(kernel(true, subgroup, 4, 1)),
        split(kernel(false, Lanes::Shared(64), 4, 4)),
    ];
    let of_experts = EXAMPLES.into_iter().flat_map(move |format| {
        let one = kernel(false, subgroup, 4, 1).program(format, false, false, ExpertForm::OneByOne);
        let together =
            kernel(false, Lanes::Shared(64), 2, 8).program(format, false, false, ExpertForm::InBatches);
        [one, together]
    });
    let of_f16 = FLOAT_AND_QUANTIZED
        .into_iter()
        .map(move |format| plain(kernel(false, subgroup, 2, 8), format).reading_f16());
    // As on llvmpipe.
    let in_textures = FLOAT_AND_QUANTIZED.into_iter().flat_map(move |format| {
        let rows = interleaved_rows(format);
        let exact = plain(kernel(false, thread, 8, 1), format).reading_textures(rows);
        let int8 = plain(kernel(true, thread, 8, 1), format);
        let int8 = (!format.is_float()).then(|| int8.reading_uniform().reading_textures(rows));
        [exact].into_iter().chain(int8)
    });
    let broadcasting = [kernel(false, thread, 8, 1), kernel(false, thread, 8, 8), kernel(true, thread, 8, 8)];
    let broadcasting = broadcasting.map(|kernel| {
        let program = plain(kernel, Format::Q4_0);
        program.broadcasting().reading_textures(interleaved_rows(Format::Q4_0))
    });
    // To measure the benefit of the field layout.
    let in_files = [Format::Q4_0, Format::Q8_0, Format::Q4_K, Format::Q6_K]
        .map(move |format| plain(kernel(true, subgroup, 4, 1), format).reading_file());
    let each = FORMATS.iter().flat_map(move |info| of_each.map(|kernel| (info.format, kernel)));
    let few = EXAMPLES.into_iter().flat_map(move |format| of_few.map(|kernel| (format, kernel)));
    each.chain(few)
        .filter(|(format, kernel)| !(kernel.int8 && format.is_float()))
        .map(move |(format, kernel)| plain(kernel, format))
        .chain(of_experts)
        .chain(of_f16)
        .chain(in_textures)
        .chain(broadcasting)
        .chain(in_files)
}
