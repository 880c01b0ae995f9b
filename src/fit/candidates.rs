//! The formats that a tensor may get.

use super::roles::{keeps_8_bits, role};
use crate::error::FitFault;
use crate::mix::{Tensor, or_replacement};
use crate::{Error, Format, Result};

/// Formats for targets from `Q3_K_M` on. `IQ4_XS` is here without an importance matrix: its error is then
/// between those of `Q3_K` and `Q4_K`, and so are its bytes.
const USUAL: [Format; 6] =
    [Format::Q3_K, Format::IQ4_XS, Format::Q4_K, Format::Q5_K, Format::Q6_K, Format::Q8_0];
/// And below.
const SMALL: Format = Format::Q2_K;

/// The formats to choose from.
#[derive(Clone, Debug)]
pub(super) struct Types {
    formats: Vec<Format>,
    /// Whether the user has named them. Otherwise a tensor may also keep what the fixed mix gives it, and get
    /// the format on whose lattice its weights lie, or its own, if it is quantized.
    pub(super) are_named: bool,
}

impl Types {
    /// Those that the user names, or the usual ones. `is_small` is for targets below `Q3_K_M`.
    ///
    /// Fails with [`Error::NotEncoded`] for a format without an encoder.
    pub(super) fn new(named: Option<&[Format]>, is_small: bool) -> Result<Self> {
        if let Some(named) = named {
            return match named.iter().find(|format| !format.info().can_quantize()) {
                Some(&format) => Err(Error::NotEncoded { format }),
                None => Ok(Self { formats: named.to_vec(), are_named: true }),
            };
        }
        let small = is_small.then_some(SMALL).into_iter();
        Ok(Self { formats: small.chain(USUAL).collect(), are_named: false })
    }

    /// The formats, before fallbacks.
    pub(super) fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// The candidates of a tensor: after fallbacks for short rows, without duplicates, in order.
    ///
    /// `mix` is its format in the fixed mix, `is_pinned` whether the user has chosen that. Fails with
    /// [`FitFault::NoType`] if no format can encode it.
    pub(super) fn of(&self, tensor: &Tensor, mix: Format, is_pinned: bool) -> Result<Vec<Format>> {
        if is_pinned {
            // The plan of the fixed mix has it, with its fallback.
            return Ok(vec![mix]);
        }
        let mut candidates = Vec::new();
        for &format in &self.formats {
            let Ok(format) = or_replacement(format, tensor) else { continue };
            if !candidates.contains(&format) {
                candidates.push(format);
            }
        }
        if !self.are_named {
            if keeps_8_bits(role(tensor.name)) {
                let least = Format::Q8_0.info().bits_per_weight();
                candidates.retain(|format| format.info().bits_per_weight() >= least);
            }
            // As it is, a quantized tensor loses nothing.
            let kept = tensor.format.filter(|format| !format.is_float());
            for format in std::iter::once(mix).chain(kept) {
                if !candidates.contains(&format) {
                    candidates.push(format);
                }
            }
        }
        if candidates.is_empty() {
            let types: Vec<_> = self.formats.iter().map(|format| format.name()).collect();
            let (tensor, types) = (tensor.name.to_owned(), types.join(", "));
            return Err(Error::Fit(FitFault::NoType { tensor, types }));
        }
        Ok(candidates)
    }
}
