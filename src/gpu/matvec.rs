//! The kernel that multiplies rows of quantized weights by a few vectors at a time, in its forms.

use super::kernel::WORKGROUP;
use super::matrix::{Program, Shard, Work};
use super::op::Dispatch;
use super::split;
use crate::{FORMATS, Format};

/// For how many vectors at once there are kernels; others take the next.
pub(super) const COLUMNS: [usize; 3] = [1, 4, 8];

/// Most vectors at once.
pub(super) const MOST_COLUMNS: usize = COLUMNS[COLUMNS.len() - 1];

/// For how many vectors at once there is a kernel that does `batch`, several times over where they are many.
pub(super) fn columns_for(batch: usize) -> usize {
    COLUMNS.into_iter().find(|&columns| columns >= batch).unwrap_or(MOST_COLUMNS)
}

/// Lanes that a row keeps busy: a power of two, at most a workgroup.
pub(super) fn lanes_for(format: Format, cols: usize) -> usize {
    let unit = if format.is_float() { split::CHUNK_BYTES / format.info().block_bytes } else { 32 };
    cols.div_ceil(unit).next_power_of_two().clamp(8, WORKGROUP as usize)
}

/// How lanes divide a product among them; the sums differ by rounding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lanes {
    /// A row has one owner: for adapters that compute on the CPU, where a barrier costs more than all else.
    Alone,
    /// So many lanes of a workgroup share a row: for any GPU.
    Shared(usize),
    /// A subgroup shares a row: for GPUs with subgroup operations.
    Subgroup,
}

/// How the picks of a mixture of experts are multiplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Picks {
    OneByOne,
    /// Those of one expert together.
    InBundles,
}

/// One form of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Matvec {
    pub(super) int8: bool,
    pub(super) lanes: Lanes,
    /// Rows that a lane has part in at once: 2, 4 or 8.
    pub(super) rows: usize,
    /// Vectors at once.
    pub(super) columns: usize,
    /// In which the columns of the matrix are divided, for workgroups of their own.
    pub(super) spans: usize,
}

impl Lanes {
    /// How many share a row, at least.
    pub(super) fn count(self, least_subgroup: usize) -> usize {
        match self {
            Self::Alone => 1,
            Self::Shared(lanes) => lanes,
            Self::Subgroup => least_subgroup,
        }
    }

    /// Invocations in a workgroup. On a CPU these are done by one thread: small ones keep all threads busy with the rows of a small matrix.
    fn workgroup(self) -> u64 {
        if self == Self::Alone { 8 } else { WORKGROUP }
    }
}

impl Matvec {
    /// With `experts`, each vector goes to some of them, one by one or in bundles.
    pub(super) fn program(self, format: Format, ragged: bool, bias: bool, experts: Option<Picks>) -> Program {
        let mut names = vec![if format.is_float() { "FLOATS" } else { "CODES" }];
        let mut form = Vec::new();
        form.push(if self.int8 { "int8" } else { "exact" });
        names.extend(self.int8.then_some("INT8"));
        let mut constants = vec![("ROWS", self.rows), ("COLUMNS", self.columns)];
        match self.lanes {
            Lanes::Alone => {
                names.push("ALONE");
                constants.push(("LANES", 1));
                // Of llvmpipe's kernels these are the largest: half the memory, and half the time to compile.
                names.extend(self.int8.then_some("LOOP_OF_PARTS"));
            }
            Lanes::Shared(lanes) => {
                names.push("SHARED");
                constants.push(("LANES", lanes));
            }
            Lanes::Subgroup => {
                names.push("SUBGROUP");
                form.push("subgroup");
            }
        }
        names.extend((self.lanes != Lanes::Alone && format.info().pairs).then_some("PAIR_TABLE"));
        let bundles = experts == Some(Picks::InBundles);
        let optional = [
            (bias, "BIAS", "bias"),
            (experts.is_some(), "EXPERTS", "experts"),
            (bundles, "BUNDLES", "bundles"),
            (self.spans > 1, "SPLIT", "split"),
        ];
        for (is_there, name, part) in optional {
            names.extend(is_there.then_some(name));
            form.extend(is_there.then_some(part));
        }
        Program {
            kernel: "matvec",
            form: form.join("."),
            format,
            ragged,
            native_half: true,
            workgroup: self.lanes.workgroup(),
            band: 1,
            names,
            constants,
        }
    }

    /// Whether lanes that have the same vectors could load them for each other: a part of 32 numbers takes eight quads, or eight bits of eight vectors eight blocks.
    pub(super) fn can_broadcast(self, format: Format) -> bool {
        self.lanes == Lanes::Alone && !format.is_float() && !(self.int8 && self.columns == 1)
    }

    /// What it takes to multiply `rows` rows by `batch` vectors.
    pub(super) fn work(self, rows: usize, batch: usize, least_subgroup: usize) -> Dispatch {
        let fours = rows.div_ceil(self.rows) as u64;
        let invocations = fours * self.lanes.count(least_subgroup) as u64;
        Dispatch {
            count: fours,
            groups: invocations.div_ceil(self.lanes.workgroup()),
            tiles: (batch.div_ceil(self.columns) * self.spans) as u64,
        }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    ///
    /// Of the sizes that a subgroup may have, the least leaves a lane the most.
    pub(super) fn longest_path(self, format: Format, cols: usize, subgroup: [usize; 2]) -> usize {
        let [lanes, most_lanes] = subgroup.map(|size| self.lanes.count(size));
        // No format fetches more than a block at once.
        let unit = format.info().block_weights.max(8);
        let additions = cols.div_ceil(unit).div_ceil(self.spans).div_ceil(lanes) * unit;
        additions + most_lanes.ilog2() as usize + self.spans
    }
}

/// One format of each kind: what differs among the others is how they fetch codes, and that is the same in every form.
pub(super) const EXAMPLES: [Format; 6] =
    [Format::F32, Format::F16, Format::BF16, Format::Q4_0, Format::Q4_K, Format::Q6_K];

/// A float format and another: what differs in their forms is only where kernels read.
pub(super) const PLACES: [Format; 2] = [Format::F16, Format::Q4_0];

/// What a test or a compiler elsewhere should see: each format in the forms for GPUs, and a few in every form.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    let form = |int8, lanes, rows, columns| Matvec { int8, lanes, rows, columns, spans: 1 };
    let split = |form| Matvec { spans: 4, ..form };
    let of_each = [
        form(true, Lanes::Shared(64), 4, 4),
        form(true, Lanes::Subgroup, 4, 1),
        form(true, Lanes::Subgroup, 2, 1),
    ];
    let of_few = [
        form(true, Lanes::Alone, 8, 1),
        form(true, Lanes::Subgroup, 2, 8),
        form(false, Lanes::Alone, 8, 1),
        form(false, Lanes::Shared(64), 4, 4),
        form(false, Lanes::Subgroup, 4, 1),
        form(false, Lanes::Subgroup, 2, 8),
        split(form(true, Lanes::Subgroup, 4, 1)),
        split(form(false, Lanes::Shared(64), 4, 4)),
    ];
    let of_experts = EXAMPLES.into_iter().flat_map(move |format| {
        let one = form(false, Lanes::Subgroup, 4, 1).program(format, false, false, Some(Picks::OneByOne));
        let together =
            form(false, Lanes::Shared(64), 2, 8).program(format, false, false, Some(Picks::InBundles));
        [one, together]
    });
    let of_f16 = PLACES.into_iter().map(move |format| {
        form(false, Lanes::Subgroup, 2, 8).program(format, false, false, None).reading_f16()
    });
    // As llvmpipe takes them.
    let in_textures = PLACES.into_iter().flat_map(move |format| {
        let exact = form(false, Lanes::Alone, 8, 1)
            .program(format, false, false, None)
            .reading_texels(split::band(format));
        let int8 = form(true, Lanes::Alone, 8, 1).program(format, false, false, None);
        let int8 = (!format.is_float()).then(|| int8.reading_uniform().reading_texels(split::band(format)));
        [exact].into_iter().chain(int8)
    });
    let broadcasting =
        [form(false, Lanes::Alone, 8, 1), form(false, Lanes::Alone, 8, 8), form(true, Lanes::Alone, 8, 8)]
            .map(|form| {
                let program = form.program(Format::Q4_0, false, false, None);
                program.broadcasting().reading_texels(split::band(Format::Q4_0))
            });
    // Beside what they would cost with blocks as in a file.
    let in_files = [Format::Q4_0, Format::Q8_0, Format::Q4_K, Format::Q6_K].map(move |format| {
        form(true, Lanes::Subgroup, 4, 1).program(format, false, false, None).reading_file()
    });
    let each = FORMATS.iter().flat_map(move |info| of_each.map(|form| (info.format, form)));
    let few = EXAMPLES.into_iter().flat_map(move |format| of_few.map(|form| (format, form)));
    each.chain(few)
        .filter(|(format, form)| !(form.int8 && format.is_float()))
        .map(|(format, form)| form.program(format, false, false, None))
        .chain(of_experts)
        .chain(of_f16)
        .chain(in_textures)
        .chain(broadcasting)
        .chain(in_files)
}

/// What the kernel is told of a shard.
pub(super) fn work(
    form: Matvec,
    shard: &Shard,
    batch: usize,
    all_rows: usize,
    least_subgroup: usize,
) -> Work {
    Work {
        dispatch: form.work(shard.rows as usize, batch, least_subgroup),
        batch,
        all_rows: all_rows as u32,
        picks: 1,
        experts: 1,
        spans: form.spans,
    }
}
