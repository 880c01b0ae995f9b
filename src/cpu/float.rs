//! The types of numbers that operations take in slices.

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

/// A number that operations take in slices: `f32`, [`half::f16`] or [`half::bf16`].
///
/// All arithmetic is f32. Numbers that are taken become f32, which is exact; those that are given back are
/// rounded to the nearest, ties to even, and any NaN may stand for another.
pub trait Float: sealed::Sealed + Pod + Default + Send + Sync {
    /// The format of files that stores these numbers.
    const FORMAT: Format;

    /// The numbers as f32: themselves, or in `room`.
    #[doc(hidden)]
    fn widened<'a>(numbers: &'a [Self], room: &'a mut Vec<f32>) -> &'a [f32];

    /// What to write instead of the numbers, and then [`Float::store`]: themselves, or `room`, which has
    /// their values.
    #[doc(hidden)]
    fn wide_mut<'a>(numbers: &'a mut [Self], room: &'a mut Vec<f32>) -> &'a mut [f32];

    /// Rounds what was written to `room`, if it was.
    #[doc(hidden)]
    fn store(numbers: &mut [Self], room: &[f32]);
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

/// Both halves differ in their conversions alone.
macro_rules! half {
    ($half:ty, $format:expr, $to_f32:path, $from_f32:path) => {
        impl Float for $half {
            const FORMAT: Format = $format;

            fn widened<'a>(numbers: &'a [Self], room: &'a mut Vec<f32>) -> &'a [f32] {
                room.clear();
                room.extend(numbers.iter().map(|number| $to_f32(number.to_bits())));
                room
            }

            fn wide_mut<'a>(numbers: &'a mut [Self], room: &'a mut Vec<f32>) -> &'a mut [f32] {
                Self::widened(numbers, room);
                room
            }

            fn store(numbers: &mut [Self], room: &[f32]) {
                for (number, &wide) in numbers.iter_mut().zip(room) {
                    *number = Self::from_bits($from_f32(wide));
                }
            }
        }
    };
}

half!(f16, Format::F16, f16_to_f32, f32_to_f16);
half!(bf16, Format::BF16, bf16_to_f32, f32_to_bf16);
