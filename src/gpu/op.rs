//! Operations that are prepared once and recorded as often as an app likes.

pub(in crate::gpu) mod bindings;
pub(in crate::gpu) mod kernel;
pub(in crate::gpu) mod prepare;
pub(in crate::gpu) mod range;
mod readback;
mod run_on_slices;
pub(in crate::gpu) mod step;

use step::Step;

/// An operation on fixed ranges of buffers. It keeps all it needs alive, but for the caller's data.
#[derive(Clone, Default, Debug)]
pub struct Op {
    steps: Vec<Step>,
}

impl Op {
    /// Dispatches in this order.
    pub(in crate::gpu) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect() }
    }

    /// Both, `next` after this.
    pub(in crate::gpu) fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self
    }

    /// Records the operation. It allocates nothing, submits nothing and waits for nothing.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.record_in(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    }

    /// Records the operation in a pass that the caller has begun.
    pub fn record_in(&self, pass: &mut wgpu::ComputePass) {
        self.steps.iter().for_each(|step| step.record_in(pass));
    }
}
