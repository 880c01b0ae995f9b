//! The table of measured kernels: which variant a class of products uses on one device.

use super::precision::Precision;
use super::variant::Variant;
use crate::Format;

/// A range of numbers: its name in a file, and the least of them.
pub(super) type Class = (&'static str, usize);

pub(super) const VECTORS: [Class; 4] = [("1", 1), ("2-8", 2), ("9-64", 9), ("65-", 65)];
pub(super) const ROWS: [Class; 3] = [("1-255", 1), ("256-2047", 256), ("2048-", 2048)];
pub(super) const COLS: [Class; 3] = [("1-2047", 1), ("2048-8191", 2048), ("8192-", 8192)];

/// The class that a number is in.
pub(super) fn class(classes: &[Class], number: usize) -> Class {
    *classes.iter().rfind(|(_, least)| *least <= number).unwrap_or(&classes[0])
}

/// Products that use the same kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProductClass {
    pub(super) format: Format,
    pub(super) precision: Precision,
    pub(super) vectors: Class,
    pub(super) rows: Class,
    pub(super) cols: Class,
}

impl ProductClass {
    pub(super) fn of(format: Format, rows: usize, cols: usize, precision: Precision, batch: usize) -> Self {
        Self {
            format,
            precision,
            vectors: class(&VECTORS, batch),
            rows: class(&ROWS, rows),
            cols: class(&COLS, cols),
        }
    }
}

/// The kernels of products on one device where they are not the defaults: what `qmill tune` has measured.
///
/// The table goes by format, precision and classes of shapes (1, 2 to 8, 9 to 64 and more vectors; rows up to 255, up
/// to 2047 and more; columns up to 2047, up to 8191 and more). It keeps the names of the adapter and the driver that
/// it was measured on, and is of use there. Results are as exact with one kernel as with another, but not the same
/// to the last bit.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tuning {
    pub(super) adapter: String,
    pub(super) driver: String,
    choices: Vec<(ProductClass, Variant)>,
}

impl Tuning {
    /// A table for a device with these names that chooses as by default.
    pub(super) fn of_device(adapter: String, driver: String) -> Self {
        Self { adapter, driver, choices: Vec::new() }
    }

    /// In how many cases it chooses otherwise than by default.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether it chooses as by default.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// From now on, products of the class of this one use `variant`; the default again if there is none.
    #[doc(hidden)]
    pub fn set(
        &mut self,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
        variant: Option<Variant>,
    ) {
        self.insert(ProductClass::of(format, rows, cols, precision, batch), variant);
    }

    pub(super) fn insert(&mut self, products: ProductClass, variant: Option<Variant>) {
        self.choices.retain(|(known, _)| *known != products);
        self.choices.extend(variant.map(|variant| (products, variant)));
    }

    pub(super) fn choices(&self) -> impl Iterator<Item = (ProductClass, Variant)> {
        self.choices.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_one_class() {
        let names = |classes: &[Class], numbers: [usize; 5]| numbers.map(|number| class(classes, number).0);
        assert_eq!(names(&VECTORS, [1, 2, 8, 9, 64]), ["1", "2-8", "2-8", "9-64", "9-64"]);
        assert_eq!(
            names(&ROWS, [1, 255, 256, 2047, 2048]),
            ["1-255", "1-255", "256-2047", "256-2047", "2048-"]
        );
        assert_eq!(
            names(&COLS, [1, 2047, 2048, 8191, 8192]),
            ["1-2047", "1-2047", "2048-8191", "2048-8191", "8192-"]
        );
        assert_eq!(class(&VECTORS, usize::MAX).0, "65-");
    }
}
