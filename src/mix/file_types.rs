//! The table of file types: `general.file_type` numbers, names, and the format that most tensors get.

use super::FileType;
use crate::error::RequestFault;
use crate::{Error, Format, Result};
use std::fmt;
use std::str::FromStr;

/// One row of [`FILE_TYPES`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FileTypeInfo {
    /// The file type this row describes.
    pub file_type: FileType,
    /// Its name as llama-quantize writes it: `Q4_K_M`.
    pub name: &'static str,
    /// The `general.file_type` number that GGUF files store; `COPY` keeps that of its source.
    pub number: Option<u32>,
    /// The format of every tensor that is not an exception; `COPY` has none.
    pub format: Option<Format>,
    /// What it is and what it is for, in one line of text.
    pub about: &'static str,
}

/// A row whose name is that of its file type.
macro_rules! row {
    ($file_type:ident, $number:literal, $format:ident, $about:literal) => {
        FileTypeInfo {
            file_type: FileType::$file_type,
            name: stringify!($file_type),
            number: Some($number),
            format: Some(Format::$format),
            about: $about,
        }
    };
}

/// Every file type, in the order of [`FileType`].
pub static FILE_TYPES: [FileTypeInfo; 28] = [
    row!(F32, 0, F32, "full precision; to convert from or compare with"),
    row!(F16, 1, F16, "half precision; the usual source of other files"),
    row!(BF16, 32, BF16, "the precision most models are trained in; range of F32"),
    row!(Q1_0, 40, Q1_0, "signs only; for models trained in one bit"),
    row!(Q2_0, 41, Q2_0, "three levels, small blocks; for models trained with them"),
    row!(Q4_0, 2, Q4_0, "plain 4 bits, old and fast; Q4_K_S is as small and better"),
    row!(Q4_1, 3, Q4_1, "plain 4 bits with an offset; Q4_K_M is as small and better"),
    row!(Q5_0, 8, Q5_0, "plain 5 bits; Q5_K_S is as small and better"),
    row!(Q5_1, 9, Q5_1, "plain 5 bits with an offset; Q5_K_M is as small and better"),
    row!(Q8_0, 7, Q8_0, "8 bits, almost no loss; if memory allows"),
    row!(Q2_K, 10, Q2_K, "2 bits, sensitive tensors 3 and 4; the smallest, large loss"),
    row!(Q3_K_S, 11, Q3_K, "3 bits throughout; small, noticeable loss"),
    row!(Q3_K_M, 12, Q3_K, "3 bits, sensitive tensors 4 and 5; for little memory"),
    row!(Q3_K_L, 13, Q3_K, "3 bits, sensitive tensors 5; between Q3_K_M and Q4_K_S"),
    row!(Q4_K_S, 14, Q4_K, "4 bits with 5 in the first layers; small and good"),
    row!(Q4_K_M, 15, Q4_K, "4 bits, sensitive tensors 6; the usual choice"),
    row!(Q5_K_S, 16, Q5_K, "5 bits throughout; little loss"),
    row!(Q5_K_M, 17, Q5_K, "5 bits, sensitive tensors 6; little loss"),
    row!(Q6_K, 18, Q6_K, "6 bits; almost as good as Q8_0"),
    row!(IQ3_S, 26, IQ3_S, "3 bits by codebook; better than Q3_K_S at its size"),
    row!(IQ3_M, 27, IQ3_S, "IQ3_S, sensitive tensors 4 bits"),
    row!(IQ4_NL, 25, IQ4_NL, "4 bits, uneven levels; for rows no multiple of 256"),
    row!(IQ4_XS, 30, IQ4_XS, "4 bits, uneven levels; the smallest good 4-bit file"),
    row!(TQ1_0, 36, TQ1_0, "1.7 bits; for models trained with three levels"),
    row!(TQ2_0, 37, TQ2_0, "2.1 bits, faster than TQ1_0; for the same models"),
    row!(MXFP4_MOE, 38, MXFP4, "experts in 4-bit floats, the rest in Q8_0, as in gpt-oss"),
    row!(NVFP4, 39, NVFP4, "4-bit floats, a scale per 16; qmill's own, not in llama-quantize"),
    FileTypeInfo {
        file_type: FileType::COPY,
        name: "COPY",
        number: None,
        format: None,
        about: "changes no tensor; to rewrite, join or relabel a file",
    },
];

/// Other names, as llama-quantize takes them.
const ALIASES: [(&str, FileType); 3] =
    [("Q3_K", FileType::Q3_K_M), ("Q4_K", FileType::Q4_K_M), ("Q5_K", FileType::Q5_K_M)];

/// A file type that qmill cannot write, because it needs an importance matrix.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ImatrixFileType {
    /// Its name as llama-quantize writes it.
    pub name: &'static str,
    /// The `general.file_type` number that GGUF files store.
    pub number: u32,
    /// The nearest file type that needs no importance matrix.
    pub instead: FileType,
}

const fn imatrix(name: &'static str, number: u32, instead: FileType) -> ImatrixFileType {
    ImatrixFileType { name, number, instead }
}

/// Every file type that needs an importance matrix.
pub static IMATRIX_FILE_TYPES: [ImatrixFileType; 9] = [
    imatrix("IQ1_S", 24, FileType::Q2_K),
    imatrix("IQ1_M", 31, FileType::Q2_K),
    imatrix("IQ2_XXS", 19, FileType::Q2_K),
    imatrix("IQ2_XS", 20, FileType::Q2_K),
    imatrix("IQ2_S", 28, FileType::Q2_K),
    imatrix("IQ2_M", 29, FileType::Q2_K),
    imatrix("IQ3_XXS", 23, FileType::Q3_K_S),
    imatrix("IQ3_XS", 22, FileType::Q3_K_S),
    imatrix("Q2_K_S", 21, FileType::Q2_K),
];

impl FileType {
    /// This file type's row of [`FILE_TYPES`].
    pub fn info(self) -> &'static FileTypeInfo {
        &FILE_TYPES[self as usize]
    }

    /// The name as llama-quantize writes it: `Q4_K_M`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The file type with this `general.file_type` number.
    pub fn from_number(number: u32) -> Option<Self> {
        FILE_TYPES.iter().find(|info| info.number == Some(number)).map(|info| info.file_type)
    }

    /// The file type of similar size whose blocks have 32 weights, for rows that are not a multiple of this
    /// one's blocks. `None` if there is none, or if the blocks have 32 weights already.
    pub fn of_short_blocks(self) -> Option<Self> {
        match self.info().format? {
            Format::Q2_0
            | Format::Q2_K
            | Format::Q3_K
            | Format::Q4_K
            | Format::IQ3_S
            | Format::IQ4_XS
            | Format::NVFP4
            | Format::TQ1_0
            | Format::TQ2_0 => Some(Self::IQ4_NL),
            Format::Q5_K => Some(Self::Q5_0),
            Format::Q6_K => Some(Self::Q5_1),
            _ => None,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        let names = FILE_TYPES.iter().map(|info| (info.name, info.file_type));
        names
            .chain(ALIASES)
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, file_type)| file_type)
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileType {
    type Err = Error;

    /// Takes a name in any case, an alias (`Q4_K` is `Q4_K_M`), or a number (`15`).
    ///
    /// Fails with [`Error::NotEncoded`] if qmill has no encoder for the default format, with
    /// [`RequestFault::NeedsImatrix`], or with [`RequestFault::UnknownFileType`].
    fn from_str(name: &str) -> Result<Self> {
        let number = name.parse::<u32>().ok();
        if let Some(file_type) = Self::by_name(name).or_else(|| Self::from_number(number?)) {
            return match file_type.info().format {
                Some(format) if !format.info().can_quantize() => Err(Error::NotEncoded { format }),
                _ => Ok(file_type),
            };
        }
        let needs_imatrix = IMATRIX_FILE_TYPES
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(name) || Some(known.number) == number);
        Err(Error::Request(match needs_imatrix {
            Some(known) => RequestFault::NeedsImatrix { name: known.name, instead: known.instead },
            None => RequestFault::UnknownFileType { name: name.to_owned() },
        }))
    }
}
