//! Reads the tensors of a file, checked against what the graph needs, into the memory of a device.

use super::graph::{Graph, Padding, StackSpec, TensorSpec};
use super::progress::Progress;
use super::rope::ROPE_DIVISORS;
use super::weights::{BiasedMatrix, CpuStack, CpuWeights, Encoded, GpuStack, GpuWeights, Weights};
use crate::gguf::{Model, Tensor, TensorType};
use crate::gpu::{Converter, Matrix};
use crate::stream::{Plan, Request};
use crate::threads::{all_threads, in_parallel};
use crate::{Device, Error, Format, Gpu, Result, cpu};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Tensors that old converters wrote and nothing reads.
const IGNORED: &str = "attn_rot_embd";
/// Prefixes of tensors for inputs other than text, which some programs' files hold beside the text's model.
const OTHER_INPUTS: [&str; 3] = ["v.", "a.", "mm."];
/// Memory for converting on a device.
const CONVERTER_BYTES: u64 = 64 << 20;
/// Weights that a thread converts at once: whole blocks of every format.
const CHUNK_WEIGHTS: usize = 1 << 18;
/// Bytes of a tensor that are read between two reports.
const READ_BYTES: usize = 16 << 20;

/// Reads tensors of a file, and converts them to the formats that they are to have.
pub(super) struct Reader<'a> {
    /// By name, with the type to convert to.
    tensors: HashMap<&'a str, (Tensor<'a>, TensorType)>,
    converter: Option<Converter>,
    /// Called with the bytes read so far.
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    read: Progress,
}

impl<'a> Reader<'a> {
    /// With `quantize`, tensors get the formats that [`crate::quantize_file`] gives them for this request.
    ///
    /// Fails with the errors of [`Plan::new`], and with [`Error::Cancelled`] if `progress` breaks off.
    pub(super) fn new(
        model: &'a Model,
        device: &Device,
        quantize: Option<&Request>,
        progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let mut tensors: HashMap<_, _> =
            model.tensors().map(|tensor| (tensor.info.name(), (tensor, tensor.info.tensor_type()))).collect();
        if let Some(request) = quantize {
            for planned in Plan::new(model, request)?.tensors() {
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

    /// Fails with [`Error::Unsupported`] where the file has a tensor that `graph` does not use.
    pub(super) fn check_all_used(&self, graph: &Graph, divisors: bool) -> Result<()> {
        let used: HashSet<&str> = graph.tensors().map(|spec| spec.name.as_str()).collect();
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

    /// A warning if there are tensors for inputs other than text.
    pub(super) fn warnings(&self) -> Vec<String> {
        let is_other = |name: &&str| OTHER_INPUTS.iter().any(|start| name.starts_with(start));
        let count = self.tensors.keys().filter(|name| is_other(name)).count();
        let warning = format!("{count} tensors for images or sound are not loaded: the model takes text");
        if count == 0 { Vec::new() } else { vec![warning] }
    }

    /// Reads a tensor and converts it.
    ///
    /// Fails with [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::Cancelled`], and the errors of
    /// reading and converting.
    fn read(&mut self, spec: &TensorSpec) -> Result<Encoded> {
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
        for (part, start) in bytes.chunks_mut(READ_BYTES).zip((0..).step_by(READ_BYTES)) {
            tensor.read_bytes(start, part)?;
            self.report(part.len())?;
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

    /// Reports that this many more bytes are read. Fails with [`Error::Cancelled`] if the callback breaks
    /// off.
    fn report(&mut self, bytes: usize) -> Result<()> {
        self.read.done += bytes as u64;
        if (self.progress)(self.read).is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Vectors as floats, end to end.
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

    /// Reads the weights of `graph` into the memory of `device`. For a GPU, the host holds one stack at a
    /// time.
    pub(super) fn load(&mut self, graph: &Graph, device: &Device) -> Result<Weights> {
        let vectors: Result<Vec<_>> = graph.vectors.iter().map(|specs| self.floats(specs)).collect();
        let vectors = vectors?;
        let output_bias = graph.output_bias.as_ref().map(|bias| self.floats(std::slice::from_ref(bias)));
        let output_bias = output_bias.transpose()?;
        match device {
            Device::Cpu => Ok(Weights::Cpu(Arc::new(CpuWeights {
                embedding: self.read(&graph.embedding)?,
                output: graph.output.as_ref().map(|output| self.read(output)).transpose()?,
                output_bias: output_bias.unwrap_or_default(),
                stacks: graph.stacks.iter().map(|stack| self.stack(stack)).collect::<Result<_>>()?,
                experts: graph.experts.iter().map(|experts| self.read(experts)).collect::<Result<_>>()?,
                vectors,
            }))),
            Device::Gpu(gpu) => Ok(Weights::Gpu(Arc::new(GpuWeights {
                gpu: gpu.clone(),
                embedding: self.matrix(gpu, &graph.embedding)?,
                output: graph.output.as_ref().map(|output| self.matrix(gpu, output)).transpose()?,
                output_bias: output_bias.map(|bias| upload_floats(gpu, &bias)).transpose()?,
                stacks: graph
                    .stacks
                    .iter()
                    .map(|stack| upload(gpu, &self.stack(stack)?))
                    .collect::<Result<_>>()?,
                experts: graph
                    .experts
                    .iter()
                    .map(|experts| self.matrix(gpu, experts))
                    .collect::<Result<_>>()?,
                vectors: vectors.iter().map(|vector| upload_floats(gpu, vector)).collect::<Result<_>>()?,
            }))),
        }
    }

    fn matrix(&mut self, gpu: &Gpu, spec: &TensorSpec) -> Result<Matrix> {
        let tensor = self.read(spec)?;
        matrix_of(gpu, std::slice::from_ref(&tensor))
    }

    fn stack(&mut self, stack: &StackSpec) -> Result<CpuStack> {
        let mut tensors =
            stack.iter().map(|matrix| self.read(&matrix.weights)).collect::<Result<Vec<_>>>()?;
        for (tensor, matrix) in tensors.iter_mut().zip(stack) {
            if let Some(padding) = matrix.weights.padding {
                // Zero bytes are zero weights in every format.
                tensor.bytes = padded(&tensor.bytes, tensor.bytes.len() / tensor.rows, padding);
                tensor.rows = tensor.rows / padding.from * padding.to;
            }
        }
        let mut biases = Vec::new();
        if stack.iter().any(|matrix| matrix.bias.is_some()) {
            for (matrix, tensor) in stack.iter().zip(&tensors) {
                match &matrix.bias {
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

/// Uploads a stack; neighbours of one format become one matrix.
fn upload(gpu: &Gpu, stack: &CpuStack) -> Result<GpuStack> {
    let mut first = 0;
    let groups = stack.tensors.chunk_by(|a, b| a.format == b.format).map(|group| {
        let weights = matrix_of(gpu, group)?;
        let rows = first..first + weights.rows();
        first = rows.end;
        let bias = stack.biases.get(rows).map(|bias| upload_floats(gpu, bias)).transpose()?;
        Ok(BiasedMatrix { weights, bias })
    });
    groups.collect()
}

/// Uploads tensors of one format as one matrix.
fn matrix_of(gpu: &Gpu, tensors: &[Encoded]) -> Result<Matrix> {
    let parts: Vec<_> = tensors.iter().map(|tensor| (tensor.rows, tensor.bytes.as_slice())).collect();
    Matrix::stacked(gpu, tensors[0].format, tensors[0].cols, &parts)
}

fn upload_floats(gpu: &Gpu, floats: &[f32]) -> Result<wgpu::Buffer> {
    gpu.buffer_with(bytemuck::cast_slice(floats), wgpu::BufferUsages::STORAGE)
}

/// Fails with [`Error::TensorShape`] unless the shapes are the same but for lengths of 1 at the end.
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

/// Converts on the CPU, chunk by chunk.
fn convert(from: Format, input: &[u8], to: Format, output: &mut [u8]) -> Result<()> {
    let bytes = |format: Format| format.bytes_for(CHUNK_WEIGHTS as u64) as usize;
    let chunks = input.chunks(bytes(from)).zip(output.chunks_mut(bytes(to))).collect();
    in_parallel(all_threads(), chunks, |(input, output)| {
        let mut weights = vec![0.0; input.len() / from.info().block_bytes * from.info().block_weights];
        cpu::dequantize(from, input, &mut weights)?;
        cpu::quantize(to, &weights, output)
    })
}
