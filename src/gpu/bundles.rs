//! Bundles of picks: for many vectors, those that go to one expert are multiplied together, so that its weights are read once for all of a bundle.

use super::Gpu;
use super::kernel::{Access, WORKGROUP};
use super::matrix::whole;
use super::op::{Dispatch, Op, Range, in_order};
use super::pipeline::Arithmetic;
use super::shader;
use crate::Result;

const NAMES: [&str; 2] = ["bundle_count", "bundle_place"];

fn wgsl(name: &str) -> Result<String, String> {
    let file = format!("kernel/{name}.wgsl");
    shader::join(&file, None, &["BUNDLING"], &[("WORKGROUP", WORKGROUP as usize)])
}

/// Every shader there is, by name.
pub(super) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    NAMES.into_iter().map(|name| (name, wgsl(name)))
}

/// How picks are divided among experts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bundles {
    pub(super) picks: usize,
    pub(super) experts: usize,
    /// Most picks of a bundle.
    pub(super) columns: usize,
}

impl Bundles {
    /// Most bundles that there can be: all but the last of an expert are full.
    pub(super) fn count(self) -> usize {
        self.picks.min((self.picks + self.experts * (self.columns - 1)) / self.columns)
    }

    fn slots(self) -> usize {
        self.count() * self.columns
    }

    /// Bytes of the slots, and of a number for each expert.
    pub(super) fn bytes(self) -> u64 {
        4 * (self.slots() + self.experts) as u64
    }
}

impl Gpu {
    /// Prepares what fills `slots` from the experts' `numbers`, in two dispatches.
    pub(super) fn prepare_bundles(&self, of: Bundles, numbers: &Range, slots: &wgpu::Buffer) -> Result<Op> {
        let (slot_count, experts) = (of.slots() as u32, of.experts as u32);
        // In the order of Params in lib/params.wgsl.
        let params = [slot_count, experts, of.picks as u32, of.columns as u32];
        let counts = [slot_count.max(experts), of.picks as u32];
        let steps = NAMES.into_iter().zip(counts).map(|(name, count)| {
            let bindings = in_order([Access::Read, Access::ReadWrite]);
            let pipeline = self.pipeline(name, &bindings, Arithmetic::Loose, |_| wgsl(name))?;
            let bound = in_order([numbers.clone(), whole("the bundles", slots)]);
            self.bind(pipeline, Dispatch::of(u64::from(count)), &params, &bound)
        });
        Ok(Op { steps: steps.collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_bundles_for_any_picks() {
        let count = |picks, experts, columns| Bundles { picks, experts, columns }.count();
        // Each its own expert; all the same; and every last one with one pick.
        assert_eq!(count(5, 8, 4), 5);
        assert_eq!(count(16, 1, 8), 2);
        assert_eq!(count(17, 1, 8), 3);
        assert_eq!(count(11, 3, 4), 5);
        for picks in 1..40 {
            for first in 0..=picks {
                let split = [first, picks - first].iter().map(|n: &usize| n.div_ceil(4)).sum::<usize>();
                assert!(split <= count(picks, 2, 4), "{picks} picks, {first} of the first");
            }
        }
    }
}
