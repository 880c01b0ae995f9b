//! Every shader, without a GPU: it joins, is valid, stays within the limits of WebGPU, and can be translated
//! for each backend.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{AddressSpace, Module};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn valid(name: &str, wgsl: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(wgsl)
        .unwrap_or_else(|error| panic!("{name}:\n{}", error.emit_to_string_with_path(wgsl, name)));
    // Programs with subgroup operations are for devices that have them.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let has_subgroups = name.contains("subgroup") || is_cooperative(name);
    capabilities.set(Capabilities::SUBGROUP, has_subgroups);
    // And programs with cooperative matrices.
    capabilities.set(Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX, is_cooperative(name));
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    if has_subgroups {
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    }
    let info = validator
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}:\n{}", error.emit_to_string_with_path(wgsl, name)));
    (module, info)
}

fn is_cooperative(name: &str) -> bool {
    name.starts_with("matmul_cooperative")
}

#[test]
fn every_shader_is_valid_and_within_the_limits_of_webgpu() {
    for (name, wgsl) in qmill::gpu::shaders() {
        let (module, _) = valid(&name, &wgsl);
        let size: u32 = module.entry_points[0].workgroup_size.iter().product();
        // Programs for matrix units have larger workgroups, on devices that allow them.
        let limit = if is_cooperative(&name) { 512 } else { 256 };
        assert!(size <= limit, "{name}: {size} invocations");
        let storage =
            module.global_variables.iter().filter(|(_, v)| matches!(v.space, AddressSpace::Storage { .. }));
        assert!(storage.count() <= 8, "{name}");
    }
}

#[test]
fn every_shader_can_be_translated_for_each_backend() {
    for (name, wgsl) in qmill::gpu::shaders() {
        let (module, info) = valid(&name, &wgsl);
        spv::write_vec(&module, &info, &spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        // Only Vulkan loads matrices from vec4s, and DX12 has no matrices.
        if is_cooperative(&name) && name.split('.').any(|part| part == "quads") {
            continue;
        }
        let lang_version = if is_cooperative(&name) { (2, 3) } else { (2, 0) };
        let options = msl::Options { lang_version, fake_missing_bindings: true, ..msl::Options::default() };
        msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        if is_cooperative(&name) {
            continue;
        }
        let mut text = String::new();
        let options = hlsl::Options { fake_missing_bindings: true, ..hlsl::Options::default() };
        hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// Every operation on the device has a CPU reference: `shaders/{convert,matrix,matmul}/x.wgsl` and
/// `src/cpu/x.rs`.
#[test]
fn every_kernel_has_a_cpu_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut kernels = 0;
    for folder in ["convert", "matrix", "matmul"] {
        for entry in fs::read_dir(root.join("shaders").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if !fs::read_to_string(&path).unwrap().contains("@compute") {
                continue;
            }
            let operation = match path.file_stem().unwrap().to_str().unwrap() {
                // Checked against Rust's own results, or by reading back.
                "self_test" | "self_test_f16" | "check_weights" | "scatter_fields" | "copy_rows"
                | "read_matrix" | "clear_declined" | "copy_weights" => {
                    continue;
                }
                "matvec"
                | "matvec_glu"
                | "split_k_sum"
                | "matmul_large"
                | "matmul_cooperative"
                | "matmul_cooperative_decoded"
                | "f16_activations"
                | "f16_weights"
                | "row_scales"
                | "expert_count"
                | "expert_scatter" => "matmul",
                "quantize_activations" => "activations",
                "quantize_pack" | "quantize_search" => "quantize",
                name => name,
            }
            .to_owned();
            let reference = root.join(format!("src/cpu/{operation}.rs"));
            assert!(reference.exists(), "{operation} has no {}", reference.display());
            kernels += 1;
        }
    }
    assert!(kernels >= 14, "{kernels} kernels");
}

/// `shaders/README.md` lists every switch, and no other.
#[test]
fn every_switch_is_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/gpu/shader/switch.rs")).unwrap();
    let switches: BTreeSet<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""))
        .map(|(_, name)| name.to_owned())
        .collect();
    let readme = fs::read_to_string(root.join("shaders/README.md")).unwrap();
    let table = readme.split("## Switches").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(switches.len() > 30, "{switches:?}");
    assert_eq!(switches, listed);
}
