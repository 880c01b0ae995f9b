//! Rotary position embeddings (rope): parameters, frequencies, and the tables of cosines and sines.

use super::architectures::RopeLayout;
use super::keys::Keys;
use crate::{Error, Result};
use std::f64::consts::PI;

/// The tensor of divisors of rope's frequencies.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// Ropes of a model: of the layers without a window, and of those with one.
pub(super) const ROPES: usize = 2;

/// How often a pair rotates in YaRN's original context to keep its frequency, and to be scaled in full:
/// libllama's numbers for all architectures here.
const YARN_FAST_ROTATIONS: f64 = 32.0;
const YARN_SLOW_ROTATIONS: f64 = 1.0;

/// How positions rotate queries and keys: pair `i` of a head by the angle
/// `position·scale·base^(-2i / dimensions)`.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Rope {
    /// Which floats are a pair.
    pub layout: RopeLayout,
    /// Floats of a head that are rotated, from its first.
    pub dimensions: usize,
    /// The base of layers without a window.
    pub base: f64,
    /// What positions are multiplied by in layers without a window.
    pub scale: f64,
    /// What cosines and sines are multiplied by, with any scaling.
    pub attention_factor: f64,
    /// YaRN, in which `scale` applies to slow pairs only.
    pub yarn: Option<Yarn>,
    /// The file has a tensor with a divisor for each pair's frequency, as Llama 3's have.
    pub divisors: bool,
}

/// YaRN with libllama's parameters for these architectures.
///
/// Pairs that rotate at least 32 times in the original context keep their frequency, those that rotate once
/// at most are scaled, and those between are scaled in part.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Yarn {
    /// Tokens of the context that the model was trained for before it was extended.
    pub original_context: usize,
}

impl Rope {
    /// Reads the keys of rope.
    ///
    /// Fails with [`Error::Unsupported`] for an unknown scaling, and with [`Error::MetadataKey`] for an
    /// impossible value.
    pub(super) fn new(
        keys: &Keys,
        layout: RopeLayout,
        head_width: usize,
        trained_context: usize,
        divisors: bool,
    ) -> Result<Self> {
        let dimensions = keys.optional_count("rope.dimension_count")?.unwrap_or(head_width);
        if dimensions > head_width || !dimensions.is_multiple_of(2) {
            return Err(keys.missing("rope.dimension_count", "even and no more than the floats in a head"));
        }
        if keys.optional_count("rope.dimension_count_swa")?.is_some_and(|windowed| windowed != dimensions) {
            return Err(keys.missing("rope.dimension_count_swa", "the same as rope.dimension_count"));
        }
        // The older name of the next key, which overrides it.
        let old_factor = keys.optional_float("rope.scale_linear")?;
        let factor = keys.optional_float("rope.scaling.factor")?.or(old_factor);
        let factor = factor.filter(|&factor| factor > 0.0).unwrap_or(1.0);
        let original_context = keys.optional_size("rope.scaling.original_context_length")?;
        let (scale, yarn) = match keys.optional_str("rope.scaling.type")? {
            Some("none") => (1.0, None),
            None | Some("linear") => (1.0 / factor, None),
            Some("yarn") => {
                let original_context =
                    original_context.filter(|&context| context > 0).unwrap_or(trained_context);
                (1.0 / factor, Some(Yarn { original_context }))
            }
            Some(other) => {
                let known = "none, linear, yarn".to_owned();
                return Err(Error::Unsupported { what: "the rope scaling", found: other.to_owned(), known });
            }
        };
        let base = keys.optional_float("rope.freq_base")?.unwrap_or(10_000.0);
        let attention_factor = keys.optional_float("rope.scaling.attn_factor")?.unwrap_or(1.0);
        Ok(Self { layout, dimensions, base, scale, attention_factor, yarn, divisors })
    }

    /// What cosines and sines are multiplied by. With YaRN, `stretch` makes up for the flatter attention of
    /// longer texts.
    fn magnitude(&self, stretch: f64) -> f64 {
        if self.yarn.is_some() { stretch * self.attention_factor } else { self.attention_factor }
    }

    /// How much of the scaling pair `pair` gets: from 0 to 1 with YaRN, else 1.
    fn scaled_fraction(&self, pair: usize, base: f64) -> f64 {
        let Some(yarn) = &self.yarn else { return 1.0 };
        let dimensions = self.dimensions as f64;
        // The pair that rotates so often in the original context.
        let pair_of = |rotations: f64| {
            let wavelength = yarn.original_context as f64 / (2.0 * PI * rotations);
            dimensions * wavelength.ln() / (2.0 * base.ln())
        };
        let low = pair_of(YARN_FAST_ROTATIONS).floor().max(0.0);
        let high = pair_of(YARN_SLOW_ROTATIONS).ceil().min(dimensions - 1.0);
        ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0)
    }

    fn rotation(&self, base: f64, scale: f64, magnitude: f64, divisors: Option<&[f32]>) -> Rotation {
        let frequency = |pair: usize| {
            let divisor = divisors.map_or(1.0, |divisors| f64::from(divisors[pair]));
            let fraction = self.scaled_fraction(pair, base);
            (scale * fraction + (1.0 - fraction)) * base.powf(-2.0 * pair as f64 / self.dimensions as f64)
                / divisor
        };
        Rotation { frequencies: (0..self.dimensions / 2).map(frequency).collect(), magnitude }
    }
}

/// The rotation of one rope.
#[derive(Clone, Default, Debug)]
struct Rotation {
    /// The angle from one position to the next, of each pair.
    frequencies: Vec<f64>,
    /// What cosines and sines are multiplied by.
    magnitude: f64,
}

/// The rotations of a model, of which [`tables`](Self::tables) makes tables of cosines and sines.
#[derive(Clone, Debug)]
pub(super) struct Rotations([Rotation; ROPES]);

impl Rotations {
    /// `windowed_base` is the base of layers with a window, whose positions are not scaled; `None` where
    /// there are no such layers.
    pub(super) fn new(rope: &Rope, windowed_base: Option<f64>, divisors: Option<&[f32]>) -> Self {
        let stretch = 1.0 + 0.1 * (1.0 / rope.scale).ln();
        let full = rope.rotation(rope.base, rope.scale, rope.magnitude(stretch.max(1.0)), divisors);
        let windowed = windowed_base.map(|base| {
            let magnitude = rope.magnitude(stretch.max(1.0) / stretch);
            rope.rotation(base, 1.0, magnitude, divisors)
        });
        Self([full, windowed.unwrap_or_default()])
    }

    /// The cosine and the sine of each pair, for `count` tokens from `position` on: a table for each rope, in
    /// floats of `count × dimensions`.
    pub(super) fn tables(&self, position: usize, count: usize) -> Vec<Vec<f32>> {
        let table = |rotation: &Rotation| {
            let positions = position..position + count;
            let angles = positions.flat_map(|position| {
                rotation.frequencies.iter().map(move |frequency| position as f64 * frequency)
            });
            let cos_sin = angles.flat_map(|angle| [angle.cos(), angle.sin()]);
            cos_sin.map(|x| (rotation.magnitude * x) as f32).collect()
        };
        self.0.iter().map(table).collect()
    }
}
