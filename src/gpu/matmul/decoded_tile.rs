//! The sizes of the kernel for matrix units and decoded weights: `matmul_cooperative_decoded.wgsl`.

use super::matrix_units::MatrixUnits;

/// Matrices along a side of a tile.
const TILE_MATRICES: usize = 8;
/// Matrices of rows of a subgroup.
const MATRICES_BELOW: usize = 4;
/// Columns of a step, the distance from a row to the next in workgroup memory, and the steps there.
pub(super) const STEP: usize = 32;
const STRIDE: usize = STEP + 8;
const STAGES: usize = 2;
/// The most items that an invocation may load of a step.
const MOST_ITEMS: usize = 16;

/// A tile of 8 x 8 matrices of sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DecodedTile {
    pub(super) units: MatrixUnits,
    /// Matrices of vectors of a subgroup: 4 or 2.
    pub(super) matrices_beside: usize,
}

impl DecodedTile {
    /// The rows, and the vectors, of a tile.
    pub(super) fn side(self) -> usize {
        TILE_MATRICES * self.units.side
    }

    fn subgroups(self) -> usize {
        TILE_MATRICES * TILE_MATRICES / (MATRICES_BELOW * self.matrices_beside)
    }

    /// Invocations of a workgroup, enough for its subgroups if they have the largest size.
    pub(super) fn workgroup(self) -> u64 {
        self.subgroups() as u64 * self.units.lanes()
    }

    /// The eights of rows, and of vectors, that an invocation loads in a step.
    pub(super) fn items(self) -> usize {
        (self.side() * STEP / 8).div_ceil(self.workgroup() as usize)
    }

    /// Whether the device has room for a workgroup.
    pub(super) fn fits(self) -> bool {
        let tiles = 2 * STAGES * self.side() * 2 * STRIDE;
        let bytes = tiles + 4 * self.subgroups() * self.units.side * self.units.side;
        self.workgroup() <= self.units.most_invocations
            && bytes <= self.units.most_bytes
            && self.items() <= MOST_ITEMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_tiles_fit_where_workgroups_are_large_enough() {
        let [nvidia, amd, apple] = MatrixUnits::examples();
        let of = |units, matrices_beside| {
            let tile = DecodedTile { units, matrices_beside };
            (tile.side(), tile.workgroup(), tile.items(), tile.fits())
        };
        assert_eq!([of(nvidia, 4), of(nvidia, 2)], [(128, 128, 4, true), (128, 256, 2, true)]);
        assert_eq!([of(amd, 4), of(amd, 2)], [(128, 256, 2, true), (128, 512, 1, true)]);
        assert_eq!(of(apple, 4), (64, 128, 2, true));
        // The sums of eight subgroups take the last bytes.
        let less = MatrixUnits { most_bytes: nvidia.most_bytes - 1, ..nvidia };
        assert_eq!([of(less, 4).3, of(less, 2).3], [true, false]);
        let fewer = MatrixUnits { most_invocations: 256, ..amd };
        assert_eq!([of(fewer, 4).3, of(fewer, 2).3], [true, false]);
    }
}
