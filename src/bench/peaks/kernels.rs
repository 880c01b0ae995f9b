//! The kernels that measure a GPU's limits.

use crate::gpu::{MatrixUnits, textures, wgsl::Wgsl, wgsl_files};

/// A kernel with its constants and what it reads.
pub(super) struct Kernel {
    pub(super) file: &'static str,
    /// A name for `#import` and the file that it stands for.
    pub(super) part: Option<(&'static str, &'static str)>,
    pub(super) constants: Vec<(&'static str, u32)>,
    pub(super) reads: Reads,
    pub(super) workgroup: u32,
    pub(super) groups: u64,
    /// The work of a dispatch in bytes, operations or dispatches.
    pub(super) work: f64,
}

/// What a kernel reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Buffer,
    Texture,
    Operands,
}

const FILES: &[(&str, &str)] = wgsl_files![
    "bench/buffer.wgsl",
    "bench/chains.wgsl",
    "bench/cooperative.wgsl",
    "bench/dot.wgsl",
    "bench/launch.wgsl",
    "bench/memory.wgsl",
    "bench/multiply_add.wgsl",
    "bench/multiply_pairs.wgsl",
    "bench/multiply_then_add.wgsl",
    "bench/texture.wgsl",
];
/// A step of multiply-adds, and its operations: fused or not, which is faster on some CPUs.
const MULTIPLY_ADDS: [(&str, u64); 2] =
    [("bench/multiply_add.wgsl", 4 * 2), ("bench/multiply_then_add.wgsl", 4 * 2)];
/// A step of products of bytes: as an instruction of four, or as words of two.
const DOTS: [(&str, u64); 2] = [("bench/dot.wgsl", 4 * 8), ("bench/multiply_pairs.wgsl", 4 * 4)];

/// Invocations in a workgroup.
pub(super) const WORKGROUP: u32 = 64;
pub(super) const VEC4_BYTES: u64 = 16;
/// Vec4s that an invocation reads.
const RUNS: [u32; 2] = [64, 512];
/// Independent chains of an invocation.
const CHAINS: [u32; 3] = [2, 4, 8];
/// Loop iterations of 8 steps of a chain.
const ROUNDS: u32 = 64;
/// Enough workgroups to keep a large GPU busy, and an adapter that computes on the CPU.
const CHAIN_GROUPS: [u64; 2] = [4096, 512];
/// Factor m, summand c and start value of the float chains: repeated v·m + c approaches c / (1 - m).
pub(super) const OPERANDS: [f32; 3] = [0.999, 0.001, 1.5];
/// Independent sums of a subgroup that uses matrix units. Products have 4.
const MATRIX_CHAINS: [u32; 3] = [2, 4, 8];
/// Loop iterations of 8 steps of such a sum; fewer on an adapter that computes on the CPU.
const MATRIX_ROUNDS: [u32; 2] = [32, 4];

/// What a kernel does with memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    Read,
    Copy,
    Write,
}

/// Kernels that read, copy or write `vec4s` vec4s. The fastest access pattern depends on the device.
pub(super) fn memory(reads: Reads, traffic: Traffic, vec4s: u64) -> Vec<Kernel> {
    let kernels = RUNS.into_iter().flat_map(|run| {
        let groups = vec4s / u64::from(WORKGROUP * run);
        let lanes = groups as u32 * WORKGROUP;
        // Distances between groups, between lanes, and between the vec4s of a lane. First, each lane reads
        // consecutive vec4s, for adapters that compute on the CPU; second, neighbouring lanes read
        // neighbouring vec4s within a group; third, within the whole dispatch.
        let patterns = [(WORKGROUP * run, run, 1), (WORKGROUP * run, 1, WORKGROUP), (WORKGROUP, 1, lanes)];
        let source = if reads == Reads::Texture { "bench/texture.wgsl" } else { "bench/buffer.wgsl" };
        patterns.map(|(group_step, lane_step, step)| Kernel {
            file: "bench/memory.wgsl",
            part: Some(("source", source)),
            reads,
            constants: vec![
                ("RUN", run),
                ("GROUP_STEP", group_step),
                ("LANE_STEP", lane_step),
                ("STEP", step),
                ("COPY", u32::from(traffic == Traffic::Copy)),
                ("WRITE", u32::from(traffic == Traffic::Write)),
                ("VEC4_COLS", textures::VEC4.cols()),
            ],
            workgroup: WORKGROUP,
            groups,
            work: (vec4s * VEC4_BYTES * if traffic == Traffic::Copy { 2 } else { 1 }) as f64,
        })
    });
    kernels.collect()
}

/// Kernels of f32 multiply-adds.
pub(super) fn multiply_add(is_software: bool) -> Vec<Kernel> {
    MULTIPLY_ADDS.into_iter().flat_map(|step| chains(step, is_software)).collect()
}

/// Kernels of int8 products by dot products or multiplications of words.
pub(super) fn dot(is_software: bool) -> Vec<Kernel> {
    DOTS.into_iter().flat_map(|step| chains(step, is_software)).collect()
}

/// Kernels of chains, for a file with a step and the operations of it.
fn chains((step, operations): (&'static str, u64), is_software: bool) -> impl Iterator<Item = Kernel> {
    let groups = CHAIN_GROUPS[usize::from(is_software)];
    CHAINS.into_iter().map(move |chains| Kernel {
        file: "bench/chains.wgsl",
        part: Some(("step", step)),
        reads: Reads::Operands,
        constants: vec![("ROUNDS", ROUNDS), ("CHAINS", chains)],
        workgroup: WORKGROUP,
        groups,
        work: (u64::from(WORKGROUP * 8 * ROUNDS * chains) * groups * operations) as f64,
    })
}

/// Kernels of products of f16 matrices, as int8 products by matrix units compute them.
pub(super) fn matrix(units: MatrixUnits, is_software: bool) -> impl Iterator<Item = Kernel> {
    let (side, subgroups) = (units.side as u64, (units.subgroups_beside * units.subgroups_beside) as u64);
    let rounds = MATRIX_ROUNDS[usize::from(is_software)];
    let groups = CHAIN_GROUPS[usize::from(is_software)];
    MATRIX_CHAINS.into_iter().map(move |chains| Kernel {
        file: "bench/cooperative.wgsl",
        part: None,
        reads: Reads::Operands,
        constants: vec![
            ("ROUNDS", rounds),
            ("CHAINS", chains),
            ("SIDE", side as u32),
            ("SUBGROUPS", subgroups as u32),
            ("QUADS", u32::from(units.quads)),
        ],
        workgroup: units.workgroup as u32,
        groups,
        work: (groups * subgroups * u64::from(8 * rounds * chains) * 2 * side.pow(3)) as f64,
    })
}

pub(super) fn launch() -> Vec<Kernel> {
    vec![Kernel {
        file: "bench/launch.wgsl",
        part: None,
        constants: Vec::new(),
        reads: Reads::Buffer,
        workgroup: WORKGROUP,
        groups: 1,
        work: 1.0,
    }]
}

impl Kernel {
    pub(super) fn wgsl(&self) -> String {
        let wgsl = Wgsl::new().files(FILES);
        let wgsl = self.part.into_iter().fold(wgsl, |wgsl, (name, path)| wgsl.alias(name, path));
        let constants = [("WORKGROUP", self.workgroup)].into_iter().chain(self.constants.iter().copied());
        let wgsl = constants.fold(wgsl, |wgsl, (name, value)| wgsl.constant(name, value));
        wgsl.preprocess(self.file).expect("every shader joins")
    }
}

/// The text of every kernel, for a buffer of 1 MiB.
#[doc(hidden)]
pub fn shaders() -> impl Iterator<Item = String> {
    let vec4s = (1 << 20) / VEC4_BYTES;
    let on = |reads, traffic| memory(reads, traffic, vec4s);
    let kernels = [
        on(Reads::Buffer, Traffic::Read),
        on(Reads::Buffer, Traffic::Copy),
        on(Reads::Buffer, Traffic::Write),
        on(Reads::Texture, Traffic::Read),
        multiply_add(false),
        dot(false),
        launch(),
    ];
    let matrices = MatrixUnits::examples().into_iter().flat_map(|units| matrix(units, false));
    kernels.into_iter().flatten().chain(matrices).map(|kernel| kernel.wgsl())
}
