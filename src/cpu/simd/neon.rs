//! Eight lanes of NEON, which every 64-bit ARM processor has; and the same with a dot product of bytes in one
//! instruction (`sdot`, of ARMv8.2), for which Rust has no stable intrinsic.

#![expect(unsafe_code, reason = "instructions that the compiler does not find by itself")]

use super::lanes::{Simd, Work};
use crate::format::Unpack;
use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, uint8x16_t, uint32x4_t, vaddq_f32, vaddq_s32, vaddq_u8, vaddvq_f32,
    vandq_u8, vcombine_u64, vcreate_u64, vcvtq_f32_s32, vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, vdupq_n_u32,
    veorq_u8, vfmaq_f32, vfmsq_f32, vget_high_s8, vget_low_s8, vget_low_u8, vld1q_f32, vld1q_s8, vld1q_u8,
    vmlal_s8, vmull_s8, vmulq_f32, vorrq_u8, vpadalq_s16, vpaddlq_s16, vqtbl1q_u8, vreinterpretq_f32_u32,
    vreinterpretq_s8_u8, vreinterpretq_s8_s32, vreinterpretq_u8_u32, vreinterpretq_u8_u64, vreinterpretq_u32_u8,
    vreinterpretq_u64_u32, vreinterpretq_f32_u64, vreinterpretq_u64_f32, vshll_n_u16, vshlq_u8, vst1q_f32,
    vsubq_s32, vsubq_u8, vtrn1q_f32, vtrn1q_u32, vtrn1q_u64, vtrn2q_f32, vtrn2q_u32, vtrn2q_u64, vtstq_u8,
    vreinterpretq_u32_u64, vld1_u16,
};
use std::arch::asm;
