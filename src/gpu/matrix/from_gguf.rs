//! Creates matrices from tensors of a GGUF file.

use super::Matrix;
use super::quantize::{Load, MatrixQuantizer};
use super::quantize_options::{Check, QuantizeOptions, check_finite};
use super::upload::Upload;
use crate::gguf::{Model, Tensor};
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::{Error, Format, Result};

/// How a tensor of a file becomes a [`Matrix`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct TensorOptions {
    /// The format of the matrix; by default the file's.
    pub quantize: Option<Format>,
    /// The index of one matrix in a tensor of several, such as the experts of a mixture; by default the rows
    /// of all matrices, stacked.
    pub matrix: Option<u64>,
    /// How the weights are checked.
    pub check: Check,
}

impl TensorOptions {
    /// The whole tensor in the file's format.
    pub fn new() -> Self {
        Self::default()
    }

    /// Quantizes the tensor to `format` on the device.
    #[must_use]
    pub fn quantized(self, format: Format) -> Self {
        Self { quantize: Some(format), ..self }
    }

    /// Selects one matrix of the tensor: one expert.
    #[must_use]
    pub fn of_matrix(self, matrix: u64) -> Self {
        Self { matrix: Some(matrix), ..self }
    }

    /// Sets the check.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check, ..self }
    }
}

impl Matrix {
    /// Reads the tensor `name` of a file to the device, in the file's format: `Matrix::from_gguf(&gpu,
    /// &model, "blk.0.ffn_up.weight")`.
    ///
    /// The matrix has [`TensorInfo::rows`](crate::gguf::TensorInfo::rows) rows. The file is read in chunks of
    /// 16 MiB, or of one row if that is longer. Fails with [`Error::NoTensor`]; with [`Error::Unsupported`]
    /// if the tensor does not hold weights or is empty; as [`Tensor::read_bytes`] and [`Matrix::new`] do; and
    /// with [`Error::NotFinite`] or [`Error::BadBlock`] if a weight or a scale is not finite.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_gguf(gpu: &Gpu, model: &Model, name: &str) -> Result<Self> {
        Self::from_gguf_with(gpu, model, name, &TensorOptions::default())
    }

    /// [`Matrix::from_gguf`] with options: one expert, another format, or without the check.
    ///
    /// Also fails with [`Error::Number`] if the tensor has no such matrix, with [`Error::RowLength`] if rows
    /// are not whole blocks of the format, and as [`Matrix::quantized`] does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_gguf_with(gpu: &Gpu, model: &Model, name: &str, options: &TensorOptions) -> Result<Self> {
        pollster::block_on(Self::from_gguf_as(Wait::Blocking, gpu, model, name, options))
    }

    /// The `async` form of [`Matrix::from_gguf_with`]. Reading the file may block, depending on
    /// [`ReadAt`](crate::gguf::ReadAt).
    pub async fn from_gguf_async(
        gpu: &Gpu,
        model: &Model,
        name: &str,
        options: &TensorOptions,
    ) -> Result<Self> {
        Self::from_gguf_as(Wait::Async, gpu, model, name, options).await
    }

    async fn from_gguf_as(
        wait: Wait,
        gpu: &Gpu,
        model: &Model,
        name: &str,
        options: &TensorOptions,
    ) -> Result<Self> {
        let tensor = model.require_tensor(name)?;
        let info = tensor.info;
        let Some(format) = info.tensor_type().format() else {
            let found = format!("{} (of {name})", info.tensor_type());
            let known = "tensors of weights".to_owned();
            return Err(Error::Unsupported { what: "the type of a tensor", found, known });
        };
        if info.weights() == 0 {
            let (found, known) =
                (format!("{:?} (of {name})", info.shape()), "tensors that are not empty".to_owned());
            return Err(Error::Unsupported { what: "the shape of a tensor", found, known });
        }
        let (first_row, rows) = rows(&tensor, options.matrix)?;
        let cols = info.row_len() as usize;
        let to = options.quantize.unwrap_or(format);
        if !cols.is_multiple_of(to.info().block_weights) {
            return Err(Error::RowLength { tensor: name.to_owned(), weights: cols as u64, format: to });
        }
        let row_bytes = info.bytes().checked_div(info.rows()).unwrap_or(0);
        let read = |row: usize, rows: usize, bytes: &mut Vec<u8>| {
            bytes.resize(rows * row_bytes as usize, 0);
            tensor.read_bytes((first_row + row as u64) * row_bytes, bytes)
        };
        let mut bytes = Vec::new();
        if to == format {
            let mut upload = Upload::new(gpu, wait, format, rows, cols)?;
            let chunk_rows = (gpu.chunk_bytes() / (row_bytes as usize).max(1)).max(1);
            for row in (0..rows).step_by(chunk_rows) {
                read(row, chunk_rows.min(rows - row), &mut bytes)?;
                let first = (first_row + row as u64) * cols as u64;
                check_finite(name, format, &bytes, first, cols, options.check)?;
                upload.upload(row, &bytes).await?;
            }
            return upload.finish().await;
        }
        let quantize = QuantizeOptions::new(to).with_check(options.check).with_name(name);
        let quantizer = MatrixQuantizer::new(gpu, wait, format, rows, cols, &quantize)?;
        let mut quantizer = quantizer.of_rows_from(first_row);
        let chunk_rows = quantizer.chunk_rows();
        for row in (0..rows).step_by(chunk_rows) {
            let now = chunk_rows.min(rows - row);
            read(row, now, &mut bytes)?;
            quantizer.chunk(row, now, Load::Host(&bytes)).await?;
        }
        quantizer.finish().await
    }
}

/// The first row and the number of rows, of one matrix or of all.
fn rows(tensor: &Tensor, matrix: Option<u64>) -> Result<(u64, usize)> {
    let (all, each) = (tensor.info.rows(), tensor.info.matrix_rows());
    let Some(matrix) = matrix else { return Ok((0, all as usize)) };
    let count = all.checked_div(each).unwrap_or(0);
    if matrix >= count {
        let needed = format!("less than the {count} that {} has", tensor.info.name());
        return Err(Error::Number { what: "the number of a matrix", needed, found: matrix });
    }
    Ok((matrix * each, each as usize))
}
