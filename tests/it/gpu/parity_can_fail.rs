//! The tests of conversions can fail: each planted fault is found.

use super::another_device;
use super::parity::{check, check_dequantizer, check_quantizer};
use super::weights::{encoded, sample};
use qmill::gpu::Converter;
use qmill::{Format, Gpu};
use std::sync::Arc;

/// A device whose shaders have `right` replaced by `wrong`; the text must be there.
fn faulty(right: &'static str, wrong: &'static str) -> Option<Gpu> {
    let (device, queue) = another_device()?;
    let rewrite = move |name: &str, text: String| {
        assert!(name.starts_with("self_test") || text.contains(right), "{name}: there is no {right:?}");
        text.replace(right, wrong)
    };
    Some(Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap())
}

/// The result of the comparison when weights of `kind` are quantized to `format`.
fn found(gpu: &Gpu, kind: &str, format: Format) -> Result<u64, String> {
    let weights = encoded(Format::F32, &sample(kind, 65536));
    check(&mut Converter::new(gpu, 64 << 20), Format::F32, &weights, format)
}

#[test]
fn a_wrong_rounding_is_found() {
    // Half up instead of half away from zero: these differ only at negative ties.
    let Some(gpu) = faulty("select(nearest, -nearest, v < vec4<f32>(0.0))", "vec4<i32>(floor(v + 0.5))")
    else {
        return;
    };
    assert!(found(&gpu, "ties", Format::Q8_0).is_err());
}

#[test]
fn a_wrong_order_of_codes_is_found() {
    let Some(gpu) = faulty("b.x | (b.y << 8u)", "b.y | (b.x << 8u)") else { return };
    assert!(found(&gpu, "gaussian", Format::Q8_0).is_err());
}

#[test]
fn a_block_that_is_not_written_is_found() {
    // The block keeps its previous contents: zeros of a new buffer, or poison.
    let Some(gpu) = faulty("if (block < params.count)", "if (block + 1u < params.count)") else { return };
    assert!(found(&gpu, "gaussian", Format::Q8_0).is_err());
    assert!(check_quantizer(&gpu, Format::F32, Format::Q8_0, 65).is_err());
}

#[test]
fn a_write_beyond_the_end_is_found() {
    let Some(gpu) = faulty("if (block < params.count)", "if (block <= params.count)") else { return };
    let result = check_quantizer(&gpu, Format::F32, Format::Q8_0, 65);
    assert_eq!(result, Err("wrote outside of its range".to_owned()));
}

#[test]
fn a_slightly_wrong_quotient_is_found() {
    let Some(gpu) = faulty("guess + bitcast<u32>(step) + up - down", "guess + bitcast<u32>(step) + 1u")
    else {
        return;
    };
    assert!(found(&gpu, "ties", Format::Q8_0).is_err());
}

#[test]
fn blocks_that_should_be_declined_are_found() {
    let Some(gpu) = faulty("if (!in_range(largest))", "if (false)") else { return };
    assert!(found(&gpu, "subnormal", Format::Q8_0).is_err());
}

#[test]
fn a_wrong_sign_of_zero_is_found() {
    let Some(gpu) = faulty(
        "let finite = sign |",
        "let finite = (sign & select(vec4<u32>(0u), vec4<u32>(0xffffffffu), q != vec4<i32>(0))) |",
    ) else {
        return;
    };
    assert!(check_dequantizer(&gpu, Format::Q8_0, Format::F32, 131).is_err());
}

#[test]
fn a_subnormal_scale_that_is_flushed_is_found() {
    let Some(gpu) =
        faulty("select(normal, subnormal, rest < 0x00800000u)", "select(normal, 0u, rest < 0x00800000u)")
    else {
        return;
    };
    assert!(check_dequantizer(&gpu, Format::Q8_0, Format::F32, 131).is_err());
}
