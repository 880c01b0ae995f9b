//! Properties of every format, on random data.

use qmill::format::FormatInfo;
use qmill::{Error, FORMATS, Format, cpu};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, StudentT, Uniform};

/// Weights of each distribution: a multiple of every format's block.
const WEIGHTS: usize = 64 * 256;

/// Weights of several distributions, all below 1000, so that no scale overflows f16 or ue4m3.
fn samples() -> Vec<(&'static str, Vec<f32>)> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut draw = |distribution: &dyn Fn(&mut StdRng) -> f32| -> Vec<f32> {
        (0..WEIGHTS).map(|_| distribution(&mut rng).clamp(-999.0, 999.0)).collect()
    };
    let uniform = Uniform::new(-1.0, 1.0).unwrap();
    let student = StudentT::new(2.0).unwrap();
    let gaussian = draw(&|rng| StandardNormal.sample(rng));
    let constants = gaussian.iter().step_by(256).flat_map(|&w| [w; 256]).collect();
    vec![
        ("small gaussian", gaussian.iter().map(|w| w * 0.02).collect()),
        ("gaussian", gaussian),
        ("student-t", draw(&|rng| student.sample(rng))),
        ("uniform", draw(&|rng| uniform.sample(rng))),
        ("all positive", draw(&|rng| uniform.sample(rng) + 2.0)),
        ("constants", constants),
        ("zeros", vec![0.0; WEIGHTS]),
    ]
}

fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn quantize(info: &FormatInfo, weights: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0xa5; weights.len() / info.block_weights * info.block_bytes];
    cpu::quantize(info.format, weights, &mut bytes).unwrap();
    bytes
}

fn dequantize(info: &FormatInfo, bytes: &[u8]) -> Vec<f32> {
    let mut weights = vec![f32::NAN; bytes.len() / info.block_bytes * info.block_weights];
    cpu::dequantize(info.format, bytes, &mut weights).unwrap();
    weights
}

/// The largest error that encoding and decoding can give a weight of this block.
///
/// The error of a uniform code is at most half a step, or a whole step if the outermost code is missing on
/// one side. A stored f16 has an error of 2^-11 of itself, or 2^-25 if it is subnormal, times its factor.
fn error_bound(format: Format, block: &[f32]) -> f32 {
    let largest = block.iter().fold(0f32, |a, w| a.max(w.abs()));
    let least = block.iter().copied().fold(f32::MAX, f32::min);
    let greatest = block.iter().copied().fold(f32::MIN, f32::max);
    let range = greatest - least;
    let stored = |value: f32, times: f32| value * 2f32.powi(-11) + times * 2f32.powi(-25);
    // K-quants with a minimum: codes 0..=q begin at or below 0. A search moves a sub-block's step and clips
    // codes, by a step at most; the step and the minimum of a sub-block are rounded to s parts of the largest
    // in the block.
    let k_quant = |q: f32, s: f32| {
        let (range, lowest) = (greatest - least.min(0.0), (-least).max(0.0));
        let step = range / q;
        step + (step * q + lowest) / s / 2.0 + stored(range, q * s) + stored(lowest, s)
    };
    match format {
        Format::F32 => 0.0,
        Format::F16 => stored(largest, 1.0),
        Format::BF16 => largest * 2f32.powi(-8),
        // ±d for the mean magnitude d: the largest weight, or a 0, is furthest off.
        Format::Q1_0 => {
            let mean = block.iter().map(|w| w.abs()).sum::<f32>() / block.len() as f32;
            mean.max(largest - mean) * 1.0001 + stored(mean, 1.0)
        }
        // d is the largest magnitude, which gets code ±1.
        Format::Q2_0 | Format::TQ1_0 | Format::TQ2_0 => largest / 2.0 + stored(largest, 1.0),
        // Codes -8..=7 and -16..=15: the positive end is missing.
        Format::Q4_0 => largest / 8.0 + stored(largest, 8.0),
        Format::Q5_0 => largest / 16.0 + stored(largest, 16.0),
        Format::Q4_1 => range / 15.0 / 2.0 + stored(range, 15.0) + stored(least.abs(), 1.0),
        Format::Q5_1 => range / 31.0 / 2.0 + stored(range, 31.0) + stored(least.abs(), 1.0),
        Format::Q8_0 => largest / 127.0 / 2.0 + stored(largest, 127.0),
        // The largest is between 4 and 8 times the scale; levels reach 6, the widest gap is 2.
        Format::MXFP4 => largest / 4.0,
        // The scale, largest/6, has three bits of mantissa (1/16 off at most) and a least step of 2^-9: the
        // half gap of 1 under a scale that is too large, or the reach of 6 under one that is too small by
        // half a least step.
        Format::NVFP4 => (largest / 6.0 * 17.0 / 16.0).max(largest / 16.0) + 6.0 * 2f32.powi(-10),
        Format::Q2_K => k_quant(3.0, 15.0),
        Format::Q4_K => k_quant(15.0, 63.0),
        Format::Q5_K => k_quant(31.0, 63.0),
        // Those without: the same, around 0, with 32 and 128 parts; the outermost code is 4 and 32 steps out.
        Format::Q3_K => largest / 4.0 + largest / 32.0 / 2.0 + stored(largest, 128.0),
        Format::Q6_K => largest / 32.0 + largest / 128.0 / 2.0 + stored(largest, 4096.0),
        // The same again with uneven levels: the widest gap is 24 of 127.
        Format::IQ4_NL => largest * 24.0 / 127.0 + stored(largest, 127.0),
        Format::IQ4_XS => largest * 24.0 / 127.0 + largest / 32.0 / 2.0 + stored(largest, 4064.0),
        _ => panic!("state an error bound for {format}"),
    }
}

#[test]
fn weights_come_back_within_the_step() {
    for info in FORMATS.iter().filter(|info| info.can_quantize()) {
        for (name, weights) in samples() {
            let decoded = dequantize(info, &quantize(info, &weights));
            let blocks = weights.chunks(info.block_weights).zip(decoded.chunks(info.block_weights));
            for (block, (weights, decoded)) in blocks.enumerate() {
                // 2^-20 is room for the f32 operations themselves.
                let bound = error_bound(info.format, weights) * (1.0 + 2f32.powi(-20));
                for (w, decoded) in weights.iter().zip(decoded) {
                    let error = (w - decoded).abs();
                    assert!(
                        error <= bound,
                        "{} {name} block {block}: {w} became {decoded}, bound {bound}",
                        info.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_block_does_not_depend_on_its_neighbours() {
    for info in FORMATS.iter().filter(|info| info.can_quantize()) {
        let (_, weights) = &samples()[2];
        let blocks = &weights[..17 * info.block_weights];
        let whole = quantize(info, blocks);
        for batch in [1, 2, 3, 5, 16] {
            let parts = blocks.chunks(batch * info.block_weights).flat_map(|part| quantize(info, part));
            assert!(parts.eq(whole.iter().copied()), "{} in batches of {batch}", info.name);
        }
    }
}

#[test]
fn decoding_a_block_does_not_depend_on_its_neighbours() {
    for info in &FORMATS {
        let bytes = random_bytes(2, 17 * info.block_bytes);
        let whole = dequantize(info, &bytes);
        for batch in [1, 2, 3, 5, 16] {
            let parts = bytes.chunks(batch * info.block_bytes).flat_map(|part| dequantize(info, part));
            let same = parts.zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            assert!(same, "{} in batches of {batch}", info.name);
        }
    }
}

#[test]
fn any_bytes_decode_and_only_valid_ones_to_numbers() {
    for info in &FORMATS {
        let bytes = random_bytes(3, 4096 * info.block_bytes);
        let weights = dequantize(info, &bytes);
        let blocks = bytes.chunks(info.block_bytes).zip(weights.chunks(info.block_weights));
        for (block, (bytes, weights)) in blocks.enumerate() {
            let valid = info.format.first_invalid_block(bytes).is_none();
            let finite = weights.iter().all(|w| w.is_finite());
            let expected = match info.format {
                // The highest scale is invalid although small codes do not overflow with it; the one below
                // can overflow.
                Format::MXFP4 => bytes[0] != 0xff && !weights.iter().any(|w| w.is_nan()),
                _ => finite,
            };
            assert_eq!(valid, expected, "{} block {block}", info.name);
        }
        let first = bytes.chunks(info.block_bytes).position(|b| info.format.first_invalid_block(b).is_some());
        assert_eq!(info.format.first_invalid_block(&bytes), first, "{}", info.name);
    }
}

#[test]
fn dot_is_the_sum_over_decoded_weights() {
    for info in &FORMATS {
        // A length that is not a multiple of the slices that dot decodes at a time.
        let mut bytes = random_bytes(4, 5003usize.div_ceil(info.block_weights) * info.block_bytes);
        for block in bytes.chunks_mut(info.block_bytes) {
            if dequantize(info, block).iter().any(|w| !w.is_finite()) {
                block.fill(0);
            }
        }
        let weights = dequantize(info, &bytes);
        let mut rng = StdRng::seed_from_u64(5);
        let x: Vec<f32> = (0..weights.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
        let products: Vec<f64> = weights.iter().zip(&x).map(|(&w, &x)| f64::from(w) * f64::from(x)).collect();
        let (sum, magnitude) = (products.iter().sum::<f64>(), products.iter().map(|p| p.abs()).sum::<f64>());
        let dot = cpu::dot(info.format, &bytes, &x).unwrap();
        // Two orders of an f64 sum of n terms differ by less than n·2^-52 of the magnitudes.
        assert!((dot - sum).abs() <= magnitude * 6000.0 * f64::EPSILON, "{}: {dot} is not {sum}", info.name);
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for info in &FORMATS {
        let weights = vec![0f32; 4 * info.block_weights];
        let bytes = vec![0u8; 4 * info.block_bytes];
        for (weights_len, bytes_len) in [
            (weights.len() - 1, bytes.len()),
            (weights.len(), bytes.len() - 1),
            (weights.len() - info.block_weights, bytes.len()),
            (weights.len(), bytes.len() - info.block_bytes),
            (0, bytes.len()),
            (weights.len(), 0),
        ] {
            let (mut weights, mut bytes) = (weights[..weights_len].to_vec(), bytes[..bytes_len].to_vec());
            let results = [
                cpu::quantize(info.format, &weights, &mut bytes).err(),
                cpu::dot(info.format, &bytes, &weights).err(),
                cpu::dequantize(info.format, &bytes, &mut weights).err(),
            ];
            for error in results {
                let Some(Error::Length { format, weights, bytes }) = error else {
                    panic!("{}: {weights_len} weights in {bytes_len} bytes gave {error:?}", info.name)
                };
                assert_eq!((format, weights, bytes), (info.format, weights_len, bytes_len));
            }
        }
        assert_eq!(cpu::dot::<f32>(info.format, &[], &[]).unwrap(), 0.0);
    }
}

#[test]
fn formats_without_an_encoder_say_so() {
    let without: Vec<_> = FORMATS.iter().filter(|info| !info.can_quantize()).collect();
    for info in &without {
        let (weights, mut bytes) = (vec![0.0; info.block_weights], vec![0; info.block_bytes]);
        let error = cpu::quantize(info.format, &weights, &mut bytes).unwrap_err();
        assert!(matches!(error, Error::NotEncoded { format } if format == info.format), "{error}");
    }
    assert!(
        without
            .iter()
            .all(|info| ["IQ1_", "IQ2_", "IQ3_"].iter().any(|family| info.name.starts_with(family)))
    );
    assert_eq!(without.len(), 7);
}
