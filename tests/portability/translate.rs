//! Translates shaders as wgpu-hal 30 does on each backend, so that the compilers behind it can be asked without a GPU.
//!
//! `translate FOLDER` writes there every shader of the library, `translate FOLDER NAME.wgsl...` those files: beside each
//! `NAME.wgsl` its `.spv`, `.metal` and `.hlsl` of three shader models, and for them all `index.json`. Of the library's,
//! there is also `NAME.vulkan.spv` of those that must be exact, which is what Vulkan drivers are given: it forbids contraction.
//! Shaders with subgroup operations are left out for FXC, which has none, and those with cooperative matrices are in `FOLDER/cooperative`, as text for wgpu alone,
//! SPIR-V and, where their form is Metal's, MSL: browsers and DX12 have none.

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage, StorageAccess};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// FXC has 5.1; DXC at least 6.0, and from 6.6 on naga uses intrinsics for packed integers.
const SHADER_MODELS: [(&str, hlsl::ShaderModel); 3] =
    [("5_1", hlsl::ShaderModel::V5_1), ("6_0", hlsl::ShaderModel::V6_0), ("6_6", hlsl::ShaderModel::V6_6)];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: translate FOLDER [NAME.wgsl...]")?;
    let folder = Path::new(&folder);
    let files: Vec<String> = arguments.collect();
    fs::create_dir_all(folder)?;
    let mut status = ExitCode::SUCCESS;
    let shaders: Vec<(String, String)> = if files.is_empty() {
        for (name, words) in qmill::gpu::vulkan_modules() {
            match words {
                Ok(words) => fs::write(folder.join(format!("{name}.vulkan.spv")), bytes(&words))?,
                Err(error) => {
                    eprintln!("{name}: {error}");
                    status = ExitCode::FAILURE;
                }
            }
        }
        qmill::gpu::shaders().collect()
    } else {
        let read = |file: &String| Ok((stem(file)?, fs::read_to_string(file)?));
        files.iter().map(read).collect::<Result<_, Box<dyn Error>>>()?
    };
    let mut index = Vec::new();
    for (name, wgsl) in shaders {
        // Browsers demand what naga refuses.
        let enable = if has_subgroups(&name) { "enable subgroups;\n" } else { "" };
        let folder = if is_cooperative(&wgsl) { &folder.join("cooperative") } else { folder };
        fs::create_dir_all(folder)?;
        fs::write(folder.join(format!("{name}.wgsl")), format!("{enable}{wgsl}"))?;
        match translate(folder, &name, &wgsl) {
            Ok(entry) if is_cooperative(&wgsl) => drop(entry),
            Ok(entry) => index.push(entry),
            Err(error) => {
                eprintln!("{name}: {error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    fs::write(folder.join("index.json"), serde_json::to_string_pretty(&index)?)?;
    Ok(status)
}

fn has_subgroups(name: &str) -> bool {
    name.split('.').any(|part| part.starts_with("subgroup"))
}

fn is_cooperative(wgsl: &str) -> bool {
    wgsl.contains("enable wgpu_cooperative_matrix;")
}

fn stem(file: &str) -> Result<String, Box<dyn Error>> {
    let name = Path::new(file).file_stem().and_then(|name| name.to_str());
    Ok(name.ok_or_else(|| format!("{file} has no name"))?.to_owned())
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Writes a shader's translations, and returns its entry of the index.
fn translate(folder: &Path, name: &str, wgsl: &str) -> Result<Value, Box<dyn Error>> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|error| error.emit_to_string(wgsl))?;
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let is_cooperative = is_cooperative(wgsl);
    capabilities.set(Capabilities::SUBGROUP, has_subgroups(name) || is_cooperative);
    capabilities.set(Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX, is_cooperative);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| error.emit_to_string(wgsl))?;
    let [entry] = module.entry_points.as_slice() else {
        return Err("not one entry point".into());
    };
    let (module, info) = process_overrides(
        &module,
        &info,
        Some((ShaderStage::Compute, &entry.name)),
        &PipelineConstants::default(),
    )?;
    let write =
        |extension: &str, contents: &[u8]| fs::write(folder.join(format!("{name}.{extension}")), contents);
    let words =
        spv::write_vec(&module, &info, &spv_options(is_cooperative), Some(&spv_pipeline(&entry.name)))?;
    write("spv", &bytes(&words))?;
    // Matrices of 16 x 16, and such as are loaded from quads, are Vulkan's alone.
    if !name.split('.').any(|part| part == "quads") {
        write("metal", metal(&module, &info, &entry.name)?.as_bytes())?;
    }
    let mut hlsl_entry = String::new();
    let left_out = if is_cooperative { SHADER_MODELS.len() } else { usize::from(has_subgroups(name)) };
    let models = SHADER_MODELS.into_iter().skip(left_out);
    for (model, shader_model) in models {
        let (text, name) = hlsl(&module, &info, &entry.name, shader_model)?;
        write(&format!("{model}.hlsl"), text.as_bytes())?;
        hlsl_entry = name;
    }
    Ok(json!({
        "name": name,
        "entry_point": entry.name,
        "hlsl_entry_point": hlsl_entry,
        "workgroup_size": entry.workgroup_size,
    }))
}

/// What is bound.
#[derive(Clone, Copy)]
enum Kind {
    Uniform,
    Read,
    Written,
    /// A storage texture: the only one there is in these shaders.
    Texture,
}

/// A binding and what it is, in the order of bindings: what wgpu numbers registers by.
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

/// As in wgpu-hal's vulkan/adapter.rs, of a driver with Vulkan 1.3: robustBufferAccess2, integer dot products, 8-bit
/// integers; with cooperative matrices, f16 and the memory model that they need.
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

fn spv_pipeline(entry: &str) -> spv::PipelineOptions {
    spv::PipelineOptions { entry_point: entry.to_owned(), shader_stage: ShaderStage::Compute }
}

/// As in wgpu-hal's metal/device.rs, of a system with Metal 3.1: buffers in the order of bindings, then their sizes; textures by themselves.
fn metal(module: &Module, info: &ModuleInfo, entry: &str) -> Result<String, msl::Error> {
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

/// As in wgpu-hal's dx12/device.rs: a register of its kind for each binding. Also returns the entry point's name.
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
