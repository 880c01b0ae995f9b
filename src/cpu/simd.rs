//! The instruction sets that fast products are written for.
//!
//! Kernels are written once, over [`Simd`]: eight lanes, one for each of eight rows. [`Level`] is chosen
//! at run time. [`plain`] is the simple form, which every other is tested against.

mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use lanes::{Simd, Work};
pub(crate) use plain::Plain;
use std::sync::OnceLock;

/// The instructions that fast products use on this machine: `avx512-vnni`, `avx-vnni`, `avx2`, `neon-dot`,
/// `neon`, or `plain` for what the compiler makes of arrays.
pub fn instruction_set() -> &'static str {
    Level::best().name()
}

/// The instruction sets, the slowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    Plain,
    Avx2,
    AvxVnni,
    Avx512Vnni,
    Neon,
    NeonDot,
}

impl Level {
    const ALL: [Self; 6] =
        [Self::Plain, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni, Self::Neon, Self::NeonDot];

    /// All that this processor has, the slowest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    /// The fastest that this processor has.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().unwrap_or(Self::Plain))
    }

    fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => x86::AvxVnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => x86::Avx512Vnni::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::Neon::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => neon::NeonDot::new().is_some(),
            _ => false,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Neon => "neon",
            Self::NeonDot => "neon-dot",
        }
    }

    /// Does `work` with these instructions, or plainly where the processor lacks them.
    pub(super) fn run(self, work: impl Work) {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx2 => {
                if let Some(simd) = x86::Avx2::new() {
                    return simd.run(work);
                }
            }
            Self::AvxVnni => {
                if let Some(simd) = x86::AvxVnni::new() {
                    return simd.run(work);
                }
            }
            Self::Avx512Vnni => {
                if let Some(simd) = x86::Avx512Vnni::new() {
                    return simd.run(work);
                }
            }
            _ => {}
        }
        #[cfg(target_arch = "aarch64")]
        match self {
            Self::Neon => {
                if let Some(simd) = neon::Neon::new() {
                    return simd.run(work);
                }
            }
            Self::NeonDot => {
                if let Some(simd) = neon::NeonDot::new() {
                    return simd.run(work);
                }
            }
            _ => {}
        }
        work.run(Plain);
    }
}
