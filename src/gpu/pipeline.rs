//! Pipelines, made when they are first needed and kept.

use super::kernel::Slot;
use super::{Gpu, Rewrite, cache_file, spirv};
use crate::{Error, Result};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What a kernel's float operations must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arithmetic {
    /// Those of the twin, bit for bit: where a driver takes SPIR-V, contraction is forbidden.
    Exact,
    /// Near enough. The driver is given what wgpu makes of the WGSL, packed dot products included.
    Loose,
    /// An app's own business; its loops may have no end.
    Unknown,
}

/// A compiled kernel and the layout of its one bind group.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) compute: wgpu::ComputePipeline,
    pub(super) bindings: wgpu::BindGroupLayout,
}

/// Where a pipeline is kept when it is made; those who need the same one wait here meanwhile.
type Place = Arc<Mutex<Option<Arc<Pipeline>>>>;

/// The pipelines of a device, by name.
#[derive(Default)]
pub(super) struct Pipelines {
    places: Mutex<HashMap<String, Place>>,
    /// What the driver is given of earlier runs.
    cache: Option<wgpu::PipelineCache>,
    /// Where that is kept, unless an app does so itself.
    file: Option<PathBuf>,
    rewrite: Option<Rewrite>,
}

impl fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipelines").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Pipelines {
    pub(super) fn rewriting(rewrite: Rewrite) -> Self {
        Self { rewrite: Some(rewrite), ..Self::default() }
    }

    /// Pipelines that start from what an earlier run left in `file`, and are written there by [`Pipelines::store`].
    #[expect(unsafe_code, reason = "wgpu cannot tell whether bytes are a cache that it wrote")]
    pub(super) fn stored(device: &wgpu::Device, file: PathBuf) -> Self {
        let data = fs::read(&file).ok();
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("qmill"), data: data.as_deref(), fallback: true };
        // SAFETY: the file was written by `store`, in a folder of the user's own, under a name made of the adapter's
        // identity; wgpu checks its header, with the driver's version in it, and starts empty where that differs.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Self { file: Some(file), ..Self::with(cache) }
    }

    /// Pipelines that are compiled with a cache of the app's own.
    pub(super) fn with(cache: wgpu::PipelineCache) -> Self {
        Self { cache: Some(cache), ..Self::default() }
    }

    pub(super) fn store(&self) {
        let Some((cache, file)) = self.cache.as_ref().zip(self.file.as_ref()) else { return };
        let Some(data) = cache.get_data() else { return };
        // The next start compiles again where this fails.
        let _ = cache_file::write(file, &data);
    }
}

/// A pipeline to be compiled.
#[derive(Debug)]
pub(super) struct Job {
    name: String,
    slots: Vec<(u32, Slot)>,
    arithmetic: Arithmetic,
    wgsl: String,
}

impl Gpu {
    /// The pipeline of this name, compiled the first time it is asked for from the text that `wgsl` gives, told whether
    /// the compiler may contract what is not opaque. Parameters are bound at 0, and `bindings` tells the rest.
    pub(super) fn pipeline(
        &self,
        name: &str,
        bindings: &[(u32, impl Into<Slot> + Copy)],
        arithmetic: Arithmetic,
        wgsl: impl FnOnce(bool) -> Result<String, String>,
    ) -> Result<Arc<Pipeline>> {
        let may_contract = arithmetic != Arithmetic::Exact || !self.forbids_contraction();
        let text = || wgsl(may_contract).map_err(|error| self.fault(error));
        let slots = || bindings.iter().map(|(binding, slot)| (*binding, (*slot).into())).collect();
        let Some(missing) = &self.looks_only else { return self.made(name, arithmetic, slots, text) };
        // Another thread may be compiling it.
        if let Some(pipeline) = self.entry(name).try_lock().ok().and_then(|made| made.clone()) {
            return Ok(pipeline);
        }
        let job = Job { name: name.to_owned(), slots: slots(), arithmetic, wgsl: text()? };
        missing.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        let message = format!("{name} is not compiled");
        Err(Error::Device { device: self.name().to_owned(), message })
    }

    /// Compiles a pipeline that was missing.
    pub(super) fn compile_missing(&self, job: Job) -> Result<()> {
        let Job { name, slots, arithmetic, wgsl } = job;
        self.made(&name, arithmetic, || slots, || Ok(wgsl)).map(|_| ())
    }

    /// Where a pipeline is kept. A panic while one was locked leaves it as good as it was.
    fn entry(&self, name: &str) -> Place {
        let mut places = self.shared.pipelines.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(name.to_owned()).or_default().clone()
    }

    /// The pipeline of this name, compiled the first time.
    fn made(
        &self,
        name: &str,
        arithmetic: Arithmetic,
        slots: impl FnOnce() -> Vec<(u32, Slot)>,
        wgsl: impl FnOnce() -> Result<String>,
    ) -> Result<Arc<Pipeline>> {
        let entry = self.entry(name);
        let mut made = entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = &*made {
            return Ok(pipeline.clone());
        }
        let may_contract = arithmetic != Arithmetic::Exact || !self.forbids_contraction();
        let mut text = wgsl()?;
        if let Some(rewrite) = &self.shared.pipelines.rewrite {
            text = rewrite(name, text);
        }
        let words = if may_contract { None } else { Some(spirv::without_contraction(&text)) };
        let words = words.transpose().map_err(|error| self.fault(error))?;
        let pipeline = self.guarded(|| {
            let module = match &words {
                None if arithmetic != Arithmetic::Loose => self.module(name, text),
                None => self.module_without_loop_bounds(name, text),
                Some(words) => self.spirv_module(name, words),
            };
            self.compile(name, slots(), &module)
        })?;
        // A device that is gone compiles nothing and reports nothing.
        self.check_alive()?;
        let pipeline = Arc::new(pipeline);
        *made = Some(pipeline.clone());
        Ok(pipeline)
    }

    fn module(&self, name: &str, wgsl: String) -> wgpu::ShaderModule {
        let source = wgpu::ShaderSource::Wgsl(wgsl.into());
        self.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source })
    }

    #[expect(unsafe_code, reason = "a check of each turn of a loop costs a tenth of a product")]
    pub(crate) fn module_without_loop_bounds(&self, name: &str, wgsl: String) -> wgpu::ShaderModule {
        let source = wgpu::ShaderSource::Wgsl(wgsl.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
        let mut checks = wgpu::ShaderRuntimeChecks::checked();
        checks.force_loop_bounding = false;
        // SAFETY: every loop of these kernels counts up or halves, so it ends; all else is checked.
        unsafe { self.device().create_shader_module_trusted(descriptor, checks) }
    }

    #[expect(unsafe_code, reason = "wgpu does not look into SPIR-V that it is given")]
    fn spirv_module(&self, name: &str, words: &[u32]) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
            label: Some(name),
            entry_points: vec![wgpu::PassthroughShaderEntryPoint {
                name: "main".into(),
                workgroup_size: (super::kernel::WORKGROUP as u32, 1, 1),
            }]
            .into(),
            spirv: Some(words.into()),
            ..wgpu::ShaderModuleDescriptorPassthrough::default()
        };
        // SAFETY: the words are naga's translation of a module that it has validated, with decorations added that only
        // forbid optimizations, no capability that a device may lack, and indices kept within what is bound; of a
        // texture they are those of rows that are there, and llvmpipe, which alone is given one, checks them itself.
        unsafe { self.device().create_shader_module_passthrough(descriptor) }
    }

    fn compile(&self, name: &str, slots: Vec<(u32, Slot)>, module: &wgpu::ShaderModule) -> Pipeline {
        let device = self.device();
        let params = std::iter::once((0, Slot::Uniform));
        let entries = params.chain(slots).map(|(binding, slot)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: slot.into(),
            count: None,
        });
        let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries.collect::<Vec<_>>(),
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let compute = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write what they read; zeroing is one invocation's work, and slow to compile.
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: self.shared.pipelines.cache.as_ref(),
        });
        Pipeline { compute, bindings }
    }
}
