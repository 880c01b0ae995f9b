//! Tensors and their names.

use crate::{Error, Format};

/// A tensor, as far as the choice depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its dimensions, the length of a row first.
    pub shape: &'a [u64],
    /// Its current format. `None` is a type that holds no weights (integers, f64), which is always kept.
    pub format: Option<Format>,
}

impl Tensor<'_> {
    /// Weights in a row.
    pub(super) fn row(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Whether only the first dimension is longer than 1.
    pub(super) fn is_vector(&self) -> bool {
        self.shape.iter().skip(1).all(|&length| length <= 1)
    }

    /// Whether this is a stack of matrices, such as the experts of a layer.
    pub(super) fn is_stack(&self) -> bool {
        self.shape.get(2).is_some_and(|&length| length > 1)
    }

    /// Whether rows are a whole number of blocks of this format.
    pub(crate) fn has_blocks_of(&self, format: Format) -> bool {
        self.row().is_multiple_of(format.info().block_weights as u64)
    }

    pub(super) fn row_length_error(&self, format: Format) -> Error {
        Error::RowLength { tensor: self.name.to_owned(), weights: self.row(), format }
    }
}

/// The order in which llama-quantize writes tensors: first those outside the layers, then layer by layer,
/// sorted by name within each. Returns indices into `names`.
pub fn file_order(names: &[&str]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&index| (layer(names[index]), names[index]));
    order
}

/// The number of layers by the tensor names: one more than the largest N in `blk.N.`.
pub fn block_count<'a>(names: impl IntoIterator<Item = &'a str>) -> u32 {
    names.into_iter().filter_map(layer).max().map_or(0, |last| last.saturating_add(1))
}

/// The N of a name that starts with `blk.N`.
pub(crate) fn layer(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("blk.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
