//! How exactly vectors enter a product.

/// How exactly vectors enter a product.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Precision {
    /// As they are.
    #[default]
    Exact,
    /// As blocks of 32 signed bytes under an f32 scale, as llama.cpp has them on the CPU; with weights in F32, F16 or
    /// BF16 as they are. Where matrix units multiply
    /// ([`Gpu::with_matrix_units`](crate::Gpu::with_matrix_units)), these numbers and the weights are also rounded to
    /// f16.
    Int8,
}

impl Precision {
    /// Its name, as in `int8.tile`.
    pub(in crate::gpu) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Int8 => "int8",
        }
    }
}
