//! The number types of operations.

use crate::Format;
use crate::format::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use bytemuck::Pod;
use half::{bf16, f16};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// The number types of operations: `f32`, [`half::f16`] or [`half::bf16`].
///
/// All arithmetic is f32. The conversion of operands to f32 is exact. Results are rounded to nearest, ties to
/// even; a NaN may become another NaN.
pub trait Float: sealed::Sealed + Pod + Default + Send + Sync {
    /// The file format of these numbers.
    const FORMAT: Format;

    /// The numbers as f32: themselves, or converted into `buffer`.
    #[doc(hidden)]
    fn widened<'a>(numbers: &'a [Self], buffer: &'a mut Vec<f32>) -> &'a [f32];

    /// The numbers as f32 to modify, before [`Float::store`]: themselves, or converted into `buffer`.
    #[doc(hidden)]
    fn wide_mut<'a>(numbers: &'a mut [Self], buffer: &'a mut Vec<f32>) -> &'a mut [f32];

    /// Rounds the contents of `buffer` into the numbers, unless they were modified in place.
    #[doc(hidden)]
    fn store(numbers: &mut [Self], buffer: &[f32]);
}

impl Float for f32 {
    const FORMAT: Format = Format::F32;

    fn widened<'a>(numbers: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        numbers
    }

    fn wide_mut<'a>(numbers: &'a mut [Self], _: &'a mut Vec<f32>) -> &'a mut [f32] {
        numbers
    }

    fn store(_: &mut [Self], _: &[f32]) {}
}

/// f16 and bf16 differ only in their conversions.
macro_rules! half {
    ($half:ty, $format:expr, $to_f32:path, $from_f32:path) => {
        impl Float for $half {
            const FORMAT: Format = $format;

            fn widened<'a>(numbers: &'a [Self], buffer: &'a mut Vec<f32>) -> &'a [f32] {
                buffer.clear();
                buffer.extend(numbers.iter().map(|number| $to_f32(number.to_bits())));
                buffer
            }

            fn wide_mut<'a>(numbers: &'a mut [Self], buffer: &'a mut Vec<f32>) -> &'a mut [f32] {
                Self::widened(numbers, buffer);
                buffer
            }

            fn store(numbers: &mut [Self], buffer: &[f32]) {
                for (number, &wide) in numbers.iter_mut().zip(buffer) {
                    *number = Self::from_bits($from_f32(wide));
                }
            }
        }
    };
}

half!(f16, Format::F16, f16_to_f32, f32_to_f16);
half!(bf16, Format::BF16, bf16_to_f32, f32_to_bf16);
