//! Compiles pipelines.

#[cfg(debug_assertions)]
use super::binding;
use super::binding::{Binding, BindingKind};
use super::pipeline::{Arithmetic, Job, Pipeline};
use super::spirv;
use crate::gpu::Gpu;
use crate::{Error, Result};
use std::sync::{Arc, PoisonError};

impl Gpu {
    /// The pipeline of this name, compiled on first use from the text that `wgsl` returns. `wgsl` is told
    /// whether the compiler may contract operations that are not opaque. Parameters are bound at 0,
    /// everything else as in `bindings`.
    pub(in crate::gpu) fn pipeline(
        &self,
        name: &str,
        bindings: &[(Binding, BindingKind)],
        arithmetic: Arithmetic,
        wgsl: impl FnOnce(bool) -> Result<String, String>,
    ) -> Result<Arc<Pipeline>> {
        let may_contract = arithmetic != Arithmetic::Exact || !self.forbids_contraction();
        let text = || wgsl(may_contract).map_err(|error| self.fault(error));
        let Some(missing) = &self.missing else { return self.compiled(name, arithmetic, bindings, text) };
        // Do not wait: another thread may be compiling it.
        if let Some(pipeline) =
            self.shared.pipelines.entry(name).try_lock().ok().and_then(|compiled| compiled.clone())
        {
            return Ok(pipeline);
        }
        let job = Job { name: name.to_owned(), bindings: bindings.to_vec(), arithmetic, wgsl: text()? };
        missing.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        let message = format!("{name} is not compiled");
        Err(Error::Device { device: self.name().to_owned(), message })
    }

    /// Compiles a pipeline that was missing.
    pub(in crate::gpu) fn compile_missing(&self, job: Job) -> Result<()> {
        let Job { name, bindings, arithmetic, wgsl } = job;
        self.compiled(&name, arithmetic, &bindings, || Ok(wgsl)).map(|_| ())
    }

    /// The pipeline of this name, compiled on first use.
    fn compiled(
        &self,
        name: &str,
        arithmetic: Arithmetic,
        bindings: &[(Binding, BindingKind)],
        wgsl: impl FnOnce() -> Result<String>,
    ) -> Result<Arc<Pipeline>> {
        let entry = self.shared.pipelines.entry(name);
        let mut compiled = entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = &*compiled {
            return Ok(pipeline.clone());
        }
        let may_contract = arithmetic != Arithmetic::Exact || !self.forbids_contraction();
        let mut text = wgsl()?;
        // A shader of the library and its host code must agree. The names of an app's variables are unknown.
        #[cfg(debug_assertions)]
        if arithmetic != Arithmetic::Unknown
            && let Some(mismatch) = binding::mismatch(&text, bindings)
        {
            panic!("{name}: {mismatch}");
        }
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
            self.compile(name, bindings, &module)
        })?;
        // A lost device compiles nothing and reports nothing.
        self.check_alive()?;
        let pipeline = Arc::new(pipeline);
        *compiled = Some(pipeline.clone());
        Ok(pipeline)
    }

    fn module(&self, name: &str, wgsl: String) -> wgpu::ShaderModule {
        let source = wgpu::ShaderSource::Wgsl(wgsl.into());
        self.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source })
    }

    #[expect(unsafe_code, reason = "checking loop bounds costs a tenth of a product")]
    pub(crate) fn module_without_loop_bounds(&self, name: &str, wgsl: String) -> wgpu::ShaderModule {
        let source = wgpu::ShaderSource::Wgsl(wgsl.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
        let mut checks = wgpu::ShaderRuntimeChecks::checked();
        checks.force_loop_bounding = false;
        // SAFETY: every loop of these kernels counts up or halves, so it ends. All other checks stay on.
        unsafe { self.device().create_shader_module_trusted(descriptor, checks) }
    }

    #[expect(unsafe_code, reason = "wgpu does not validate SPIR-V")]
    fn spirv_module(&self, name: &str, words: &[u32]) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
            label: Some(name),
            entry_points: vec![wgpu::PassthroughShaderEntryPoint {
                name: "main".into(),
                workgroup_size: (super::params::WORKGROUP as u32, 1, 1),
            }]
            .into(),
            spirv: Some(words.into()),
            ..wgpu::ShaderModuleDescriptorPassthrough::default()
        };
        // SAFETY: naga translated a module that it had validated. The decorations added only forbid
        // optimizations, the module needs no optional capability, and indices are clamped to what is bound.
        // Texture coordinates are those of existing rows; llvmpipe, the only driver that gets textures,
        // checks them too.
        unsafe { self.device().create_shader_module_passthrough(descriptor) }
    }

    fn compile(
        &self,
        name: &str,
        bindings: &[(Binding, BindingKind)],
        module: &wgpu::ShaderModule,
    ) -> Pipeline {
        let device = self.device();
        let params = std::iter::once((0, BindingKind::Uniform));
        let entries = params.chain(bindings.iter().map(|(binding, kind)| (binding.number, *kind))).map(
            |(binding, kind)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: kind.into(),
                count: None,
            },
        );
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
                // Kernels write before they read. Zeroing is done by one invocation and is slow to compile.
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: self.shared.pipelines.cache.as_ref(),
        });
        Pipeline { compute, bindings }
    }
}
