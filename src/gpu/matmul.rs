//! Products of quantized weights and vectors.

pub(in crate::gpu) mod activations;
pub(in crate::gpu) mod choose;
pub(in crate::gpu) mod cooperative;
pub(in crate::gpu) mod cooperative_decoded;
mod decoded_tile;
pub(in crate::gpu) mod experts;
pub(in crate::gpu) mod f16_activations;
pub(in crate::gpu) mod f16_weights;
pub(in crate::gpu) mod glu;
mod kernel;
pub(in crate::gpu) mod matrix_units;
pub(in crate::gpu) mod matvec;
pub(in crate::gpu) mod precision;
pub(in crate::gpu) mod prepare;
mod scratch;
pub(in crate::gpu) mod split_k;
pub(in crate::gpu) mod tile;
pub(in crate::gpu) mod tuning;
mod tuning_file;
pub(in crate::gpu) mod variant;

use super::shader::binding::Binding;
use crate::Format;

/// The vectors, the results, and the bias.
const X: Binding = Binding::new(3, "x");
const Y: Binding = Binding::new(4, "y");
const BIAS: Binding = Binding::new(6, "bias");
/// For matrix units: the scales of rows and of vectors.
const ROW_SCALES: Binding = Binding::new(7, "row_scales");
const X_SCALES: Binding = Binding::new(8, "x_scales");

/// One format of each kind, for lists of programs. Other formats differ only in how they fetch codes, which
/// is the same in every kernel.
const EXAMPLES: [Format; 6] =
    [Format::F32, Format::F16, Format::BF16, Format::Q4_0, Format::Q4_K, Format::Q6_K];
