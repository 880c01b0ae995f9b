//! Products whose columns are divided into spans, where few rows would leave a GPU idle: the sums of the spans, and their sum.

use super::Gpu;
use super::kernel::{Access, WORKGROUP};
use super::matrix::whole;
use super::op::{Dispatch, Op, Range, in_order};
use super::pipeline::Arithmetic;
use super::shader;
use crate::Result;
use std::sync::PoisonError;
use wgpu::BufferUsages;

const NAMES: [&str; 2] = ["matmul_sum", "matmul_sum.bias"];

fn wgsl(has_bias: bool) -> Result<String, String> {
    let names = if has_bias { &["SUM", "BIAS"][..] } else { &["SUM"] };
    shader::join("kernel/matmul_sum.wgsl", None, names, &[("WORKGROUP", WORKGROUP as usize)])
}

/// Every shader there is, by name.
pub(super) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [false, true].into_iter().map(|has_bias| (NAMES[usize::from(has_bias)], wgsl(has_bias)))
}

/// What products need meanwhile; one of them may need both kinds at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scratch {
    /// Sums of spans, or bundles of picks.
    Sums,
    /// Vectors as f16.
    Halves,
}

impl Gpu {
    /// A buffer for what a product needs meanwhile, which all products of a device share: what is recorded is done one after the other on its one queue.
    pub(super) fn scratch(&self, what: Scratch, bytes: u64) -> Result<wgpu::Buffer> {
        let mut shared = self.shared.scratch[what as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = shared.as_ref().filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        // What was prepared with a shorter one keeps that.
        let buffer = self.buffer(
            bytes.next_power_of_two().min(self.max_binding_bytes()).max(bytes),
            BufferUsages::STORAGE,
        )?;
        *shared = Some(buffer.clone());
        Ok(buffer)
    }

    /// Prepares the sum of `count` results of each span, of rows of `rows`, and a bias, into `y`.
    pub(super) fn prepare_sum(
        &self,
        sums: &wgpu::Buffer,
        spans: usize,
        rows: usize,
        count: u64,
        bias: Option<Range>,
        y: Range,
    ) -> Result<Op> {
        let has_bias = bias.is_some();
        let mut accesses = vec![Access::Read, Access::ReadWrite];
        accesses.extend(has_bias.then_some(Access::Read));
        let name = NAMES[usize::from(has_bias)];
        let pipeline = self.pipeline(name, &in_order(accesses), Arithmetic::Loose, |_| wgsl(has_bias))?;
        let mut bound = vec![whole("the sums", sums), y];
        bound.extend(bias);
        // In the order of Params in lib/params.wgsl.
        let params = [rows as u32, spans as u32];
        Ok(Op { steps: vec![self.bind(pipeline, Dispatch::of(count), &params, &in_order(bound))?] })
    }
}
