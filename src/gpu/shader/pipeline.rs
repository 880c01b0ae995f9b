//! The pipelines of a device, compiled on first use and kept.

use super::binding::{Binding, BindingKind};
use super::cache_file;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The requirements on a kernel's float operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) enum Arithmetic {
    /// Results equal the CPU reference bit for bit. If the driver takes SPIR-V, contraction is forbidden.
    Exact,
    /// Results are within an error bound. wgpu translates the WGSL, including packed dot products.
    Loose,
    /// Unknown: an app's kernel, which may have endless loops.
    Unknown,
}

/// A compiled kernel and the layout of its one bind group.
#[derive(Debug)]
pub(in crate::gpu) struct Pipeline {
    pub(in crate::gpu) compute: wgpu::ComputePipeline,
    pub(in crate::gpu) bindings: wgpu::BindGroupLayout,
}

/// Holds a pipeline once it is compiled. Other threads that need it wait for the lock.
type Entry = Arc<Mutex<Option<Arc<Pipeline>>>>;

/// Pipelines that have to be compiled.
pub(in crate::gpu) type Missing = Arc<Mutex<Vec<Job>>>;

/// Changes the text of every shader before it is compiled, given its name; for tests that plant faults.
#[doc(hidden)]
pub type Rewrite = Arc<dyn Fn(&str, String) -> String + Send + Sync>;

/// The pipelines of a device, by name.
#[derive(Default)]
pub(in crate::gpu) struct Pipelines {
    entries: Mutex<HashMap<String, Entry>>,
    /// Compiled code of earlier runs, for the driver.
    pub(super) cache: Option<wgpu::PipelineCache>,
    /// The file to store the cache in, unless an app does that.
    file: Option<PathBuf>,
    pub(super) rewrite: Option<Rewrite>,
}

impl fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipelines").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Pipelines {
    pub(in crate::gpu) fn rewriting(rewrite: Rewrite) -> Self {
        Self { rewrite: Some(rewrite), ..Self::default() }
    }

    /// Pipelines with the cache that an earlier run stored in `file`; [`Pipelines::store`] writes it again.
    #[expect(unsafe_code, reason = "wgpu cannot tell whether bytes are a cache that it wrote")]
    pub(in crate::gpu) fn stored(device: &wgpu::Device, file: PathBuf) -> Self {
        let data = fs::read(&file).ok();
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("qmill"), data: data.as_deref(), fallback: true };
        // SAFETY: `store` wrote the file, in a folder of the user's own, under a name made of the adapter's
        // identity. wgpu checks its header, which has the driver's version, and otherwise starts empty.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Self { file: Some(file), ..Self::with(cache) }
    }

    /// Pipelines with an app's own cache.
    pub(in crate::gpu) fn with(cache: wgpu::PipelineCache) -> Self {
        Self { cache: Some(cache), ..Self::default() }
    }

    pub(in crate::gpu) fn store(&self) {
        let Some((cache, file)) = self.cache.as_ref().zip(self.file.as_ref()) else { return };
        let Some(data) = cache.get_data() else { return };
        // If this fails, the next start compiles again.
        let _ = cache_file::write(file, &data);
    }

    /// The entry of this name. A panic while it was locked leaves it unchanged.
    pub(super) fn entry(&self, name: &str) -> Entry {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(name.to_owned()).or_default().clone()
    }
}

/// A pipeline that has to be compiled.
#[derive(Debug)]
pub(in crate::gpu) struct Job {
    pub(super) name: String,
    pub(super) bindings: Vec<(Binding, BindingKind)>,
    pub(super) arithmetic: Arithmetic,
    pub(super) wgsl: String,
}
