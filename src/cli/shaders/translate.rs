//! Translates a shader as wgpu-hal 30 does for a backend: to SPIR-V, MSL or HLSL.

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage, StorageAccess};
use std::error::Error;

/// Shader models of HLSL. FXC supports 5.1, DXC at least 6.0. From 6.6 on naga uses intrinsics for packed
/// integers.
pub(crate) const SHADER_MODELS: [(&str, hlsl::ShaderModel); 3] =
    [("5_1", hlsl::ShaderModel::V5_1), ("6_0", hlsl::ShaderModel::V6_0), ("6_6", hlsl::ShaderModel::V6_6)];

/// A valid shader with one entry point.
pub(crate) struct Shader {
    name: String,
    is_cooperative: bool,
    pub(crate) module: Module,
    pub(crate) info: ModuleInfo,
}

/// HLSL, and the name of its entry point.
pub(crate) struct Hlsl {
    pub(crate) text: String,
    pub(crate) entry_point: String,
}

impl Shader {
    /// Parses and validates the WGSL of the shader with this name.
    pub(crate) fn new(name: &str, text: &str) -> Result<Self, Box<dyn Error>> {
        let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
        let is_cooperative = is_cooperative(text);
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        capabilities.set(Capabilities::SUBGROUP, has_subgroups(name) || is_cooperative);
        capabilities.set(Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX, is_cooperative);
        let info = Validator::new(ValidationFlags::all(), capabilities)
            .subgroup_stages(ShaderStages::COMPUTE)
            .subgroup_operations(SubgroupOperationSet::all())
            .validate(&module)
            .map_err(|error| error.emit_to_string(text))?;
        let [entry] = module.entry_points.as_slice() else {
            return Err("not one entry point".into());
        };
        let entry = (ShaderStage::Compute, entry.name.as_str());
        let (module, info) = process_overrides(&module, &info, Some(entry), &PipelineConstants::default())?;
        let (module, info) = (module.into_owned(), info.into_owned());
        Ok(Self { name: name.to_owned(), is_cooperative, module, info })
    }

    /// The entry point's name.
    pub(crate) fn entry_point(&self) -> &str {
        &self.module.entry_points[0].name
    }

    /// SPIR-V, as passed to a Vulkan driver.
    pub(crate) fn spirv(&self) -> Result<Vec<u32>, Box<dyn Error>> {
        let pipeline = spv::PipelineOptions {
            entry_point: self.entry_point().to_owned(),
            shader_stage: ShaderStage::Compute,
        };
        Ok(spv::write_vec(&self.module, &self.info, &spv_options(self.is_cooperative), Some(&pipeline))?)
    }

    /// MSL; `None` if the shader is only for Vulkan: cooperative matrices of 16 x 16, or loaded from quads.
    pub(crate) fn msl(&self) -> Result<Option<String>, Box<dyn Error>> {
        if self.name.split('.').any(|part| part == "quads") {
            return Ok(None);
        }
        Ok(Some(msl(&self.module, &self.info, self.entry_point())?))
    }

    /// HLSL for a shader model; `None` if it lacks an operation of the shader: FXC has no subgroups, and no
    /// shader model has cooperative matrices.
    pub(crate) fn hlsl(&self, model: hlsl::ShaderModel) -> Result<Option<Hlsl>, Box<dyn Error>> {
        let lacks_subgroups = model < hlsl::ShaderModel::V6_0;
        if self.is_cooperative || lacks_subgroups && has_subgroups(&self.name) {
            return Ok(None);
        }
        let (text, entry_point) = hlsl(&self.module, &self.info, self.entry_point(), model)?;
        Ok(Some(Hlsl { text, entry_point }))
    }
}

/// Whether the shader with this name has subgroup operations.
pub(crate) fn has_subgroups(name: &str) -> bool {
    name.split('.').any(|part| part.starts_with("subgroup"))
}

/// Whether a shader has cooperative matrices.
pub(crate) fn is_cooperative(text: &str) -> bool {
    text.contains("enable wgpu_cooperative_matrix;")
}

/// The kind of a binding.
#[derive(Clone, Copy)]
enum Kind {
    Uniform,
    Read,
    Written,
    /// A storage texture, the only kind of texture in these shaders.
    Texture,
}

/// The bindings with their kinds, in order: wgpu numbers registers in this order.
fn bindings(module: &Module) -> Vec<(ResourceBinding, Kind)> {
    let kind = |space| match space {
        AddressSpace::Uniform => Kind::Uniform,
        AddressSpace::Handle => Kind::Texture,
        AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Kind::Written,
        _ => Kind::Read,
    };
    let mut bindings: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| variable.binding.map(|binding| (binding, kind(variable.space))))
        .collect();
    bindings.sort_by_key(|&(binding, _)| binding);
    bindings
}

/// The options of wgpu-hal's vulkan/adapter.rs for a driver with Vulkan 1.3: robustBufferAccess2, integer dot
/// products, 8-bit integers. With cooperative matrices also f16 and the Vulkan memory model, which they need.
fn spv_options(is_cooperative: bool) -> spv::Options<'static> {
    use spv::Capability as C;
    let cooperative =
        [C::CooperativeMatrixKHR, C::VulkanMemoryModel, C::Float16, C::StorageBuffer16BitAccess];
    let cooperative = cooperative.into_iter().filter(|_| is_cooperative);
    let capabilities = [
        C::Shader,
        C::Matrix,
        C::DotProductInputAllKHR,
        C::DotProductInput4x8BitKHR,
        C::DotProductInput4x8BitPackedKHR,
        C::DotProductKHR,
        C::GroupNonUniform,
        C::GroupNonUniformArithmetic,
        C::GroupNonUniformShuffle,
        C::Int8,
    ];
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some(capabilities.into_iter().chain(cooperative).collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            ..BoundsCheckPolicies::default()
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..spv::Options::default()
    }
}

/// As in wgpu-hal's metal/device.rs for a system with Metal 3.1: buffers in the order of bindings, then their
/// sizes; textures are numbered separately.
fn msl(module: &Module, info: &ModuleInfo, entry: &str) -> Result<String, msl::Error> {
    let (mut buffers, mut textures) = (0.., 0..);
    let resources = bindings(module).into_iter().map(|(binding, kind)| {
        let target = match kind {
            Kind::Texture => msl::BindTarget { texture: textures.next(), ..Default::default() },
            _ => msl::BindTarget {
                buffer: buffers.next(),
                mutable: matches!(kind, Kind::Written),
                ..Default::default()
            },
        };
        (binding, target)
    });
    let resources = resources.collect();
    let resources =
        msl::EntryPointResources { resources, immediates_buffer: None, sizes_buffer: buffers.next() };
    let options = msl::Options {
        lang_version: (3, 1),
        per_entry_point_map: [(entry.to_owned(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Restrict,
            image_load: BoundsCheckPolicy::Restrict,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: false,
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.to_owned())),
        vertex_pulling_transform: true,
        ..msl::PipelineOptions::default()
    };
    Ok(msl::write_string(module, info, &options, &pipeline)?.0)
}

/// As in wgpu-hal's dx12/device.rs: each binding has a register of its kind. Also returns the name of the
/// entry point.
fn hlsl(
    module: &Module,
    info: &ModuleInfo,
    entry: &str,
    shader_model: hlsl::ShaderModel,
) -> Result<(String, String), Box<dyn Error>> {
    let [mut constants, mut reads, mut writes] = [hlsl::BindTarget::default(); 3];
    let mut binding_map = hlsl::BindingMap::default();
    for (binding, kind) in bindings(module) {
        let next = match kind {
            Kind::Uniform => &mut constants,
            Kind::Read => &mut reads,
            Kind::Written | Kind::Texture => &mut writes,
        };
        binding_map.insert(binding, *next);
        next.register += 1;
    }
    let options = hlsl::Options {
        shader_model,
        binding_map,
        fake_missing_bindings: false,
        special_constants_binding: Some(constants),
        zero_initialize_workgroup_memory: false,
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())) };
    let mut text = String::new();
    let names =
        hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None)?.entry_point_names;
    let name = names.into_iter().next().ok_or("no entry point")??;
    Ok((text, name))
}
