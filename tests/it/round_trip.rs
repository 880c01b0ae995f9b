//! The round trip through every format and its sums of squared errors, on the CPU.

use crate::golden;
use crate::gpu::weights::{KINDS, encoded, sample};
use crate::support::{dequantized, quantized};
use qmill::cpu::{self, ErrorSums, Float};
use qmill::half::{bf16, f16};
use qmill::{Error, FORMATS, Format};

/// Weights of each distribution: more than are converted at a time, and a last group that is incomplete.
const WEIGHTS: usize = 2 * 4096 + 256 + 128;

pub(crate) fn encoders() -> impl Iterator<Item = Format> {
    FORMATS.iter().filter(|info| info.can_quantize()).map(|info| info.format)
}

/// As many of the weights as are whole blocks.
fn whole(format: Format, weights: &[f32]) -> &[f32] {
    let block = format.info().block_weights;
    &weights[..weights.len() / block * block]
}

/// The golden blocks, and samples of all distributions.
fn samples() -> impl Iterator<Item = (&'static str, Vec<f32>)> {
    let golden = bytemuck::pod_collect_to_vec(&golden::read("blocks.f32"));
    std::iter::once(("golden", golden)).chain(KINDS.map(|kind| (kind, sample(kind, WEIGHTS))))
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|w| if w.is_nan() { f32::NAN.to_bits() } else { w.to_bits() }).collect()
}

/// The definition of the sums, with ŵ given, one operation after another.
fn defined(weights: &[f32], decoded: &[f32], lanes: usize) -> ErrorSums {
    let kept = |x: f32| if x.abs() < f32::powi(2.0, -63) { 0.0 } else { x };
    let mut sums = ErrorSums::default();
    for (weights, decoded) in weights.chunks(256).zip(decoded.chunks(256)) {
        let mut group = [vec![0f32; lanes], vec![0f32; lanes]];
        for (i, (&w, &d)) in weights.iter().zip(decoded).enumerate() {
            let e = kept(kept(w) - kept(d));
            group[0][i % lanes] += e * e;
            group[1][i % lanes] += kept(w) * kept(w);
        }
        let halved = group.map(|mut sums| {
            while sums.len() > 1 {
                let upper = sums.split_off(sums.len() / 2);
                sums.iter_mut().zip(upper).for_each(|(sum, other)| *sum += other);
            }
            sums[0]
        });
        sums.add_groups(weights.len() as u64, &[halved]);
    }
    sums
}

/// Whether two sums are the same numbers; one NaN is as good as another.
pub(crate) fn same(a: &ErrorSums, b: &ErrorSums) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    a.weights == b.weights
        && same(a.error_squared, b.error_squared)
        && same(a.weight_squared, b.weight_squared)
}

#[test]
fn round_trips_are_encode_and_decode() {
    for format in encoders() {
        for (kind, weights) in samples() {
            let weights = whole(format, &weights);
            let expected = dequantized(format, &quantized(format, weights));
            let mut found = vec![f32::from_bits(0xa5a5_a5a5); weights.len()];
            cpu::round_trip(format, weights, &mut found).unwrap();
            assert_eq!(bits(&found), bits(&expected), "{format} {kind}");
            let mut in_place = weights.to_vec();
            cpu::round_trip_in_place(format, &mut in_place).unwrap();
            assert_eq!(bits(&in_place), bits(&expected), "{format} {kind} in place");
        }
    }
}

#[test]
fn round_trips_of_halves_are_encode_and_decode() {
    fn check<W: Float>(format: Format, kind: &str) {
        let weights: Vec<W> = bytemuck::pod_collect_to_vec(&encoded(W::FORMAT, &sample(kind, WEIGHTS - 128)));
        let mut bytes = vec![0; format.bytes_for(weights.len() as u64) as usize];
        cpu::quantize(format, &weights, &mut bytes).unwrap();
        let mut expected = vec![W::default(); weights.len()];
        cpu::dequantize(format, &bytes, &mut expected).unwrap();
        let mut found = vec![W::default(); weights.len()];
        cpu::round_trip(format, &weights, &mut found).unwrap();
        let mut in_place = weights;
        cpu::round_trip_in_place(format, &mut in_place).unwrap();
        let expected: &[u8] = bytemuck::cast_slice(&expected);
        assert!(bytemuck::cast_slice::<W, u8>(&found) == expected, "{} {format} {kind}", W::FORMAT);
        assert!(bytemuck::cast_slice::<W, u8>(&in_place) == expected, "{} {format} {kind}", W::FORMAT);
    }
    for format in encoders() {
        for kind in ["gaussian", "heavy tails", "tiny"] {
            check::<f16>(format, kind);
            check::<bf16>(format, kind);
        }
    }
}

#[test]
fn error_sums_are_as_defined() {
    let mut other_orders = 0;
    for format in encoders() {
        for (kind, weights) in samples() {
            let weights = whole(format, &weights);
            let decoded = dequantized(format, &quantized(format, weights));
            let expected = defined(weights, &decoded, 16);
            let found = cpu::error_sums_of_weights(weights, format).unwrap();
            assert!(same(&found, &expected), "{format} {kind}: {found:?} is not {expected:?}");
            let bytes: &[u8] = bytemuck::cast_slice(weights);
            let of_bytes = cpu::error_sums(Format::F32, bytes, format).unwrap();
            assert!(same(&of_bytes, &expected), "{format} {kind}: {of_bytes:?} is not {expected:?}");
            other_orders += usize::from(!same(&found, &defined(weights, &decoded, 8)));
        }
    }
    // The comparison notices another order.
    assert!(other_orders > 100, "{other_orders}");
}

#[test]
fn error_sums_are_near_those_in_f64() {
    let ordinary = |kind: &str| !["any exponent", "subnormal", "golden"].contains(&kind);
    for format in encoders() {
        for (kind, weights) in samples().filter(|(kind, _)| ordinary(kind)) {
            let weights = whole(format, &weights);
            let decoded = dequantized(format, &quantized(format, weights));
            let sums = cpu::error_sums_of_weights(weights, format).unwrap();
            let pairs = weights.iter().zip(&decoded);
            let errors: f64 = pairs.map(|(&w, &d)| (f64::from(w) - f64::from(d)).powi(2)).sum();
            let squares: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
            for (found, exact) in [(sums.error_squared, errors), (sums.weight_squared, squares)] {
                let difference = (found - exact).abs();
                assert!(difference <= exact * f64::powi(2.0, -19), "{format} {kind}: {found} is not {exact}");
            }
            assert_eq!(sums.weights, weights.len() as u64);
            assert!((sums.relative() - errors / squares).abs() <= errors / squares * f64::powi(2.0, -18));
        }
    }
}

#[test]
fn sources_of_every_format_are_decoded() {
    let weights = sample("heavy tails", WEIGHTS - 128);
    for from in encoders() {
        let source = quantized(from, &weights);
        let expected = cpu::error_sums_of_weights(&dequantized(from, &source), Format::Q5_K).unwrap();
        assert!(same(&cpu::error_sums(from, &source, Format::Q5_K).unwrap(), &expected), "{from}");
    }
    let f16s: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
    let of_bytes = cpu::error_sums(Format::F16, bytemuck::cast_slice(&f16s), Format::Q3_K).unwrap();
    assert!(same(&of_bytes, &cpu::error_sums_of_weights(&f16s, Format::Q3_K).unwrap()));
    // Parts of whole groups have the same groups; only the f64 sums differ.
    let (first, rest) = weights.split_at(4096);
    let mut parts = cpu::error_sums_of_weights(first, Format::Q3_K).unwrap();
    parts += cpu::error_sums_of_weights(rest, Format::Q3_K).unwrap();
    let whole = cpu::error_sums_of_weights(&weights, Format::Q3_K).unwrap();
    assert_eq!(parts.weights, whole.weights);
    assert!((parts.error_squared / whole.error_squared - 1.0).abs() < 1e-14);
}

#[test]
fn relative_errors_are_defined_for_every_input() {
    let sums = |weights: &[f32], to| cpu::error_sums_of_weights(weights, to).unwrap();
    // Nothing to keep, and nothing lost.
    assert_eq!(sums(&[0.0; 256], Format::Q2_K).relative(), 0.0);
    assert_eq!(sums(&[], Format::Q2_K), ErrorSums::default());
    assert_eq!(sums(&[], Format::Q2_K).relative(), 0.0);
    assert_eq!(sums(&[0.1, -3.0, 5.0], Format::F32).relative(), 0.0);
    // Weights that count as 0.
    let tiny = sums(&[1e-30; 256], Format::Q2_K);
    assert_eq!((tiny.weights, tiny.error_squared, tiny.weight_squared), (256, 0.0, 0.0));
    // A scale that f16 does not hold.
    let large = sums(&[1e30; 32], Format::Q8_0);
    assert_eq!(large.relative(), f64::INFINITY, "{large:?}");
    assert_eq!(sums(&[1e20; 32], Format::F16).relative(), f64::INFINITY);
    // A weight that is not finite shows.
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for to in encoders() {
            let mut weights = vec![0.5; 1024];
            weights[700] = bad;
            let found = sums(&weights, to);
            assert!(!found.weight_squared.is_finite(), "{to}: {found:?}");
            assert_eq!(found.relative(), f64::INFINITY, "{to}: {found:?}");
        }
    }
}

#[test]
fn unsuitable_lengths_and_formats_are_refused() {
    let weights = [0.5f32; 300];
    let results = [
        cpu::round_trip(Format::Q2_K, &weights, &mut [0.0; 300]).err(),
        cpu::round_trip_in_place(Format::Q2_K, &mut weights.clone()).err(),
        cpu::error_sums_of_weights(&weights, Format::Q2_K).err(),
        cpu::error_sums(Format::F32, bytemuck::cast_slice(&weights), Format::Q2_K).err(),
    ];
    for error in results {
        let error = error.expect("300 weights are no whole number of blocks");
        assert_eq!(
            error.to_string(),
            "the number of weights is 300, not a multiple of 256, the block of Q2_K"
        );
    }
    let error = cpu::round_trip(Format::Q8_0, &weights[..32], &mut [0.0; 64]).unwrap_err();
    assert_eq!(error.to_string(), "the length of the result is 64, not 32");
    let error = cpu::error_sums(Format::Q8_0, &[0; 35], Format::F16).unwrap_err();
    assert!(matches!(error, Error::Length { format: Format::Q8_0, weights: 32, bytes: 35 }), "{error}");
    let mut kept = [0.5f32; 256];
    for format in FORMATS.iter().filter(|info| !info.can_quantize()).map(|info| info.format) {
        let results = [
            cpu::round_trip(format, &weights[..256], &mut [0.0; 256]).err(),
            cpu::round_trip_in_place(format, &mut kept).err(),
            cpu::error_sums_of_weights(&kept, format).err(),
        ];
        assert!(results.iter().all(|error| matches!(error, Some(Error::NotEncoded { .. }))), "{format}");
    }
    assert_eq!(kept, [0.5; 256]);
}
