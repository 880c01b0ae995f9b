//! The pipeline: one thread reads, several convert, the caller's thread writes.
//!
//! A fixed number of buffers circulates: the reader fills one with a batch of rows, a worker converts it, the
//! writer writes it and returns the buffer. Batches are numbered and the writer takes them in order, so the
//! first error that is reported is the first in the file, whichever thread is faster.

use super::engine::{Engine, Tally};
use super::row_batch::{RowBatch, row_batches};
use super::{Plan, Progress, Resources};
use crate::gguf::{Model, Tensor, TensorType, Writer};
use crate::{Error, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io::Write;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Instant;

/// The buffer of a batch, which is reused.
struct Buffer {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Buffer {
    /// Has room for any batch, so that it never grows.
    fn new(batch_bytes: u64) -> Self {
        let half = batch_bytes as usize / 2;
        Self { input: Vec::with_capacity(half), output: Vec::with_capacity(half) }
    }
}

/// A batch on its way through the pipeline, with its number.
type Numbered<'a, T> = (usize, RowBatch<'a>, T);

/// Writes every file of `plan`, each to the output that `open` returns for its index.
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
    let (buffer_count, batch_bytes) = resources.buffers(plan);
    let (_, engine_bytes) = resources.shares();
    let tally = Tally::default();
    for (file_index, file) in plan.files.iter().enumerate() {
        let cannot_write = |source| Error::Write { file_index, source };
        let mut writer = Writer::new(open(file_index)?, file.layout.clone()).map_err(cannot_write)?;
        let batches = row_batches(file, batch_bytes);
        let buffers = (0..buffer_count).map(|_| Buffer::new(batch_bytes)).collect();
        let engine = || Engine::new(&resources.device, engine_bytes, plan.verify, &tally);
        let engines = (0..resources.workers()).map(|_| engine()).collect();
        convert_in_order(batches, &sources, engines, buffers, |batch, output| {
            writer.write_data(output).map_err(cannot_write)?;
            meter.wrote(batch, output.len())
        })?;
        writer.finish().map_err(cannot_write)?;
    }
    Ok(tally)
}

/// Reads and converts batches on other threads, and passes their output to `write` in order on this thread.
fn convert_in_order<'a>(
    batches: impl Iterator<Item = RowBatch<'a>> + Send,
    sources: &[Tensor],
    engines: Vec<Engine>,
    buffers: Vec<Buffer>,
    mut write: impl FnMut(&RowBatch, &[u8]) -> Result<()>,
) -> Result<()> {
    let (free_sender, free) = bounded(buffers.len());
    let (read_sender, read) = bounded(buffers.len());
    let (done_sender, done) = bounded(buffers.len());
    // A thread that stops closes its channels, which stops the others. This thread owns its channels by
    // `move`: if it borrowed them, they would stay open while the others wait on them.
    thread::scope(move |scope| {
        let failed = done_sender.clone();
        scope.spawn(move || read_all(batches, sources, &free, &read_sender, &failed));
        for engine in engines {
            let (read, done) = (read.clone(), done_sender.clone());
            scope.spawn(move || convert_all(engine, &read, &done));
        }
        drop((read, done_sender));
        for buffer in buffers {
            // Fails only if the reader has finished.
            let _ = free_sender.send(buffer);
        }
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (number, batch, result) in done {
            early.insert(number, (batch, result));
            while let Some((batch, result)) = early.remove(&next) {
                let buffer = result?;
                write(&batch, &buffer.output)?;
                let _ = free_sender.send(buffer);
                next += 1;
            }
        }
        Ok(())
    })
}

fn read_all<'a>(
    batches: impl Iterator<Item = RowBatch<'a>>,
    sources: &[Tensor],
    free: &Receiver<Buffer>,
    read: &Sender<Numbered<'a, Buffer>>,
    failed: &Sender<Numbered<'a, Result<Buffer>>>,
) {
    for (number, batch) in batches.enumerate() {
        let Ok(mut buffer) = free.recv() else { return };
        let range = batch.bytes_of(batch.tensor.from.bytes());
        buffer.input.resize((range.end - range.start) as usize, 0);
        let source = &sources[batch.tensor.source_index];
        if let Err(error) = source.read_bytes(range.start, &mut buffer.input) {
            // Fails only if the writer has stopped.
            let _ = failed.send((number, batch, Err(error)));
            return;
        }
        if read.send((number, batch, buffer)).is_err() {
            return;
        }
    }
}

fn convert_all<'a>(
    mut engine: Engine,
    read: &Receiver<Numbered<'a, Buffer>>,
    done: &Sender<Numbered<'a, Result<Buffer>>>,
) {
    for (number, batch, mut buffer) in read {
        let converting = AssertUnwindSafe(|| convert(&batch, &mut buffer, &mut engine));
        let result = panic::catch_unwind(converting).unwrap_or_else(|panic| {
            // The writer would wait for this batch forever. The error only makes it stop.
            let _ = done.send((number, batch.clone(), Err(Error::Cancelled)));
            panic::resume_unwind(panic)
        });
        if done.send((number, batch, result.map(|()| buffer))).is_err() {
            return;
        }
    }
}

/// Converts the input of a buffer to its output.
fn convert(batch: &RowBatch, buffer: &mut Buffer, engine: &mut Engine) -> Result<()> {
    let tensor = batch.tensor;
    let Buffer { input, output } = buffer;
    if let Some(fault) = first_fault(batch, input) {
        return Err(fault);
    }
    let (from, to) = (tensor.from.tensor_type(), tensor.to.tensor_type());
    let (TensorType::Weights(from), TensorType::Weights(to), false) = (from, to, from == to) else {
        mem::swap(input, output);
        return Ok(());
    };

    let bytes = batch.bytes_of(tensor.to.bytes());
    output.resize((bytes.end - bytes.start) as usize, 0);
    let name = || tensor.to.name().to_owned();
    if let Some(weight) = engine.convert(from, input, to, output)? {
        let (row, column) = batch.position(weight);
        return Err(Error::Differs { device: engine.device(), tensor: name(), row, column, format: to });
    }
    match to.first_invalid_block(output) {
        None => Ok(()),
        Some(block) => {
            let (row, column) = batch.position(block * to.info().block_weights);
            Err(Error::Overflow { tensor: name(), row, column, format: to })
        }
    }
}

/// The first number in a batch's input that is not finite: a weight, or the scale of a block.
fn first_fault(batch: &RowBatch, input: &[u8]) -> Option<Error> {
    let tensor = || batch.tensor.from.name().to_owned();
    match batch.tensor.from.tensor_type() {
        TensorType::Weights(format) => {
            let position = |weight| {
                let (row, column) = batch.position(weight);
                (tensor(), row, column)
            };
            format.check_finite(input, position).err()
        }
        TensorType::F64 => {
            let numbers = input.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            let (index, value) = numbers.enumerate().find(|(_, value)| !value.is_finite())?;
            let (row, column) = batch.position(index);
            Some(Error::NotFinite { tensor: tensor(), row, column, value: value as f32 })
        }
        _ => None,
    }
}

/// Counts what is written and reports it to the caller.
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

    fn wrote(&mut self, batch: &RowBatch, output_bytes: usize) -> Result<()> {
        let input = batch.bytes_of(batch.tensor.from.bytes());
        self.read_bytes += input.end - input.start;
        self.written_bytes += output_bytes as u64;
        let tensor_is_done = batch.rows.end == batch.tensor.from.rows();
        let flow = (self.progress)(&Progress {
            tensor: batch.tensor,
            tensor_index: self.tensor_index,
            tensor_count: self.tensor_count,
            tensor_is_done,
            read_bytes: self.read_bytes,
            total_read_bytes: self.total_read_bytes,
            written_bytes: self.written_bytes,
            elapsed: self.start.elapsed(),
        });
        self.tensor_index += usize::from(tensor_is_done);
        if flow.is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
