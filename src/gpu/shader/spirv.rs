//! Translates WGSL to SPIR-V in which no operation may be contracted (fused or reassociated).
//!
//! WGSL cannot express this, hence the opaque steps of `shaders/lib/exact.wgsl`. SPIR-V can; without these
//! steps, kernels are a third shorter. wgpu passes the result through to Vulkan.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::collections::BTreeSet;

/// The words of the SPIR-V module.
pub(in crate::gpu) fn without_contraction(wgsl: &str) -> Result<Vec<u32>, String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|error| error.emit_to_string(wgsl))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| error.emit_to_string(wgsl))?;
    let options = spv::Options {
        // Only what every device has. By default, naga uses 8-bit integers where they are shorter.
        capabilities: Some([spv::Capability::Shader].into_iter().collect()),
        // As in wgpu for drivers without checks of their own.
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Restrict,
            ..BoundsCheckPolicies::default()
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        flags: spv::WriterFlags::empty(),
        binding_map: consecutive_bindings(&module),
        ..spv::Options::default()
    };
    let words = spv::write_vec(&module, &info, &options, None).map_err(|error| error.to_string())?;
    Ok(decorated(&words))
}

/// The binding numbers that wgpu uses on Vulkan: in order, without gaps.
fn consecutive_bindings(module: &naga::Module) -> spv::BindingMap {
    let bindings = module.global_variables.iter().filter_map(|(_, variable)| variable.binding);
    let in_order: BTreeSet<_> = bindings.collect();
    let numbered = in_order.into_iter().zip(0..).map(|(resource, binding)| {
        (resource, spv::BindingInfo { descriptor_set: resource.group, binding, binding_array_size: None })
    });
    numbered.collect()
}

/// Opcodes of the SPIR-V specification.
mod op {
    pub(in crate::gpu) const DECORATE: u32 = 71;
    /// Instructions that may come before the first type, constant or variable: module header, debug names,
    /// decorations.
    pub(in crate::gpu) const PREAMBLE: [u32; 19] =
        [2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 16, 17, 71, 72, 73, 74, 75, 330];
    /// `OpFNegate`, `OpFAdd`, `OpFSub`, `OpFMul`, `OpFDiv`, `OpVectorTimesScalar`, `OpDot`.
    pub(in crate::gpu) const ARITHMETIC: [u32; 7] = [127, 129, 131, 133, 136, 142, 148];
}
const NO_CONTRACTION: u32 = 42;
const HEADER_WORDS: usize = 5;

/// The module with every floating-point operation decorated `NoContraction`.
fn decorated(words: &[u32]) -> Vec<u32> {
    let (mut preamble_words, mut decorations) = (HEADER_WORDS, Vec::new());
    let mut at = HEADER_WORDS;
    while at < words.len() {
        // The first word has length and opcode. If there is a result, its type and id follow.
        let (length, opcode) = ((words[at] >> 16) as usize, words[at] & 0xffff);
        if at == preamble_words && op::PREAMBLE.contains(&opcode) {
            preamble_words += length;
        }
        if op::ARITHMETIC.contains(&opcode) {
            decorations.extend([3 << 16 | op::DECORATE, words[at + 2], NO_CONTRACTION]);
        }
        at += length;
    }
    let (preamble, rest) = words.split_at(preamble_words);
    [preamble, &decorations, rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_decorated_before_the_first_type() {
        let wgsl = "@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
            @compute @workgroup_size(1)
            fn main() { x[0] = -x[1] * x[2].x + x[3] / x[4] - vec4(dot(x[5], x[6])); }";
        let words = without_contraction(wgsl).unwrap();
        let (mut at, mut decorated, mut arithmetic, mut types_begun) =
            (HEADER_WORDS, Vec::new(), Vec::new(), false);
        while at < words.len() {
            let (length, opcode) = ((words[at] >> 16) as usize, words[at] & 0xffff);
            types_begun |= (19..=39).contains(&opcode);
            if opcode == op::DECORATE && words[at + 2] == NO_CONTRACTION {
                assert!(!types_begun);
                decorated.push(words[at + 1]);
            }
            if op::ARITHMETIC.contains(&opcode) {
                arithmetic.push(words[at + 2]);
            }
            at += length;
        }
        assert_eq!(at, words.len());
        assert_eq!(arithmetic.len(), 6);
        assert_eq!(decorated, arithmetic);
    }
}
