//! The file types by name.

/// A kind of file that qmill can write. [`FileType::info`] gives its facts, a row of
/// [`FILE_TYPES`](super::FILE_TYPES).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, non_camel_case_types, reason = "the names are ggml's and FILE_TYPES describes each")]
#[non_exhaustive]
pub enum FileType {
    F32,
    F16,
    BF16,
    Q1_0,
    Q2_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    IQ3_S,
    IQ3_M,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4_MOE,
    NVFP4,
    COPY,
}
