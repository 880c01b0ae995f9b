//! The table of measured kernels: the variant for each class of products on one device.

use super::precision::Precision;
use super::variant::Variant;
use crate::Format;

/// A range of numbers: its name in a file, and its lower end.
pub(super) type Class = (&'static str, usize);

pub(super) const VECTORS: [Class; 4] = [("1", 1), ("2-8", 2), ("9-64", 9), ("65-", 65)];
pub(super) const ROWS: [Class; 3] = [("1-255", 1), ("256-2047", 256), ("2048-", 2048)];
pub(super) const COLS: [Class; 3] = [("1-2047", 1), ("2048-8191", 2048), ("8192-", 8192)];

/// The class of a number.
pub(super) fn class(classes: &[Class], number: usize) -> Class {
    *classes.iter().rfind(|(_, least)| *least <= number).unwrap_or(&classes[0])
}

/// A class of products that use the same kernel, one for each precision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProductClass {
    pub(super) format: Format,
    pub(super) vectors: Class,
    pub(super) rows: Class,
    pub(super) cols: Class,
}

impl ProductClass {
    pub(super) fn of(format: Format, (rows, cols): (usize, usize), batch: usize) -> Self {
        Self { format, vectors: class(&VECTORS, batch), rows: class(&ROWS, rows), cols: class(&COLS, cols) }
    }
}

/// The kernels of products on one device, where they are not the defaults: what `qmill tune` measured.
///
/// Entries are by format, precision and class of shape: 1, 2 to 8, 9 to 64, and more vectors; up to 255, up
/// to 2047, and more rows; up to 2047, up to 8191, and more columns. A table is valid only for the adapter
/// and driver that it was measured on, whose names it stores. The error bounds of results do not depend on
/// the kernel, but the last bits do.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tuning {
    pub(super) adapter: String,
    pub(super) driver: String,
    choices: Vec<(ProductClass, Variant)>,
}

impl Tuning {
    /// An empty table for a device with these names.
    pub(super) fn of_device(adapter: String, driver: String) -> Self {
        Self { adapter, driver, choices: Vec::new() }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether there are no entries: every product uses the default kernel.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// Sets the variant of this precision for the class of this product; with `None`, the default.
    #[doc(hidden)]
    pub fn set(
        &mut self,
        format: Format,
        shape: (usize, usize),
        precision: Precision,
        batch: usize,
        variant: Option<Variant>,
    ) {
        self.insert(ProductClass::of(format, shape, batch), precision, variant);
    }

    pub(super) fn insert(&mut self, products: ProductClass, precision: Precision, variant: Option<Variant>) {
        debug_assert!(variant.is_none_or(|variant| variant.precision() == precision));
        self.choices.retain(|(known, variant)| *known != products || variant.precision() != precision);
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
