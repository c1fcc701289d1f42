//! The numbered types of GGUF and ggml.

/// Type of a key's value (`enum gguf_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    pub(super) fn of(number: u32) -> Option<Self> {
        use ValueType::{Array, Bool, F32, F64, I8, I16, I32, I64, Text, U8, U16, U32, U64};
        let types = [U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64];
        types.get(usize::try_from(number).ok()?).copied()
    }

    /// Bytes of a value; of a text or an array the least.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }

    pub(super) fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64 | Self::Bool | Self::Text | Self::Array)
    }
}

/// How a tensor's elements are stored (`enum ggml_type`): in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorType {
    pub(super) block_elements: u64,
    pub(super) block_bytes: u64,
}

impl TensorType {
    pub(super) fn of(number: u32) -> Option<Self> {
        #[allow(clippy::match_same_arms, reason = "a table in the order of ggml.h")]
        let (block_elements, block_bytes) = match number {
            0 => (1, 4),       // F32
            1 => (1, 2),       // F16
            2 => (32, 18),     // Q4_0
            3 => (32, 20),     // Q4_1
            6 => (32, 22),     // Q5_0
            7 => (32, 24),     // Q5_1
            8 => (32, 34),     // Q8_0
            9 => (32, 36),     // Q8_1
            10 => (256, 84),   // Q2_K
            11 => (256, 110),  // Q3_K
            12 => (256, 144),  // Q4_K
            13 => (256, 176),  // Q5_K
            14 => (256, 210),  // Q6_K
            15 => (256, 292),  // Q8_K
            16 => (256, 66),   // IQ2_XXS
            17 => (256, 74),   // IQ2_XS
            18 => (256, 98),   // IQ3_XXS
            19 => (256, 50),   // IQ1_S
            20 => (32, 18),    // IQ4_NL
            21 => (256, 110),  // IQ3_S
            22 => (256, 82),   // IQ2_S
            23 => (256, 136),  // IQ4_XS
            24 => (1, 1),      // I8
            25 => (1, 2),      // I16
            26 => (1, 4),      // I32
            27 | 28 => (1, 8), // I64, F64
            29 => (256, 56),   // IQ1_M
            30 => (1, 2),      // BF16
            34 => (256, 54),   // TQ1_0
            35 => (256, 66),   // TQ2_0
            39 => (32, 17),    // MXFP4
            40 => (64, 36),    // NVFP4
            41 => (128, 18),   // Q1_0
            42 => (64, 18),    // Q2_0
            _ => return None,
        };
        Some(Self { block_elements, block_bytes })
    }
}

/// Name of `general.file_type` (`enum llama_ftype`).
pub(super) fn file_type_name(number: Option<u64>) -> &'static str {
    match number {
        Some(0) => "F32",
        Some(1) => "F16",
        Some(2) => "Q4_0",
        Some(3) => "Q4_1",
        Some(7) => "Q8_0",
        Some(8) => "Q5_0",
        Some(9) => "Q5_1",
        Some(10) => "Q2_K",
        Some(11) => "Q3_K_S",
        Some(12) => "Q3_K_M",
        Some(13) => "Q3_K_L",
        Some(14) => "Q4_K_S",
        Some(15) => "Q4_K_M",
        Some(16) => "Q5_K_S",
        Some(17) => "Q5_K_M",
        Some(18) => "Q6_K",
        Some(19) => "IQ2_XXS",
        Some(20) => "IQ2_XS",
        Some(21) => "Q2_K_S",
        Some(22) => "IQ3_XS",
        Some(23) => "IQ3_XXS",
        Some(24) => "IQ1_S",
        Some(25) => "IQ4_NL",
        Some(26) => "IQ3_S",
        Some(27) => "IQ3_M",
        Some(28) => "IQ2_S",
        Some(29) => "IQ2_M",
        Some(30) => "IQ4_XS",
        Some(31) => "IQ1_M",
        Some(32) => "BF16",
        Some(36) => "TQ1_0",
        Some(37) => "TQ2_0",
        Some(38) => "MXFP4_MOE",
        Some(39) => "NVFP4",
        Some(40) => "Q1_0",
        Some(41) => "Q2_0",
        _ => "unknown",
    }
}
