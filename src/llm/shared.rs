//! The parts of a loaded model, which its sessions share.

use super::config::Config;
use super::graph::Graph;
use super::options::SessionOptions;
use super::rope::Rotations;
use super::weights::Weights;
use crate::Device;
use crate::gguf::Metadata;
use std::sync::Arc;

/// A loaded model.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) graph: Graph,
    pub(super) weights: Weights,
    pub(super) rotations: Rotations,
    pub(super) sessions: SessionOptions,
    /// Whether sessions take the kernels for an adapter that computes on the CPU.
    pub(super) software_adapter: bool,
    /// Whether a single token takes kernels that do several steps at once.
    pub(super) fused: bool,
    pub(super) warnings: Vec<String>,
    pub(super) device: Device,
    pub(super) metadata: Arc<Metadata>,
    pub(super) file_bytes: u64,
    pub(super) parameters: u64,
}
