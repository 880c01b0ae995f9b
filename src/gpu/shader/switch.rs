//! The names that `#ifdef` tests in the library's shaders. `shaders/README.md` lists them.

/// Declares [`Switch`] with the WGSL name and meaning of each variant.
macro_rules! switches {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// A name that selects parts of a shader's text.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub(in crate::gpu) enum Switch {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Switch {
            /// Every switch.
            pub(in crate::gpu) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in WGSL.
            pub(in crate::gpu) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

switches! {
    /// Chooses a format's `quantize`: one pass, a block an invocation.
    Quantize = "QUANTIZE",
    /// Chooses a format's `search`: the first of two passes.
    Search = "SEARCH",
    /// Chooses a format's `pack`: the second of two passes.
    Pack = "PACK",
    /// Chooses a format's `decode`.
    Dequantize = "DEQUANTIZE",
    /// Chooses a format's `fetch` and `codes`: for products with quantized weights.
    Codes = "CODES",
    /// Chooses a format's `floats`: for products with F32, F16 and BF16.
    Floats = "FLOATS",
    /// The weights to quantize are f32.
    SourceF32 = "SOURCE_F32",
    /// The weights to quantize are f16.
    SourceF16 = "SOURCE_F16",
    /// The weights to quantize are bf16.
    SourceBf16 = "SOURCE_BF16",
    /// A decoder stores f32.
    ResultF32 = "RESULT_F32",
    /// A decoder stores f16.
    ResultF16 = "RESULT_F16",
    /// A decoder stores bf16.
    ResultBf16 = "RESULT_BF16",
    /// The blocks are those of a matrix (`matrix/`), not of a range of blocks.
    Matrix = "MATRIX",
    /// The format has a codebook, which is bound.
    Grid = "GRID",
    /// The codebook is a uniform buffer.
    UniformGrid = "UNIFORM_GRID",
    /// Each invocation copies the parameters.
    PrivateParams = "PRIVATE_PARAMS",
    /// A block has at least two fields.
    Field1 = "FIELD1",
    /// A block has at least three fields.
    Field2 = "FIELD2",
    /// A block has at least four fields.
    Field3 = "FIELD3",
    /// A block has five fields.
    Field4 = "FIELD4",
    /// A field has an odd number of bytes.
    OddFields = "ODD_FIELDS",
    /// Rows end within a block.
    Ragged = "RAGGED",
    /// The device converts f16 exactly, subnormals included.
    NativeF16 = "NATIVE_F16",
    /// The compiler keeps float operations apart by itself, so nothing needs to be opaque.
    NoContraction = "NO_CONTRACTION",
    /// Activations are int8 blocks.
    Int8 = "INT8",
    /// The int8 form of the result is stored too.
    Int8Result = "INT8_RESULT",
    /// Activations are f16.
    F16X = "F16_X",
    /// Int8 activations are a uniform buffer.
    UniformX = "UNIFORM_X",
    /// Eight lanes of a subgroup load activations for each other.
    BroadcastX = "BROADCAST_X",
    /// A thread computes whole rows.
    ThreadPerRow = "THREAD_PER_ROW",
    /// Lanes of a workgroup share rows, and add up through workgroup memory.
    Shared = "SHARED",
    /// A subgroup shares rows, and adds up by subgroup operations.
    Subgroup = "SUBGROUP",
    /// Nibbles are looked up in pairs, in a table in workgroup memory.
    PairTable = "PAIR_TABLE",
    /// The parts of a unit are a loop.
    LoopOfParts = "LOOP_OF_PARTS",
    /// A bias is added.
    Bias = "BIAS",
    /// A workgroup has a part of the columns.
    SplitK = "SPLIT_K",
    /// Each vector is multiplied by the matrices of some experts.
    Experts = "EXPERTS",
    /// Vectors of the same expert are multiplied together.
    ExpertBatches = "EXPERT_BATCHES",
    /// Cooperative matrices are 8 x 8, not 16 x 16.
    Side8 = "SIDE8",
    /// Cooperative matrices are loaded from memory of vec4s.
    Quads = "QUADS",
    /// A workgroup may have more subgroups than its tile needs.
    SurplusSubgroups = "SURPLUS_SUBGROUPS",
}

impl Switch {
    /// The switch for a quantizer's source format.
    pub(in crate::gpu) fn source(format: crate::Format) -> Self {
        match format {
            crate::Format::F16 => Self::SourceF16,
            crate::Format::BF16 => Self::SourceBf16,
            _ => Self::SourceF32,
        }
    }

    /// The switch for a decoder's result format.
    pub(in crate::gpu) fn result(format: crate::Format) -> Self {
        match format {
            crate::Format::F16 => Self::ResultF16,
            crate::Format::BF16 => Self::ResultBf16,
            _ => Self::ResultF32,
        }
    }

    /// The switches that are on.
    pub(in crate::gpu) fn on<const N: usize>(switches: [(Self, bool); N]) -> impl Iterator<Item = Self> {
        switches.into_iter().filter(|(_, is_on)| *is_on).map(|(switch, _)| switch)
    }
}
