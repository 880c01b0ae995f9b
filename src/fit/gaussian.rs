//! The error of each format on Gaussian weights, for plans that read no weights.

use crate::Format;

/// Σ(w-ŵ)²/Σw² on independent Gaussian weights, to two digits; `None` without an encoder.
///
/// Measured with the encoders of this crate on a million weights (`gaussian_errors_are_as_measured` in the
/// tests). Trained weights are near it, a little above for attention.
pub fn gaussian_error(format: Format) -> Option<f64> {
    use Format::{
        BF16, F16, F32, IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q1_0, Q2_0, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1,
        Q5_K, Q6_K, Q8_0, TQ1_0, TQ2_0,
    };
    Some(match format {
        F32 => 0.0,
        F16 => 4.3e-8,
        BF16 => 2.8e-6,
        Q1_0 => 0.36,
        Q2_0 => 0.5,
        Q4_0 => 7.4e-3,
        Q4_1 => 6.1e-3,
        Q5_0 => 1.83e-3,
        Q5_1 => 1.43e-3,
        Q8_0 => 3.0e-5,
        Q2_K => 8.8e-2,
        Q3_K => 2.28e-2,
        Q4_K => 5.1e-3,
        Q5_K => 1.31e-3,
        Q6_K => 3.2e-4,
        IQ4_NL => 5.8e-3,
        IQ4_XS => 5.9e-3,
        TQ1_0 | TQ2_0 => 0.5,
        MXFP4 => 1.3e-2,
        NVFP4 => 9.0e-3,
        _ => return None,
    })
}
