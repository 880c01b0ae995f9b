//! Operations that are prepared once and recorded any number of times.

pub(in crate::gpu) mod bindings;
pub(in crate::gpu) mod kernel;
pub(in crate::gpu) mod prepare;
pub(in crate::gpu) mod range;
mod readback;
mod run_on_slices;
pub(in crate::gpu) mod step;

use step::Step;

/// An operation on fixed ranges of buffers. It keeps the resources that it uses alive.
#[derive(Clone, Default, Debug)]
pub struct Op {
    steps: Vec<Step>,
}

impl Op {
    /// An operation of these dispatches, in order.
    pub(in crate::gpu) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect() }
    }

    /// This operation followed by `next`.
    pub(in crate::gpu) fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self
    }

    /// Records the operation in a compute pass of its own. Does not allocate buffers, submit or wait.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.record_in(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    }

    /// Records the operation in the caller's compute pass.
    pub fn record_in(&self, pass: &mut wgpu::ComputePass) {
        self.steps.iter().for_each(|step| step.record_in(pass));
    }
}
