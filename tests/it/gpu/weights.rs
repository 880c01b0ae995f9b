//! Weights as quantizers may meet them, and harder ones.

use crate::support::{TINY_SHAKESPEARE, gaussian, tensor_bytes};
use qmill::gguf::Model;
use qmill::{Format, cpu};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, StudentT, Uniform};
use std::sync::LazyLock;

/// The names of [`sample`]'s distributions.
pub(crate) const KINDS: [&str; 12] = [
    "gaussian",
    "uniform",
    "heavy tails",
    "trained",
    "mixed scales",
    "ties",
    "powers of two",
    "sparse",
    "positive",
    "tiny",
    "any exponent",
    "subnormal",
];

/// `count` weights of a distribution, always the same.
pub(crate) fn sample(kind: &str, count: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(kind.len() as u64 + count as u64);
    let normal = |random: &mut StdRng| -> f32 { StandardNormal.sample(random) };
    match kind {
        "gaussian" => gaussian(1, count),
        "uniform" => Uniform::new(-1.0f32, 1.0).unwrap().sample_iter(random).take(count).collect(),
        "heavy tails" => StudentT::new(2.0f32).unwrap().sample_iter(random).take(count).collect(),
        "trained" => {
            TRAINED.iter().cycle().skip(random.random_range(0..TRAINED.len())).take(count).copied().collect()
        }
        // Each group of 16 has its own scale, up to 2^12 apart within a super-block.
        "mixed scales" => {
            let mut scale = 1.0;
            (0..count)
                .map(|i| {
                    if i % 16 == 0 {
                        scale = f32::powi(2.0, random.random_range(-12..0));
                    }
                    scale * normal(&mut random)
                })
                .collect()
        }
        // Multiples of 1/8, so that codes are ties and magnitudes repeat.
        "ties" => (0..count).map(|_| random.random_range(-40..=40) as f32 / 8.0).collect(),
        // Close to powers of two, where logarithms round up; a block's largest are a few bits apart.
        "powers of two" => (0..count)
            .map(|i| {
                let exponent = 127 - 29 + i as u32 / 256 % 49 - random.random_range(0..4);
                let sign = random.random::<u32>() & 1 << 31;
                f32::from_bits(((exponent << 23) + random.random_range(0..32) - 24) | sign)
            })
            .collect(),
        // Mostly zeros of both signs, including whole blocks.
        "sparse" => (0..count)
            .map(|i| match random.random_range(0..if i / 512 % 2 == 0 { 8 } else { 4096 }) {
                0 => normal(&mut random),
                1 => -0.0,
                _ => 0.0,
            })
            .collect(),
        "positive" => (0..count).map(|_| normal(&mut random).abs() + 0.25).collect(),
        // Around the smallest normal f16 and below; in F32 also around the limits of what kernels accept.
        "tiny" => (0..count)
            .map(|i| normal(&mut random) * f32::powi(2.0, [-14, -20, -24, -29, -31, -40][i / 256 % 6]))
            .collect(),
        // Any finite f32: most blocks have magnitudes that the kernels decline.
        "any exponent" => (0..count)
            .map(|_| {
                loop {
                    let x = f32::from_bits(random.random());
                    if x.is_finite() {
                        break x;
                    }
                }
            })
            .collect(),
        "subnormal" => (0..count).map(|_| f32::from_bits(random.random::<u32>() & 0x807f_ffff)).collect(),
        _ => unreachable!("{kind} is none of KINDS"),
    }
}

static TRAINED: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let mut weights = Vec::new();
    for tensor in model.tensors().filter(|tensor| tensor.info.tensor_type().format() == Some(Format::F16)) {
        let bytes = tensor_bytes(&model, tensor.info.name());
        let start = weights.len();
        weights.resize(start + bytes.len() / 2, 0.0);
        cpu::dequantize(Format::F16, &bytes, &mut weights[start..]).unwrap();
    }
    weights
});

/// Weights encoded in `format`, clamped to its range.
pub(crate) fn encoded(format: Format, weights: &[f32]) -> Vec<u8> {
    let largest = if format == Format::F16 { 65504.0 } else { 3.3e38 };
    let weights: Vec<f32> = weights.iter().map(|w| w.clamp(-largest, largest)).collect();
    crate::support::quantized(format, &weights)
}

/// Blocks of random bits.
pub(crate) fn random_blocks(format: Format, weights: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(weights as u64);
    let bytes = format.bytes_for(weights as u64) as usize;
    (0..bytes).map(|_| random.random()).collect()
}
