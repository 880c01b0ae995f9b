//! Measures a device's limits by kernels that do one thing only.

use super::timing::{Settings, time_laps};
use crate::gpu::{Clock, textures, wgsl::Wgsl, wgsl_files};
use crate::{Gpu, Result};
use std::time::Duration;
use wgpu::BufferUsages;

/// A device's limits: for each, the best of five repetitions of the fastest of several kernels.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Peaks {
    /// Bytes read plus bytes written per second when copying a buffer larger than the cache.
    pub copy: f64,
    /// Bytes per second when reading a buffer, or a texture if weights are in textures and that is faster.
    pub read: f64,
    /// Bytes per second when reading a buffer.
    pub buffer_read: f64,
    /// f32 multiplications and additions per second.
    pub multiply_add: f64,
    /// Int8 multiplications and additions per second, by `dot4I8Packed`.
    pub dot: f64,
    /// Seconds of a nearly empty dispatch, in a pass of many that depend on each other.
    pub launch: f64,
}

/// A kernel with its constants and what it reads.
struct Kernel {
    file: &'static str,
    /// A name for `#import` and the file that it stands for.
    part: Option<(&'static str, &'static str)>,
    constants: Vec<(&'static str, u32)>,
    reads: Reads,
    groups: u64,
    /// The work of a dispatch in bytes, operations or dispatches.
    work: f64,
}

/// What a kernel reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Buffer,
    Texture,
    Operands,
}

/// For finding the fastest kernel.
const FIRST_LOOK: Settings = Settings {
    repetitions: 2,
    repetition_time: Duration::from_millis(10),
    cache_bytes: 0,
    as_in_file: false,
};
/// For measuring the fastest kernel.
const SECOND_LOOK: Settings = Settings {
    repetitions: 5,
    repetition_time: Duration::from_millis(50),
    cache_bytes: 0,
    as_in_file: false,
};

const FILES: &[(&str, &str)] = wgsl_files![
    "bench/buffer.wgsl",
    "bench/chains.wgsl",
    "bench/dot.wgsl",
    "bench/launch.wgsl",
    "bench/memory.wgsl",
    "bench/multiply_add.wgsl",
    "bench/texture.wgsl",
];
const MULTIPLY_ADD: &str = "bench/multiply_add.wgsl";
const DOT: &str = "bench/dot.wgsl";

/// Invocations in a workgroup.
const WORKGROUP: u32 = 64;
const VEC4_BYTES: u64 = 16;
/// Vec4s that an invocation reads.
const RUNS: [u32; 2] = [64, 512];
/// Independent chains of an invocation.
const CHAINS: [u32; 3] = [2, 4, 8];
/// Loop iterations of 8 steps of a chain.
const ROUNDS: u32 = 64;
/// Enough workgroups to keep a large GPU busy.
const CHAIN_GROUPS: u64 = 4096;
/// Factor m, summand c and start value of the float chains: repeated v·m + c approaches c / (1 - m).
const OPERANDS: [f32; 3] = [0.999, 0.001, 1.5];

/// Kernels that read or copy `vec4s` vec4s. The fastest access pattern depends on the device.
fn memory(reads: Reads, copy: bool, vec4s: u64) -> Vec<Kernel> {
    let kernels = RUNS.into_iter().flat_map(|run| {
        let groups = vec4s / u64::from(WORKGROUP * run);
        let lanes = groups as u32 * WORKGROUP;
        // Distances between groups, between lanes, and between the vec4s of a lane. First, each lane reads
        // consecutive vec4s, for adapters that compute on the CPU; second, neighbouring lanes read
        // neighbouring vec4s within a group; third, within the whole dispatch.
        let patterns = [(WORKGROUP * run, run, 1), (WORKGROUP * run, 1, WORKGROUP), (WORKGROUP, 1, lanes)];
        let source = if reads == Reads::Texture { "bench/texture.wgsl" } else { "bench/buffer.wgsl" };
        patterns.map(|(group_step, lane_step, step)| Kernel {
            file: "bench/memory.wgsl",
            part: Some(("source", source)),
            reads,
            constants: vec![
                ("RUN", run),
                ("GROUP_STEP", group_step),
                ("LANE_STEP", lane_step),
                ("STEP", step),
                ("COPY", u32::from(copy)),
                ("VEC4_COLS", textures::VEC4.cols()),
            ],
            groups,
            work: (vec4s * VEC4_BYTES * if copy { 2 } else { 1 }) as f64,
        })
    });
    kernels.collect()
}

/// Kernels of chains with this many operations per step.
fn chains(step: &'static str, operations: u64) -> Vec<Kernel> {
    let kernels = CHAINS.into_iter().map(|chains| Kernel {
        file: "bench/chains.wgsl",
        part: Some(("step", step)),
        reads: Reads::Operands,
        constants: vec![("ROUNDS", ROUNDS), ("CHAINS", chains)],
        groups: CHAIN_GROUPS,
        work: (u64::from(WORKGROUP * 8 * ROUNDS * chains) * CHAIN_GROUPS * operations) as f64,
    });
    kernels.collect()
}

fn launch() -> Vec<Kernel> {
    let (part, constants, reads) = (None, Vec::new(), Reads::Buffer);
    vec![Kernel { file: "bench/launch.wgsl", part, constants, reads, groups: 1, work: 1.0 }]
}

impl Kernel {
    fn wgsl(&self) -> String {
        let wgsl = Wgsl::new().files(FILES);
        let wgsl = self.part.into_iter().fold(wgsl, |wgsl, (name, path)| wgsl.alias(name, path));
        let constants = [("WORKGROUP", WORKGROUP)].into_iter().chain(self.constants.iter().copied());
        let wgsl = constants.fold(wgsl, |wgsl, (name, value)| wgsl.constant(name, value));
        wgsl.preprocess(self.file).expect("every shader joins")
    }
}

/// The text of every kernel, for a buffer of 1 MiB.
#[doc(hidden)]
pub fn shaders() -> impl Iterator<Item = String> {
    let vec4s = (1 << 20) / VEC4_BYTES;
    let [buffer, copy, texture] = [(Reads::Buffer, false), (Reads::Buffer, true), (Reads::Texture, false)]
        .map(|(reads, copy)| memory(reads, copy, vec4s));
    let kernels = [buffer, copy, texture, chains(MULTIPLY_ADD, 8), chains(DOT, 32), launch()];
    kernels.into_iter().flatten().map(|kernel| kernel.wgsl())
}

impl Peaks {
    /// Measures a device, in a few seconds. Uses two buffers twice the size of a cache of `cache_bytes`, or
    /// the largest that it can bind.
    ///
    /// Fails with [`Error::DeviceMemory`](crate::Error::DeviceMemory) and other errors of the device.
    pub fn measure(gpu: &Gpu, cache_bytes: u64) -> Result<Self> {
        let most = gpu.max_binding_bytes().min(1 << 30);
        let bytes = cache_bytes.saturating_mul(2).clamp(1 << 20, most);
        // A power of two, so that it divides evenly among every kernel's invocations.
        let bytes = 1 << bytes.ilog2();
        let bench = Bench::new(gpu, bytes)?;
        let vec4s = bytes / VEC4_BYTES;
        let buffer_read = bench.best(&memory(Reads::Buffer, false, vec4s))?;
        let texture_read = match bench.on_texture {
            Some(_) => bench.best(&memory(Reads::Texture, false, vec4s))?,
            None => 0.0,
        };
        Ok(Self {
            copy: bench.best(&memory(Reads::Buffer, true, vec4s))?,
            read: buffer_read.max(texture_read),
            buffer_read,
            multiply_add: bench.best(&chains(MULTIPLY_ADD, 4 * 2))?,
            dot: bench.best(&chains(DOT, 4 * 8))?,
            launch: 1.0 / bench.best(&launch())?,
        })
    }
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
        let mut best = (0.0, 0);
        for (i, pipeline) in pipelines.iter().enumerate() {
            let rate = self.rate(&kernels[i], pipeline, &FIRST_LOOK)?;
            if rate > best.0 {
                best = (rate, i);
            }
        }
        let (rate, i) = best;
        Ok(self.rate(&kernels[i], &pipelines[i], &SECOND_LOOK)?.max(rate))
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

    /// The work per second in the fastest repetition.
    fn rate(&self, kernel: &Kernel, pipeline: &wgpu::ComputePipeline, settings: &Settings) -> Result<f64> {
        let timing = time_laps(settings, |count| {
            self.clock.time(|pass| {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &self.bindings(kernel).group, &[]);
                for _ in 0..count {
                    pass.dispatch_workgroups(kernel.groups as u32, 1, 1);
                }
            })
        })?;
        Ok(kernel.work / timing.best_clock().min())
    }
}
