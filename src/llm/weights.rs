//! The tensors of a file, checked against what the graph needs of them and put where they are multiplied by.

use super::graph::{Graph, Padding, ROPE_DIVISORS, Stack, TensorSpec};
use super::ops_cpu::{all_threads, in_parallel};
use super::session::Progress;
use crate::gguf::{Model, Tensor, TensorType};
use crate::gpu::{Converter, Matrix};
use crate::mix::FileType;
use crate::stream::{Plan, Request};
use crate::{Device, Error, Format, Gpu, Result, cpu};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Tensors that old converters wrote and nothing reads.
const IGNORED: &str = "attn_rot_embd";
/// Beginnings of the names of tensors for inputs other than text, which files of some programs carry beside
/// the text's model.
const OTHER_INPUTS: [&str; 3] = ["v.", "a.", "mm."];
/// Memory for converting on a device.
const CONVERTER_BYTES: u64 = 64 << 20;
/// Weights that a thread converts at once: whole blocks of every format.
const PIECE_WEIGHTS: usize = 1 << 18;
/// Bytes of a tensor that are read between two reports.
const READ_BYTES: usize = 16 << 20;

/// A tensor on the host.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) bytes: Vec<u8>,
}

/// All weights of a model, numbered as in [`Graph`].
#[derive(Debug)]
pub(super) enum Weights {
    Cpu(CpuWeights),
    Gpu(GpuWeights),
}

#[derive(Debug)]
pub(super) struct CpuWeights {
    pub(super) matrices: Vec<CpuStack>,
    pub(super) vectors: Vec<Vec<f32>>,
}

/// Tensors whose rows follow one another.
#[derive(Debug)]
pub(super) struct CpuStack {
    pub(super) tensors: Vec<Encoded>,
    /// For each row, or empty.
    pub(super) biases: Vec<f32>,
}

#[derive(Debug)]
pub(super) struct GpuWeights {
    pub(super) gpu: Gpu,
    /// Each some matrices whose rows follow one another: neighbours of one format are one.
    pub(super) matrices: Vec<Vec<Biased>>,
    pub(super) vectors: Vec<wgpu::Buffer>,
}

/// A matrix, and what is added to products with it.
#[derive(Debug)]
pub(super) struct Biased {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<wgpu::Buffer>,
}

impl Weights {
    /// Bytes where they are multiplied by.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Cpu(weights) => {
                let tensors = weights.matrices.iter().flat_map(|stack| &stack.tensors);
                let biases = weights.matrices.iter().map(|stack| &stack.biases);
                let floats = weights.vectors.iter().chain(biases).map(|vector| 4 * vector.len() as u64);
                tensors.map(|tensor| tensor.bytes.len() as u64).chain(floats).sum()
            }
            Self::Gpu(weights) => {
                let matrices = weights.matrices.iter().flatten();
                let biases = matrices.clone().filter_map(|biased| biased.bias.as_ref());
                let buffers = weights.vectors.iter().chain(biases).map(wgpu::Buffer::size);
                matrices.map(|biased| biased.matrix.device_bytes()).chain(buffers).sum()
            }
        }
    }
}

/// Reads tensors of a file, in the formats that they are to have.
pub(super) struct Reader<'a> {
    tensors: HashMap<&'a str, (Tensor<'a>, TensorType)>,
    converter: Option<Converter>,
    /// Called with the bytes that are read.
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    read: Progress,
}

impl<'a> Reader<'a> {
    /// With `quantize`, tensors get the formats that a file of this type has, as [`crate::quantize_file`] would write it.
    pub(super) fn new(
        model: &'a Model,
        device: &Device,
        quantize: Option<FileType>,
        progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let mut tensors: HashMap<_, _> =
            model.tensors().map(|tensor| (tensor.info.name(), (tensor, tensor.info.tensor_type()))).collect();
        if let Some(file_type) = quantize {
            for planned in Plan::new(model, &Request::new(file_type))?.tensors() {
                if let Some((_, target)) = tensors.get_mut(planned.from.name()) {
                    *target = planned.to.tensor_type();
                }
            }
        }
        let converter = match device {
            Device::Gpu(gpu) if gpu.misrounding().is_none() => Some(Converter::new(gpu, CONVERTER_BYTES)),
            _ => None,
        };
        let total = model.tensors().map(|tensor| tensor.info.bytes()).sum();
        let mut reader = Self { tensors, converter, progress, read: Progress { done: 0, total } };
        reader.report(0)?;
        Ok(reader)
    }

    /// Fails with [`Error::Unsupported`] where the file has a tensor that `graph` has no use for.
    pub(super) fn check_all_used(&self, graph: &Graph, divisors: bool) -> Result<()> {
        let stacks = graph.matrices.iter();
        let of_stacks = stacks.flat_map(|stack| stack.tensors.iter().chain(stack.biases.iter().flatten()));
        let specs = of_stacks.chain(graph.vectors.iter().flatten());
        let used: HashSet<&str> = specs.map(|spec| spec.name.as_str()).collect();
        let is_used = |name: &str| {
            used.contains(name)
                || name.contains(IGNORED)
                || divisors && name == ROPE_DIVISORS
                || OTHER_INPUTS.iter().any(|start| name.starts_with(start))
        };
        // The first by name, so that the message is always the same.
        match self.tensors.keys().filter(|name| !is_used(name)).min() {
            None => Ok(()),
            Some(&name) => {
                let known = "models without it".to_owned();
                Err(Error::Unsupported { what: "a tensor of the file", found: name.to_owned(), known })
            }
        }
    }

    /// What to say of tensors that are there for inputs other than text.
    pub(super) fn warnings(&self) -> Vec<String> {
        let is_other = |name: &&str| OTHER_INPUTS.iter().any(|start| name.starts_with(start));
        let count = self.tensors.keys().filter(|name| is_other(name)).count();
        let warning = format!("{count} tensors for images or sound are not loaded: the model takes text");
        if count == 0 { Vec::new() } else { vec![warning] }
    }

    /// Reads a tensor and converts it.
    ///
    /// Fails with [`Error::MissingTensor`], with [`Error::TensorShape`], and with what reading and converting fail with.
    pub(super) fn read(&mut self, spec: &TensorSpec) -> Result<Encoded> {
        let Some(&(tensor, target)) = self.tensors.get(spec.name.as_str()) else {
            return Err(Error::MissingTensor { tensor: spec.name.clone() });
        };
        check_shape(spec, tensor.info.shape())?;
        let format = |tensor_type: TensorType| {
            tensor_type.format().ok_or_else(|| Error::Unsupported {
                what: "the type of a tensor",
                found: tensor_type.to_string(),
                known: "formats of weights".to_owned(),
            })
        };
        let (from, to) = (format(tensor.info.tensor_type())?, format(target)?);
        let mut bytes = vec![0; tensor.info.bytes() as usize];
        for (piece, start) in bytes.chunks_mut(READ_BYTES).zip((0..).step_by(READ_BYTES)) {
            tensor.read_bytes(start, piece)?;
            self.report(piece.len())?;
        }
        if from != to {
            let source = bytes;
            bytes = vec![0; to.bytes_for(tensor.info.weights()) as usize];
            match &mut self.converter {
                Some(converter) => {
                    converter.convert(from, &source, to, &mut bytes)?;
                }
                None => convert(from, &source, to, &mut bytes)?,
            }
        }
        let (rows, cols) = (tensor.info.rows() as usize, tensor.info.row_len() as usize);
        Ok(Encoded { format: to, rows, cols, bytes })
    }

    /// Fails with [`Error::Cancelled`] where that is wanted.
    fn report(&mut self, bytes: usize) -> Result<()> {
        // A tensor that is two, as a tied embedding, is read twice.
        self.read.done = self.read.total.min(self.read.done + bytes as u64);
        if (self.progress)(self.read).is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Vectors as floats, one after the other.
    pub(super) fn floats(&mut self, specs: &[TensorSpec]) -> Result<Vec<f32>> {
        let mut floats = Vec::new();
        for spec in specs {
            let tensor = self.read(spec)?;
            let mut found = vec![0.0; tensor.rows * tensor.cols];
            cpu::dequantize(tensor.format, &tensor.bytes, &mut found)?;
            match spec.padding {
                None => floats.append(&mut found),
                Some(padding) => floats.extend(padded(&found, 1, padding)),
            }
        }
        Ok(floats)
    }

    /// All that `graph` needs, where `device` multiplies by it. On a GPU's behalf the host has one stack at a time.
    pub(super) fn load(&mut self, graph: &Graph, device: &Device) -> Result<Weights> {
        let vectors: Result<Vec<_>> = graph.vectors.iter().map(|specs| self.floats(specs)).collect();
        let vectors = vectors?;
        match device {
            Device::Cpu => {
                let matrices = graph.matrices.iter().map(|stack| self.stack(stack)).collect::<Result<_>>()?;
                Ok(Weights::Cpu(CpuWeights { matrices, vectors }))
            }
            Device::Gpu(gpu) => {
                let upload = |stack| upload(gpu, &self.stack(stack)?);
                let matrices = graph.matrices.iter().map(upload).collect::<Result<_>>()?;
                let vectors = vectors.iter().map(|vector| floats(gpu, vector)).collect::<Result<_>>()?;
                Ok(Weights::Gpu(GpuWeights { gpu: gpu.clone(), matrices, vectors }))
            }
        }
    }

    fn stack(&mut self, stack: &Stack) -> Result<CpuStack> {
        let mut tensors = stack.tensors.iter().map(|spec| self.read(spec)).collect::<Result<Vec<_>>>()?;
        for (tensor, spec) in tensors.iter_mut().zip(&stack.tensors) {
            if let Some(padding) = spec.padding {
                // Zero bytes are zero weights in every format.
                tensor.bytes = padded(&tensor.bytes, tensor.bytes.len() / tensor.rows, padding);
                tensor.rows = tensor.rows / padding.from * padding.to;
            }
        }
        let mut biases = Vec::new();
        if stack.biases.iter().any(Option::is_some) {
            for (bias, tensor) in stack.biases.iter().zip(&tensors) {
                match bias {
                    Some(bias) => biases.extend(self.floats(std::slice::from_ref(bias))?),
                    None => biases.resize(biases.len() + tensor.rows, 0.0),
                }
            }
        }
        Ok(CpuStack { tensors, biases })
    }
}

/// Rows of `row` elements with zeros behind each group of them.
fn padded<T: Copy + Default>(rows: &[T], row: usize, padding: Padding) -> Vec<T> {
    let groups = rows.len() / (padding.from * row);
    let mut all = Vec::with_capacity(groups * padding.to * row);
    for group in rows.chunks(padding.from * row) {
        all.extend_from_slice(group);
        all.resize(all.len() + (padding.to - padding.from) * row, T::default());
    }
    all
}

/// A stack on the device.
fn upload(gpu: &Gpu, stack: &CpuStack) -> Result<Vec<Biased>> {
    let mut first = 0;
    let groups = stack.tensors.chunk_by(|a, b| a.format == b.format).map(|group| {
        let parts: Vec<_> = group.iter().map(|tensor| (tensor.rows, tensor.bytes.as_slice())).collect();
        let matrix = Matrix::stacked(gpu, group[0].format, group[0].cols, &parts)?;
        let rows = first..first + matrix.rows();
        first = rows.end;
        let bias = stack.biases.get(rows).map(|bias| floats(gpu, bias)).transpose()?;
        Ok(Biased { matrix, bias })
    });
    groups.collect()
}

fn floats(gpu: &Gpu, floats: &[f32]) -> Result<wgpu::Buffer> {
    gpu.buffer_with(bytemuck::cast_slice(floats), wgpu::BufferUsages::STORAGE)
}

/// Lengths of 1 at the end are nothing.
fn check_shape(spec: &TensorSpec, found: &[u64]) -> Result<()> {
    let significant = |shape: &[u64]| {
        let length = shape.iter().rposition(|&length| length != 1).map_or(0, |last| last + 1);
        shape[..length].to_vec()
    };
    if significant(&spec.shape) == significant(found) {
        return Ok(());
    }
    let (needed, found) = (spec.shape.clone(), found.to_vec());
    Err(Error::TensorShape { tensor: spec.name.clone(), needed, found })
}

/// Converts on the CPU, in pieces.
fn convert(from: Format, input: &[u8], to: Format, output: &mut [u8]) -> Result<()> {
    let bytes = |format: Format| format.bytes_for(PIECE_WEIGHTS as u64) as usize;
    let pieces = input.chunks(bytes(from)).zip(output.chunks_mut(bytes(to))).collect();
    in_parallel(all_threads(), pieces, |(input, output)| {
        let mut weights = vec![0.0; input.len() / from.info().block_bytes * from.info().block_weights];
        cpu::dequantize(from, input, &mut weights)?;
        cpu::quantize(to, &weights, output)
    })
}
