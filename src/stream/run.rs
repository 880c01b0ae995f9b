//! The pipeline: one thread reads, some convert, the caller's writes.
//!
//! A fixed number of buffers goes round: the reader fills one with a portion of a tensor, a worker converts it,
//! the writer writes it and hands the buffer back. Portions are numbered; the writer takes them in order, so the
//! first error that is reported is the first in the file, whatever thread was faster.

use super::engine::{Engine, Tally};
use super::{Plan, PlannedFile, PlannedTensor, Progress};
use crate::cpu::MAX_THREADS;
use crate::gguf::{Model, Tensor, TensorType, Writer};
use crate::{Device, Error, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io::Write;
use std::mem;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Instant;

/// Larger portions gain nothing: reading and writing them costs far more than handing them on.
const PORTION_BYTES: u64 = 8 << 20;
/// On a GPU each costs a submission and two waits.
const GPU_PORTION_BYTES: u64 = 32 << 20;
/// Enough that one goes up and one comes down while one is computed.
const GPU_WORKERS: u64 = 3;

/// What a run may use: [`Resources::default`], changed by the methods that begin with `with_`, or field by
/// field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resources {
    /// Where to convert.
    pub device: Device,
    /// Threads that convert on the CPU, 1024 at most; one reads and one writes beside them.
    pub threads: NonZeroUsize,
    /// Bytes for all buffers together, those on the device too.
    pub memory_bytes: u64,
}

impl Default for Resources {
    /// All cores of the CPU and 256 MiB.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { device: Device::Cpu, threads, memory_bytes: 256 << 20 }
    }
}

impl Resources {
    /// These, with another [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// These, with another [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// These, with another [`memory_bytes`](Self::memory_bytes).
    #[must_use]
    pub fn with_memory_bytes(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, ..self }
    }

    /// Fails with [`Error::Memory`] where a row of some tensor does not fit.
    pub(super) fn check(&self, plan: &Plan) -> Result<()> {
        match plan.tensors().max_by_key(|tensor| row_bytes(tensor)) {
            Some(tensor) if row_bytes(tensor) > self.memory_bytes => Err(Error::Memory {
                tensor: tensor.to.name().to_owned(),
                row_bytes: row_bytes(tensor),
                memory_bytes: self.memory_bytes,
            }),
            _ => Ok(()),
        }
    }

    /// How many threads convert.
    fn workers(&self) -> usize {
        match self.device {
            Device::Cpu => self.threads.get().min(MAX_THREADS),
            Device::Gpu(_) => GPU_WORKERS as usize,
        }
    }

    /// Bytes for the buffers that go round, and for those of each worker.
    fn shares(&self) -> (u64, u64) {
        match self.device {
            Device::Cpu => (self.memory_bytes, 0),
            Device::Gpu(_) => (self.memory_bytes / 2, self.memory_bytes / 2 / GPU_WORKERS),
        }
    }

    /// How many buffers there are, and how many bytes a portion may take in one, input and output together.
    ///
    /// Enough buffers to read one and write one while every worker has one, or fewer where rows are long.
    fn buffers(&self, plan: &Plan) -> (usize, u64) {
        let wanted = self.workers() as u64 + 2;
        let largest = if matches!(self.device, Device::Cpu) { PORTION_BYTES } else { GPU_PORTION_BYTES };
        let longest_row = plan.tensors().map(row_bytes).max().unwrap_or(0).max(1);
        let (bytes, _) = self.shares();
        // A row that takes more than the share may have all that is allowed.
        let bytes = bytes.max(longest_row);
        let count = (bytes / longest_row).clamp(1, wanted);
        (count as usize, (bytes / count).min(largest.max(longest_row)))
    }
}

/// Bytes that one row takes in a buffer: its two halves change places when a tensor is copied, so each has room for
/// the longer form of the row.
fn row_bytes(tensor: &PlannedTensor) -> u64 {
    let longer = tensor.from.bytes().max(tensor.to.bytes());
    2 * longer.checked_div(tensor.from.rows()).unwrap_or(0)
}

/// Some rows of one tensor.
#[derive(Clone)]
struct Portion<'a> {
    tensor: &'a PlannedTensor,
    rows: Range<u64>,
}

impl Portion<'_> {
    /// The place of its rows among the `tensor_bytes` of all rows.
    fn bytes_of(&self, tensor_bytes: u64) -> Range<u64> {
        let row_bytes = tensor_bytes.checked_div(self.tensor.from.rows()).unwrap_or(0);
        self.rows.start * row_bytes..self.rows.end * row_bytes
    }

    /// Row and column of its `weight`th weight.
    fn place(&self, weight: usize) -> (u64, u64) {
        let row_len = self.tensor.from.row_len();
        (self.rows.start + weight as u64 / row_len, weight as u64 % row_len)
    }
}

/// The work for one file in its order: every tensor in as few portions of whole rows as fit, but in one at least,
/// so that each is heard of.
fn portions(file: &PlannedFile, portion_bytes: u64) -> impl Iterator<Item = Portion<'_>> {
    file.tensors.iter().flat_map(move |tensor| {
        let rows = tensor.from.rows();
        let step = (portion_bytes / row_bytes(tensor).max(1)).max(1);
        let starts = (0..rows.max(1)).step_by(step as usize);
        starts.map(move |start| Portion { tensor, rows: start..(start + step).min(rows) })
    })
}

/// A buffer that goes round.
struct Buffer {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Buffer {
    /// Room for any portion, so that its halves never grow.
    fn new(portion_bytes: u64) -> Self {
        let half = portion_bytes as usize / 2;
        Self { input: Vec::with_capacity(half), output: Vec::with_capacity(half) }
    }
}

/// A portion on its way, with its number.
type Numbered<'a, T> = (usize, Portion<'a>, T);

/// Writes every file of `plan`, each into what `open` gives for its number.
pub(super) fn run<W: Write>(
    plan: &Plan,
    model: &Model,
    resources: &Resources,
    mut open: impl FnMut(usize) -> Result<W>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Tally> {
    resources.check(plan)?;
    let mut meter = Meter::new(plan, progress);
    let sources: Vec<Tensor> = model.tensors().collect();
    let (buffer_count, portion_bytes) = resources.buffers(plan);
    let (_, engine_bytes) = resources.shares();
    let tally = Tally::default();
    for (file_index, file) in plan.files.iter().enumerate() {
        let cannot_write = |source| Error::Write { file_index, source };
        let mut writer = Writer::new(open(file_index)?, file.layout.clone()).map_err(cannot_write)?;
        let portions = portions(file, portion_bytes);
        let buffers = (0..buffer_count).map(|_| Buffer::new(portion_bytes)).collect();
        let engine = || Engine::new(&resources.device, engine_bytes, plan.verify, &tally);
        let engines = (0..resources.workers()).map(|_| engine()).collect();
        convert_in_order(portions, &sources, engines, buffers, |portion, output| {
            writer.write_data(output).map_err(cannot_write)?;
            meter.wrote(portion, output.len())
        })?;
        writer.finish().map_err(cannot_write)?;
    }
    Ok(tally)
}

/// Reads and converts portions on other threads and hands their output to `write`, in order, on this one.
fn convert_in_order<'a>(
    portions: impl Iterator<Item = Portion<'a>> + Send,
    sources: &[Tensor],
    engines: Vec<Engine>,
    buffers: Vec<Buffer>,
    mut write: impl FnMut(&Portion, &[u8]) -> Result<()>,
) -> Result<()> {
    let (free_sender, free) = bounded(buffers.len());
    let (read_sender, read) = bounded(buffers.len());
    let (done_sender, done) = bounded(buffers.len());
    // When one end stops, for whatever reason, its channels close and the others follow. This end owns its
    // channels by `move`: borrowed, they would stay open while the others wait on them.
    thread::scope(move |scope| {
        let failed = done_sender.clone();
        scope.spawn(move || read_all(portions, sources, &free, &read_sender, &failed));
        for engine in engines {
            let (read, done) = (read.clone(), done_sender.clone());
            scope.spawn(move || convert_all(engine, &read, &done));
        }
        drop((read, done_sender));
        for buffer in buffers {
            // Fails only when the reader has nothing more to read.
            let _ = free_sender.send(buffer);
        }
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (number, portion, result) in done {
            early.insert(number, (portion, result));
            while let Some((portion, result)) = early.remove(&next) {
                let buffer = result?;
                write(&portion, &buffer.output)?;
                let _ = free_sender.send(buffer);
                next += 1;
            }
        }
        Ok(())
    })
}

fn read_all<'a>(
    portions: impl Iterator<Item = Portion<'a>>,
    sources: &[Tensor],
    free: &Receiver<Buffer>,
    read: &Sender<Numbered<'a, Buffer>>,
    failed: &Sender<Numbered<'a, Result<Buffer>>>,
) {
    for (number, portion) in portions.enumerate() {
        let Ok(mut buffer) = free.recv() else { return };
        let range = portion.bytes_of(portion.tensor.from.bytes());
        buffer.input.resize((range.end - range.start) as usize, 0);
        let source = &sources[portion.tensor.source_index];
        if let Err(error) = source.read_bytes(range.start, &mut buffer.input) {
            // Fails only when the writer has stopped already.
            let _ = failed.send((number, portion, Err(error)));
            return;
        }
        if read.send((number, portion, buffer)).is_err() {
            return;
        }
    }
}

fn convert_all<'a>(
    mut engine: Engine,
    read: &Receiver<Numbered<'a, Buffer>>,
    done: &Sender<Numbered<'a, Result<Buffer>>>,
) {
    for (number, portion, mut buffer) in read {
        let converting = AssertUnwindSafe(|| convert(&portion, &mut buffer, &mut engine));
        let result = panic::catch_unwind(converting).unwrap_or_else(|panic| {
            // The portion would be waited for; that the writer stops is all that this error does.
            let _ = done.send((number, portion.clone(), Err(Error::Cancelled)));
            panic::resume_unwind(panic)
        });
        if done.send((number, portion, result.map(|()| buffer))).is_err() {
            return;
        }
    }
}

/// Makes the output of a buffer from its input.
fn convert(portion: &Portion, buffer: &mut Buffer, engine: &mut Engine) -> Result<()> {
    let tensor = portion.tensor;
    let Buffer { input, output } = buffer;
    if let Some(fault) = first_fault(portion, input) {
        return Err(fault);
    }
    let (from, to) = (tensor.from.tensor_type(), tensor.to.tensor_type());
    let (TensorType::Weights(from), TensorType::Weights(to), false) = (from, to, from == to) else {
        mem::swap(input, output);
        return Ok(());
    };

    let bytes = portion.bytes_of(tensor.to.bytes());
    output.resize((bytes.end - bytes.start) as usize, 0);
    let name = || tensor.to.name().to_owned();
    if let Some(weight) = engine.convert(from, input, to, output)? {
        let (row, column) = portion.place(weight);
        return Err(Error::Differs { device: engine.device(), tensor: name(), row, column, format: to });
    }
    match to.first_invalid_block(output) {
        None => Ok(()),
        Some(block) => {
            let (row, column) = portion.place(block * to.info().block_weights);
            Err(Error::Overflow { tensor: name(), row, column, format: to })
        }
    }
}

/// The first number in a portion's input that is not finite: a weight, or the scale of a block.
fn first_fault(portion: &Portion, input: &[u8]) -> Option<Error> {
    let tensor = || portion.tensor.from.name().to_owned();
    match portion.tensor.from.tensor_type() {
        TensorType::Weights(format) => {
            let place = |weight| {
                let (row, column) = portion.place(weight);
                (tensor(), row, column)
            };
            format.check_finite(input, place).err()
        }
        TensorType::F64 => {
            let numbers = input.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            let (index, value) = numbers.enumerate().find(|(_, value)| !value.is_finite())?;
            let (row, column) = portion.place(index);
            Some(Error::NotFinite { tensor: tensor(), row, column, value: value as f32 })
        }
        _ => None,
    }
}

/// Counts what is written and tells the caller.
struct Meter<'a> {
    tensor_count: usize,
    total_read_bytes: u64,
    start: Instant,
    tensor_index: usize,
    read_bytes: u64,
    written_bytes: u64,
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

impl<'a> Meter<'a> {
    fn new(plan: &Plan, progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Self {
        Self {
            tensor_count: plan.tensors().count(),
            total_read_bytes: plan.tensors().map(|tensor| tensor.from.bytes()).sum(),
            start: Instant::now(),
            tensor_index: 0,
            read_bytes: 0,
            written_bytes: 0,
            progress,
        }
    }

    fn wrote(&mut self, portion: &Portion, output_bytes: usize) -> Result<()> {
        let input = portion.bytes_of(portion.tensor.from.bytes());
        self.read_bytes += input.end - input.start;
        self.written_bytes += output_bytes as u64;
        let tensor_is_done = portion.rows.end == portion.tensor.from.rows();
        let told = (self.progress)(&Progress {
            tensor: portion.tensor,
            tensor_index: self.tensor_index,
            tensor_count: self.tensor_count,
            tensor_is_done,
            read_bytes: self.read_bytes,
            total_read_bytes: self.total_read_bytes,
            written_bytes: self.written_bytes,
            elapsed: self.start.elapsed(),
        });
        self.tensor_index += usize::from(tensor_is_done);
        if told.is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
