//! Measures a GPU's limits.

use super::best::{Way, best};
use super::kernels::{Kernel, OPERANDS, Reads, Traffic, VEC4_BYTES, WORKGROUP};
use super::kernels::{dot, launch, matrix, memory, multiply_add};
use super::rates::Peaks;
use crate::gpu::{Clock, textures};
use crate::{Gpu, Result};
use wgpu::BufferUsages;

/// Measures by two buffers of `bytes` bytes, a power of two, so that they divide evenly among every kernel's
/// invocations.
pub(super) fn measure(gpu: &Gpu, bytes: u64) -> Result<Peaks> {
    let bench = Bench::new(gpu, bytes)?;
    let vec4s = bytes / VEC4_BYTES;
    let is_software = gpu.is_software_adapter();
    let buffer_read = bench.best(&memory(Reads::Buffer, Traffic::Read, vec4s))?;
    let texture_read = match bench.on_texture {
        Some(_) => bench.best(&memory(Reads::Texture, Traffic::Read, vec4s))?,
        None => 0.0,
    };
    let matrix = gpu.matrix_units().map(|units| bench.best(&matrix(units, is_software).collect::<Vec<_>>()));
    Ok(Peaks {
        copy: bench.best(&memory(Reads::Buffer, Traffic::Copy, vec4s))?,
        write: bench.best(&memory(Reads::Buffer, Traffic::Write, vec4s))?,
        read: buffer_read.max(texture_read),
        buffer_read,
        multiply_add: bench.best(&multiply_add(is_software))?,
        dot: Some(bench.best(&dot(is_software))?),
        matrix: matrix.transpose()?,
        launch: Some(1.0 / bench.best(&launch())?),
    })
}

/// The device and the bindings that kernels run on.
struct Bench<'a> {
    gpu: &'a Gpu,
    clock: Clock,
    on_memory: Bindings,
    on_operands: Bindings,
    /// The source as a texture, if weights are read from textures.
    on_texture: Option<Bindings>,
}

/// The source and the result of a kernel, bound.
struct Bindings {
    layout: wgpu::BindGroupLayout,
    group: wgpu::BindGroup,
}

impl Bindings {
    fn new(gpu: &Gpu, source: wgpu::BindingResource, result: &wgpu::Buffer) -> Result<Self> {
        let storage = |read_only| wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let texture = wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: textures::VEC4.format,
            view_dimension: wgpu::TextureViewDimension::D2,
        };
        let is_texture = matches!(source, wgpu::BindingResource::TextureView(_));
        let entries = [if is_texture { texture } else { storage(true) }, storage(false)].into_iter().zip(0..);
        let entries = entries.map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        });
        gpu.guarded(|| {
            let layout = gpu.device().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("peaks"),
                entries: &entries.collect::<Vec<_>>(),
            });
            let resources = [source, result.as_entire_binding()].into_iter().zip(0..);
            let resources = resources.map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource });
            let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("peaks"),
                layout: &layout,
                entries: &resources.collect::<Vec<_>>(),
            });
            Self { layout, group }
        })
    }
}

impl<'a> Bench<'a> {
    fn new(gpu: &'a Gpu, bytes: u64) -> Result<Self> {
        let [factor, summand, start] = OPERANDS.map(|x| [x; 4]);
        let starts = (0..8 * WORKGROUP).map(|_| start);
        let operands: Vec<[f32; 4]> = [factor, summand].into_iter().chain(starts).collect();
        let source = gpu.buffer(bytes, BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let result = gpu.buffer(bytes, BufferUsages::STORAGE)?;
        let operands = gpu.buffer_with(bytemuck::cast_slice(&operands), BufferUsages::STORAGE)?;
        let on_texture = if gpu.weight_textures() {
            let textures = gpu.weight_textures_now(&source, source.size())?;
            Some(Bindings::new(gpu, wgpu::BindingResource::TextureView(&textures.vec4s), &result)?)
        } else {
            None
        };
        Ok(Self {
            gpu,
            clock: gpu.clock()?,
            on_memory: Bindings::new(gpu, source.as_entire_binding(), &result)?,
            on_operands: Bindings::new(gpu, operands.as_entire_binding(), &result)?,
            on_texture,
        })
    }

    fn bindings(&self, kernel: &Kernel) -> &Bindings {
        match (kernel.reads, &self.on_texture) {
            (Reads::Texture, Some(texture)) => texture,
            (Reads::Operands, _) => &self.on_operands,
            _ => &self.on_memory,
        }
    }

    /// The highest rate of the fastest kernel.
    fn best(&self, kernels: &[Kernel]) -> Result<f64> {
        let pipelines = kernels.iter().map(|kernel| self.compile(kernel)).collect::<Result<Vec<_>>>()?;
        let ways = kernels.iter().zip(&pipelines).map(|(kernel, pipeline)| Way {
            work: kernel.work,
            run: Box::new(move |count| {
                self.clock.time(|pass| {
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, &self.bindings(kernel).group, &[]);
                    for _ in 0..count {
                        pass.dispatch_workgroups(kernel.groups as u32, 1, 1);
                    }
                })
            }),
        });
        best(ways.collect())
    }

    fn compile(&self, kernel: &Kernel) -> Result<wgpu::ComputePipeline> {
        let device = self.gpu.device();
        self.gpu.guarded(|| {
            // Compiled as products are.
            let module = self.gpu.module_without_loop_bounds("peaks", kernel.wgsl());
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some("peaks"),
                bind_group_layouts: &[Some(&self.bindings(kernel).layout)],
                immediate_size: 0,
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("peaks"),
                layout: Some(&layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        })
    }
}
