//! Runs work with the codes of a format that is known only at run time.

use super::Format;
use super::codes::Codes;

/// What is done with a format's codes.
pub(crate) trait WithCodes {
    type Output;

    fn run<const BYTES: usize, C: Codes<BYTES>>(self) -> Self::Output;
}

impl Format {
    /// Runs `work` with the codes of this format; `None` for F32, F16 and BF16, which have none.
    pub(crate) fn with_codes<W: WithCodes>(self, work: W) -> Option<W::Output> {
        use super::{
            iq1_m::IQ1_M, iq1_s::IQ1_S, iq2_s::IQ2_S, iq2_xs::IQ2_XS, iq2_xxs::IQ2_XXS, iq3_s::IQ3_S,
            iq3_xxs::IQ3_XXS, iq4_nl::IQ4_NL, iq4_xs::IQ4_XS, mxfp4::MXFP4, nvfp4::NVFP4, q1_0::Q1_0,
            q2_0::Q2_0, q2_k::Q2_K, q3_k::Q3_K, q4_0::Q4_0, q4_1::Q4_1, q4_k::Q4_K, q5_0::Q5_0, q5_1::Q5_1,
            q5_k::Q5_K, q6_k::Q6_K, q8_0::Q8_0, tq1_0::TQ1_0, tq2_0::TQ2_0,
        };
        Some(match self {
            Self::F32 | Self::F16 | Self::BF16 => return None,
            Self::Q1_0 => work.run::<_, Q1_0>(),
            Self::Q2_0 => work.run::<_, Q2_0>(),
            Self::Q4_0 => work.run::<_, Q4_0>(),
            Self::Q4_1 => work.run::<_, Q4_1>(),
            Self::Q5_0 => work.run::<_, Q5_0>(),
            Self::Q5_1 => work.run::<_, Q5_1>(),
            Self::Q8_0 => work.run::<_, Q8_0>(),
            Self::Q2_K => work.run::<_, Q2_K>(),
            Self::Q3_K => work.run::<_, Q3_K>(),
            Self::Q4_K => work.run::<_, Q4_K>(),
            Self::Q5_K => work.run::<_, Q5_K>(),
            Self::Q6_K => work.run::<_, Q6_K>(),
            Self::IQ1_S => work.run::<_, IQ1_S>(),
            Self::IQ1_M => work.run::<_, IQ1_M>(),
            Self::IQ2_XXS => work.run::<_, IQ2_XXS>(),
            Self::IQ2_XS => work.run::<_, IQ2_XS>(),
            Self::IQ2_S => work.run::<_, IQ2_S>(),
            Self::IQ3_XXS => work.run::<_, IQ3_XXS>(),
            Self::IQ3_S => work.run::<_, IQ3_S>(),
            Self::IQ4_NL => work.run::<_, IQ4_NL>(),
            Self::IQ4_XS => work.run::<_, IQ4_XS>(),
            Self::TQ1_0 => work.run::<_, TQ1_0>(),
            Self::TQ2_0 => work.run::<_, TQ2_0>(),
            Self::MXFP4 => work.run::<_, MXFP4>(),
            Self::NVFP4 => work.run::<_, NVFP4>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FORMATS, is_signed};
    use super::*;
    use crate::cpu::Plain;

    /// The weights of random blocks by their codes.
    struct Decode<'a>(&'a [u8]);

    impl WithCodes for Decode<'_> {
        type Output = Vec<f32>;

        fn run<const BYTES: usize, C: Codes<BYTES>>(self) -> Vec<f32> {
            let mut weights = Vec::new();
            for block in self.0.as_chunks::<BYTES>().0 {
                let (mut scales, mut mins) = ([0.0; 16], [0.0; 16]);
                C::scales(block, Plain, &mut scales, &mut mins);
                for part in 0..C::WEIGHTS / 32 {
                    let (unit, part_in_unit) = (part / C::UNIT, part % C::UNIT);
                    let codes = match part_in_unit {
                        0 => C::codes::<0, _>(Plain, block, unit),
                        1 => C::codes::<1, _>(Plain, block, unit),
                        2 => C::codes::<2, _>(Plain, block, unit),
                        _ => C::codes::<3, _>(Plain, block, unit),
                    };
                    for (i, code) in codes.into_iter().enumerate() {
                        let code = match C::LEVELS {
                            Some(levels) => levels[usize::from(code)],
                            None if is_signed::<BYTES, C>() => code as i8,
                            None => (i16::from(code) + i16::from(C::LEAST)) as i8,
                        };
                        assert!((C::LEAST..=C::GREATEST).contains(&code), "{code}");
                        let sub_block = if C::HALVES { 2 * part + i / 16 } else { part };
                        assert!(C::MINS || mins[sub_block] == 0.0);
                        weights.push(scales[sub_block] * f32::from(code) - mins[sub_block]);
                    }
                }
            }
            weights
        }
    }

    #[test]
    fn codes_are_what_the_decoder_makes_of_random_blocks() {
        let mut state = 7u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        for info in &FORMATS {
            let mut blocks: Vec<u8> = (0..64 * info.block_bytes).map(|_| byte()).collect();
            for block in blocks.chunks_mut(info.block_bytes) {
                while info.format.first_invalid_block(block).is_some() {
                    block.fill_with(&mut byte);
                }
            }
            let mut right = vec![0.0; 64 * info.block_weights];
            info.format.dequantize_blocks(&blocks, &mut right);
            let Some(found) = info.format.with_codes(Decode(&blocks)) else {
                assert!(info.format.is_float());
                continue;
            };
            assert_eq!(found.len(), right.len());
            for (i, (found, right)) in found.into_iter().zip(right).enumerate() {
                // Scales of IQ formats are multiplied in another order.
                let allowed = 2.0 * f32::EPSILON * right.abs().max(f32::MIN_POSITIVE);
                assert!(
                    found == right || (found - right).abs() <= allowed,
                    "{}, {i}: {found} for {right}",
                    info.name
                );
            }
        }
    }
}
