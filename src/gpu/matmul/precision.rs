//! The precision of a product's vectors.

/// The precision of a product's vectors.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Precision {
    /// f32 or f16, as they are.
    #[default]
    Exact,
    /// Blocks of 32 signed bytes with an f32 scale, as in llama.cpp on the CPU. With F32, F16 or BF16
    /// weights, vectors are used as they are. Matrix units
    /// ([`Gpu::with_matrix_units`](crate::Gpu::with_matrix_units)) also round these numbers and the weights
    /// to f16.
    Int8,
}

impl Precision {
    /// The name, as in `int8.tile`.
    pub(in crate::gpu) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Int8 => "int8",
        }
    }
}
