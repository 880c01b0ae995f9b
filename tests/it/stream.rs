//! Quantizing whole models: the bytes do not depend on how the work is divided, and nothing is left after a
//! failure.

mod faults;
mod files;
mod metadata;
mod row_batches;
mod split;

use crate::support::open;
use qmill::gguf::Model;
use qmill::mix::FileType;
use qmill::stream::{Plan, Progress, Request, Resources};
use qmill::{Error, Format, Result};
use std::cell::RefCell;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Memory that a run writes to, readable after the run.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn resources(threads: usize, memory_bytes: u64) -> Resources {
    Resources::default().with_threads(NonZeroUsize::new(threads).unwrap()).with_memory_bytes(memory_bytes)
}

/// The least memory that `plan` can run in, from the error for less.
pub(crate) fn least_memory_bytes(model: &Model, plan: &Plan) -> u64 {
    match plan.write(model, |_| Ok(io::sink()), &resources(1, 0), &mut go_on) {
        Err(Error::Memory { row_bytes, .. }) => row_bytes,
        other => panic!("{other:?}"),
    }
}

/// A copy of `model` in which every tensor keeps its type.
fn copy() -> Request {
    Request::new(FileType::COPY)
}

/// Every tensor in the default format, except those that are never quantized.
pub(crate) fn pure(file_type: FileType) -> Request {
    let mut request = Request::new(file_type);
    request.mix.pure = true;
    request.allow_requantize = true;
    request
}

/// A rule that gives `format` to the tensors whose name matches.
fn by_name(file_type: FileType, pattern: &str, format: Format) -> Request {
    let mut request = Request::new(file_type);
    request.mix.tensor_types = vec![format!("{pattern}={format}").parse().unwrap()];
    request
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The file that `request` gives for `model`.
fn write(model: &Model, request: &Request, resources: &Resources) -> Result<Vec<u8>> {
    let plan = Plan::new(model, request)?;
    assert_eq!(plan.files.len(), 1);
    let memory = Memory::default();
    plan.write(model, |_| Ok(memory.clone()), resources, &mut go_on)?;
    Ok(memory.0.take())
}

fn convert(model: &Model, request: &Request) -> Model {
    open(write(model, request, &Resources::default()).unwrap())
}

/// The result of `work`, which must take no longer than half a minute: a pipeline that fails must not
/// deadlock.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(Duration::from_secs(30)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the run hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().expect_err("a run that sends nothing has panicked"))
        }
    }
}
