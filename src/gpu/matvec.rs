//! Products of quantized weights and a few vectors, on the device.

use super::Gpu;
use super::matrix::{Matrix, Program};
use super::op::{Op, Range};
use crate::{Error, FORMATS, Format, Result, cpu};
use wgpu::{BufferBinding, DeviceType};

/// Most vectors that one operation multiplies.
const MAX_BATCH: usize = 8;
/// For how many vectors there are kernels; others take the next.
const COLUMNS: [usize; 3] = [1, 4, 8];
/// Rows that a lane has part in at once.
const LANE_ROWS: u64 = 4;

/// How lanes divide a product among them; the sums differ by rounding.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MatvecForm {
    /// A workgroup shares each row, which is then read by neighbours at once: for GPUs.
    Shared,
    /// A row has one owner: for adapters that compute on the CPU, where a barrier costs more than all else.
    Alone,
}

impl MatvecForm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Shared, Self::Alone];

    /// Lanes that have part in a row.
    fn lanes(self) -> usize {
        match self {
            Self::Shared => super::kernel::WORKGROUP as usize,
            Self::Alone => 1,
        }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub fn longest_path(self, format: Format, cols: usize) -> usize {
        let unit_weights = if has_codes(format) { 32 } else { 4 };
        let units = cols.div_ceil(unit_weights);
        unit_weights * units.div_ceil(self.lanes()) + self.lanes().ilog2() as usize
    }
}

/// The part of a format file that gives 32 codes at once.
const CODES: &str = "CODES";

fn has_codes(format: Format) -> bool {
    format.info().shader.lines().any(|line| line.strip_prefix("#ifdef ") == Some(CODES))
}

fn program(format: Format, ragged: bool, form: MatvecForm, columns: usize) -> Program {
    let mut names = vec!["FINITE"];
    names.extend((form == MatvecForm::Shared).then_some("SHARED"));
    names.extend(has_codes(format).then_some(CODES));
    let constants = vec![("LANES", form.lanes()), ("COLUMNS", columns)];
    Program { kernel: "matvec", format, ragged, names, constants }
}

/// Every program there is.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    FORMATS.iter().flat_map(|info| {
        let raggeds = [false, true].into_iter().filter(|ragged| !ragged || info.format.is_float());
        raggeds.flat_map(move |ragged| {
            MatvecForm::ALL.into_iter().flat_map(move |form| {
                COLUMNS.into_iter().map(move |columns| program(info.format, ragged, form, columns))
            })
        })
    })
}

impl Gpu {
    /// Prepares y = x·Wᵀ, the products of all rows of `matrix` with `batch` vectors, 1 to 8.
    ///
    /// `x` has `batch` rows of [`Matrix::cols`] numbers and `y` receives `batch` rows of [`Matrix::rows`], all f32; both are
    /// ranges of buffers with usage `STORAGE`, which must not overlap. Weights are read once for all vectors, and one
    /// dispatch does each buffer of the matrix. Sums are f32: a result is off by at most Σ|wᵢxᵢ| times 2⁻²⁴ times the
    /// additions that a product goes through, which on a GPU are a 64th of the columns and a few. Weights and `x` are
    /// finite; magnitudes below 2⁻¹²⁶ may count as 0.
    ///
    /// Compiles what was not needed before. Fails with [`Error::Number`] for another batch, with [`Error::ShortRange`], and
    /// with [`Error::Device`] where a range is not aligned as the device wants or its buffer lacks the usage.
    pub fn prepare_matvec(
        &self,
        matrix: &Matrix,
        x: &BufferBinding,
        y: &BufferBinding,
        batch: usize,
    ) -> Result<Op> {
        let is_software = self.device().adapter_info().device_type == DeviceType::Cpu;
        let form = if is_software { MatvecForm::Alone } else { MatvecForm::Shared };
        self.prepare_matvec_as(form, matrix, x, y, batch)
    }

    /// [`Gpu::prepare_matvec`] in a form that the caller chooses.
    #[doc(hidden)]
    pub fn prepare_matvec_as(
        &self,
        form: MatvecForm,
        matrix: &Matrix,
        x: &BufferBinding,
        y: &BufferBinding,
        batch: usize,
    ) -> Result<Op> {
        let columns = COLUMNS.into_iter().find(|&columns| columns >= batch).filter(|_| batch > 0);
        let Some(columns) = columns else {
            let needed = format!("1 to {MAX_BATCH}");
            return Err(Error::Number { what: "the batch", needed, found: batch as u64 });
        };
        let program = program(matrix.format(), matrix.is_ragged(), form, columns);
        let floats = |name, binding, count: usize| Range::new(name, binding, 4 * (batch * count) as u64);
        let ranges = [floats("x", x, matrix.cols()), floats("y", y, matrix.rows())];
        self.prepare_with_matrix(&program, matrix, batch as u32, ranges, |shard| {
            u64::from(shard.rows).div_ceil(LANE_ROWS) * form.lanes() as u64
        })
    }

    /// y = x·Wᵀ on slices, in buffers of its own; waits for the result.
    ///
    /// `x` has 1 to 8 rows of [`Matrix::cols`] numbers, `y` as many of [`Matrix::rows`]. As exact as
    /// [`Gpu::prepare_matvec`], which costs less where it is done again. Fails with [`Error::Number`] where the
    /// lengths do not fit, and with what the device reports.
    pub fn matvec(&self, matrix: &Matrix, x: &[f32], y: &mut [f32]) -> Result<()> {
        let batch = cpu::check_product(matrix.rows(), matrix.cols(), x, y)?;
        self.run_once(x, y, |x, y| self.prepare_matvec(matrix, x, y, batch))
    }
}
