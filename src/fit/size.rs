//! How large a file is to be.

use crate::error::FitFault;
use crate::mix::FileType;
use crate::{Error, Result};

/// How large a file is to be.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Target {
    /// At most the bytes that a file of this type has.
    Like(FileType),
    /// At most so many bytes, header and padding included.
    Bytes(u64),
    /// At most so many bits of tensor data for each weight.
    BitsPerWeight(f64),
}

impl Target {
    /// Parses a number of bytes: `4.2GiB`, `4.2GB`, `4200MB`, `4509715660`. KB, MB, GB and TB are decimal,
    /// KiB, MiB, GiB and TiB binary.
    ///
    /// Fails with [`FitFault::Size`], also for `4G`, which could be either.
    pub fn parse_bytes(text: &str) -> Result<Self> {
        let fault = || Error::Fit(FitFault::Size { text: text.to_owned() });
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            "kib" => 1024.0,
            "mib" => 1024f64.powi(2),
            "gib" => 1024f64.powi(3),
            "tib" => 1024f64.powi(4),
            _ => return Err(fault()),
        };
        let number: f64 = number.parse().map_err(|_| fault())?;
        let bytes = number * unit;
        if bytes.is_finite() && bytes >= 1.0 { Ok(Self::Bytes(bytes as u64)) } else { Err(fault()) }
    }

    /// Parses bits per weight: `4.85`. Fails with [`FitFault::BitsPerWeight`] unless above 0 and at most 32.
    pub fn parse_bits(text: &str) -> Result<Self> {
        let bits = text.parse().ok().filter(|bits| (f64::MIN_POSITIVE..=32.0).contains(bits));
        let fault = || Error::Fit(FitFault::BitsPerWeight { text: text.to_owned() });
        bits.map(Self::BitsPerWeight).ok_or_else(fault)
    }
}
