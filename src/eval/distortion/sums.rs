//! Sums over weights and their errors, and the figures that they give.

/// The difference between weights and those of the reference. None of the figures is NaN.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Distortion {
    /// Number of weights.
    pub weights: u64,
    /// Root of the mean squared error, in the unit of the weights.
    pub rmse: f64,
    /// Largest absolute error.
    pub max_error: f64,
    /// Signal to quantization noise ratio in dB: ∞ for equal weights, -∞ if only the reference is all zeros.
    pub sqnr_db: f64,
    /// Cosine of the angle between the two: 1 if both are all zeros, 0 if one is.
    pub cosine: f64,
}

/// Sums over some weights.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    weights: u64,
    a_squared: f64,
    b_squared: f64,
    product: f64,
    error_squared: f64,
    max_error: f64,
}

impl Sums {
    pub(super) fn new(a: &[f32], b: &[f32]) -> Self {
        let mut sums = Self { weights: a.len() as u64, ..Self::default() };
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            let error = a - b;
            sums.a_squared += a * a;
            sums.b_squared += b * b;
            sums.product += a * b;
            sums.error_squared += error * error;
            sums.max_error = sums.max_error.max(error.abs());
        }
        sums
    }

    pub(super) fn plus(&self, more: &Self) -> Self {
        Self {
            weights: self.weights + more.weights,
            a_squared: self.a_squared + more.a_squared,
            b_squared: self.b_squared + more.b_squared,
            product: self.product + more.product,
            error_squared: self.error_squared + more.error_squared,
            max_error: self.max_error.max(more.max_error),
        }
    }

    pub(super) fn distortion(&self) -> Distortion {
        // Squares of f32 are far from the limits of f64, so a sum of 0 means that all terms are 0.
        let equal = self.error_squared == 0.0;
        let norms = (self.a_squared * self.b_squared).sqrt();
        Distortion {
            weights: self.weights,
            rmse: (self.error_squared / self.weights.max(1) as f64).sqrt(),
            max_error: self.max_error,
            sqnr_db: if equal { f64::INFINITY } else { 10.0 * (self.a_squared / self.error_squared).log10() },
            cosine: match norms {
                _ if equal => 1.0,
                0.0 => 0.0,
                _ => (self.product / norms).clamp(-1.0, 1.0),
            },
        }
    }
}
