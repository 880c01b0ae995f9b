//! The formats of ggml: how a run of weights becomes bytes and comes back.
//!
//! A **format** is the encoding of one tensor. It cuts a row into **blocks** of [`FormatInfo::block_weights`]
//! weights and stores each block in [`FormatInfo::block_bytes`] bytes, independent of every other block.
//! [`FORMATS`] is the table of all formats, one row each. Nothing outside this module matches on a format's
//! layout. To add a format, write `format/x.rs` with a `Codec`, add its variant to [`Format`] and its row to
//! [`FORMATS`].
//!
//! The bytes are those of ggml 0.25 and 0.26 as built for x86-64 without fused multiply-add. All arithmetic
//! is IEEE f32, one operation at a time, in ggml's order. Rust never contracts or reassociates, so the same
//! code gives the same bytes on every CPU and instruction set.

#![expect(non_camel_case_types, reason = "format names are ggml's")]

mod bits;
mod codebook;
mod codec;
mod codes;
mod extremes;
mod info;
mod lanes;
mod names;
mod pack;
mod search;
mod six_bit;
mod table;

mod bf16;
mod f16;
mod f32;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod nvfp4;
mod q1_0;
mod q2_0;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;
mod with_codes;

pub(crate) use bits::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
pub(crate) use codec::{Codec, Passes};
pub(crate) use codes::{Codes, Unpack, is_signed};
pub(crate) use info::Quantize;
pub use info::{Family, FormatInfo};
pub use names::Format;
pub use table::FORMATS;
pub(crate) use with_codes::WithCodes;

use codec::{Encode, to_decode, to_encode};
use codes::half_bits;
