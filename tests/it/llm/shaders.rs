//! The kernels of `shaders/llm`, without a GPU: they are valid, within WebGPU's limits, and translate for
//! each backend.

use super::{SEEDED, exact, seeded};
use naga::AddressSpace;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use qmill::llm::{Model, shaders};
use qmill::{Device, Format};
use std::collections::BTreeSet;
use std::fs;

#[test]
fn every_shader_is_valid_within_the_limits_of_webgpu_and_can_be_translated() {
    let mut kinds = BTreeSet::new();
    for name in SEEDED {
        for cache in [Format::F16, Format::F32] {
            let options = exact(Device::Cpu).with_cache_keys(cache).with_cache_values(cache);
            for (name, wgsl) in shaders(&Model::load(seeded(name), &options).unwrap()) {
                check(&name, &wgsl);
                kinds.insert(name.split('.').next().unwrap().to_owned());
            }
        }
    }
    // Parts of kernels; and kernels of the models in `variants.rs`, which have a softcap or padded heads.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/llm");
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_part = [
            "activation",
            "attention_common",
            "attention_rows",
            "int8_by_1_lane",
            "int8_by_2_lanes",
            "int8_by_8_lanes",
            "keys_f16",
            "keys_f32",
            "softcap",
            "unpad_heads",
            "values_f16",
            "values_f32",
        ]
        .contains(&name.as_str());
        assert!(is_part || kinds.contains(&name), "no model takes {name}");
    }
}

pub(super) fn check(name: &str, wgsl: &str) {
    let module = naga::front::wgsl::parse_str(wgsl)
        .unwrap_or_else(|error| panic!("{name}:\n{}", error.emit_to_string_with_path(wgsl, name)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}:\n{}", error.emit_to_string_with_path(wgsl, name)));
    let size: u32 = module.entry_points[0].workgroup_size.iter().product();
    assert!(size <= 256, "{name}: {size} invocations");
    let (mut storage, mut workgroup_bytes) = (0, 0);
    for (_, variable) in module.global_variables.iter() {
        storage += usize::from(matches!(variable.space, AddressSpace::Storage { .. }));
        if variable.space == AddressSpace::WorkGroup {
            workgroup_bytes += module.types[variable.ty].inner.size(module.to_ctx());
        }
    }
    assert!(storage <= 8, "{name}: {storage} storage buffers");
    assert!(workgroup_bytes <= 16 << 10, "{name}: {workgroup_bytes} bytes of workgroup memory");
    spv::write_vec(&module, &info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{name}: {e}"));
    let options = msl::Options { fake_missing_bindings: true, ..msl::Options::default() };
    msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut text = String::new();
    let options = hlsl::Options { fake_missing_bindings: true, ..hlsl::Options::default() };
    hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(&module, &info, None)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
}
