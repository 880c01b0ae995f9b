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

const fn row(
    file_type: FileType,
    name: &'static str,
    number: u32,
    format: Format,
    about: &'static str,
) -> FileTypeInfo {
    FileTypeInfo { file_type, name, number: Some(number), format: Some(format), about }
}

/// Every file type, in the order of [`FileType`].
#[rustfmt::skip]
pub static FILE_TYPES: [FileTypeInfo; 28] = [
    row(FileType::F32, "F32", 0, Format::F32, "full precision; to convert from or compare with"),
    row(FileType::F16, "F16", 1, Format::F16, "half precision; the usual source of other files"),
    row(FileType::BF16, "BF16", 32, Format::BF16, "the precision most models are trained in; range of F32"),
    row(FileType::Q1_0, "Q1_0", 40, Format::Q1_0, "signs only; for models trained in one bit"),
    row(FileType::Q2_0, "Q2_0", 41, Format::Q2_0, "three levels, small blocks; for models trained with them"),
    row(FileType::Q4_0, "Q4_0", 2, Format::Q4_0, "plain 4 bits, old and fast; Q4_K_S is as small and better"),
    row(FileType::Q4_1, "Q4_1", 3, Format::Q4_1, "plain 4 bits with an offset; Q4_K_M is as small and better"),
    row(FileType::Q5_0, "Q5_0", 8, Format::Q5_0, "plain 5 bits; Q5_K_S is as small and better"),
    row(FileType::Q5_1, "Q5_1", 9, Format::Q5_1, "plain 5 bits with an offset; Q5_K_M is as small and better"),
    row(FileType::Q8_0, "Q8_0", 7, Format::Q8_0, "8 bits, almost no loss; if memory allows"),
    row(FileType::Q2_K, "Q2_K", 10, Format::Q2_K, "2 bits, sensitive tensors 3 and 4; the smallest, large loss"),
    row(FileType::Q3_K_S, "Q3_K_S", 11, Format::Q3_K, "3 bits throughout; small, noticeable loss"),
    row(FileType::Q3_K_M, "Q3_K_M", 12, Format::Q3_K, "3 bits, sensitive tensors 4 and 5; for little memory"),
    row(FileType::Q3_K_L, "Q3_K_L", 13, Format::Q3_K, "3 bits, sensitive tensors 5; between Q3_K_M and Q4_K_S"),
    row(FileType::Q4_K_S, "Q4_K_S", 14, Format::Q4_K, "4 bits with 5 in the first layers; small and good"),
    row(FileType::Q4_K_M, "Q4_K_M", 15, Format::Q4_K, "4 bits, sensitive tensors 6; the usual choice"),
    row(FileType::Q5_K_S, "Q5_K_S", 16, Format::Q5_K, "5 bits throughout; little loss"),
    row(FileType::Q5_K_M, "Q5_K_M", 17, Format::Q5_K, "5 bits, sensitive tensors 6; little loss"),
    row(FileType::Q6_K, "Q6_K", 18, Format::Q6_K, "6 bits; almost as good as Q8_0"),
    row(FileType::IQ3_S, "IQ3_S", 26, Format::IQ3_S, "3 bits by codebook; better than Q3_K_S at its size"),
    row(FileType::IQ3_M, "IQ3_M", 27, Format::IQ3_S, "IQ3_S, sensitive tensors 4 bits"),
    row(FileType::IQ4_NL, "IQ4_NL", 25, Format::IQ4_NL, "4 bits, uneven levels; for rows no multiple of 256"),
    row(FileType::IQ4_XS, "IQ4_XS", 30, Format::IQ4_XS, "4 bits, uneven levels; the smallest good 4-bit file"),
    row(FileType::TQ1_0, "TQ1_0", 36, Format::TQ1_0, "1.7 bits; for models trained with three levels"),
    row(FileType::TQ2_0, "TQ2_0", 37, Format::TQ2_0, "2.1 bits, faster than TQ1_0; for the same models"),
    row(FileType::MXFP4_MOE, "MXFP4_MOE", 38, Format::MXFP4, "experts in 4-bit floats, the rest in Q8_0, as in gpt-oss"),
    row(FileType::NVFP4, "NVFP4", 39, Format::NVFP4, "4-bit floats, a scale per 16; qmill's own, not in llama-quantize"),
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
        let fault = match needs_imatrix {
            Some(known) => RequestFault::NeedsImatrix { name: known.name, instead: known.instead },
            None => RequestFault::UnknownFileType { name: name.to_owned() },
        };
        Err(Error::Request(fault))
    }
}
