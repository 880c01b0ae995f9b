//! All shaders of the library, for tests and for compilers of other platforms.

use super::convert::program::ConvertProgram;
use super::convert::round_trip;
use super::device::self_test;
use super::matmul::{activations, cooperative, cooperative_decoded, experts, f16_activations, f16_weights};
use super::matmul::{glu, matvec, split_k, tile};
use super::matrix::{copy, get_rows, quantize, read};
use super::shader::spirv;
use super::shader::switch::Switch;

/// The name of every shader, such as `quantize_pack.q4_k.f16`, and its WGSL text.
pub fn shaders() -> impl Iterator<Item = (String, String)> {
    let products = matvec::programs()
        .chain(tile::programs())
        .chain(cooperative::programs())
        .chain(f16_activations::programs())
        .chain(glu::programs())
        .chain(f16_weights::programs());
    // The variant for devices that convert f16 exactly.
    let products = products.map(|program| program.with(Switch::NativeF16));
    let products = products.map(|program| (program.name(), checked(program.wgsl(true))));
    let others = activations::texts()
        .chain([self_test::f16_text()])
        .chain(f16_activations::texts())
        .chain(split_k::texts())
        .chain(experts::texts());
    let others = others.map(|(name, wgsl)| (name.to_owned(), checked(wgsl)));
    let decoded = cooperative_decoded::texts().map(|(name, wgsl)| (name, checked(wgsl)));
    exact_texts(true).chain(products).chain(others).chain(decoded)
}

/// The SPIR-V that Vulkan drivers get for each shader of exact arithmetic, or why the translation failed.
#[doc(hidden)]
pub fn vulkan_modules() -> impl Iterator<Item = (String, Result<Vec<u32>, String>)> {
    exact_texts(false).map(|(name, wgsl)| (name, spirv::without_contraction(&wgsl)))
}

/// Tests join every shader, so that this cannot fail.
fn checked(text: Result<String, String>) -> String {
    text.expect("every shader joins")
}

/// Shaders whose results must equal the CPU reference bit for bit.
fn exact_texts(may_contract: bool) -> impl Iterator<Item = (String, String)> {
    let programs =
        ConvertProgram::all().map(move |program| (program.to_string(), checked(program.wgsl(may_contract))));
    let with_matrix = get_rows::programs().chain(read::programs());
    let with_matrix = with_matrix.map(move |program| (program.name(), checked(program.wgsl(may_contract))));
    let others = [self_test::text(may_contract)].into_iter().chain(copy::texts()).chain(round_trip::texts());
    let others = others.map(|(name, wgsl)| (name.to_owned(), checked(wgsl)));
    let checks = quantize::texts().map(|(name, wgsl)| (name, checked(wgsl)));
    others.chain(programs).chain(with_matrix).chain(checks)
}
