//! The tests of products can fail: each planted fault is found.

use super::product::{Case, Errors, How, X};
use super::{adapter, planting};
use qmill::Format;
use qmill::gpu::Variant;
use qmill::wgpu::Features;
use std::sync::atomic::Ordering::Relaxed;

/// A planted fault, and the product that must find it.
#[derive(Clone, Copy)]
struct Fault {
    /// The format, the batch, and the variant's name or the start of it.
    found_by: (Format, usize, &'static str),
    right: &'static str,
    wrong: &'static str,
}

const fn fault(found_by: (Format, usize, &'static str), right: &'static str, wrong: &'static str) -> Fault {
    Fault { found_by, right, wrong }
}

use Format::{F16, Q4_0, Q4_K, Q8_0};

/// The largest error, as a fraction of Σ|wᵢxᵢ|, of gaussian weights and numbers that int8 represents exactly:
/// above all rounding of f32.
const NEAR: f64 = 1e-6;
/// The same with rounding to f16.
const NEAR_IN_F16: f64 = 1e-4;

const FAULTS: [Fault; 64] = [
    // Nothing is computed.
    fault((Q4_0, 1, "exact.thread_per_row.rows4"), "if (i < params.count)", "if (false)"),
    // A wrong nibble, a slightly wrong scale, and another weight's code.
    fault(
        (Q4_0, 1, "exact.thread_per_row.rows4"),
        "nibbles_from(raw.pairs, 4u)",
        "nibbles_from(raw.pairs, 0u)",
    ),
    fault((Q4_0, 1, "int8.thread_per_row.rows8"), "f16_value(raw.d))", "f16_value(raw.d) * 1.0001)"),
    fault((Q4_0, 1, "exact.thread_per_row.rows4"), "f16_value(raw.d))", "f16_value(raw.d) * 1.0001)"),
    fault((Q4_0, 1, "exact.thread_per_row.rows4"), "w.r3.b[7 - 4]))", "w.r3.b[6 - 4]))"),
    // A lost min, and a wrong sum that it is multiplied by.
    fault((Q4_K, 3, "exact.thread_per_row.rows4"), "HAS_MIN = true", "HAS_MIN = false"),
    fault((Q4_K, 3, "int8.thread_per_row.rows8"), "HAS_MIN = true", "HAS_MIN = false"),
    fault((Q4_K, 3, "int8.thread_per_row.rows8"), "-x.float_sum", "-f32(x.sums.x)"),
    fault((Q4_K, 9, "int8.tile"), "f32(x.sums.x + x.sums.y)", "f32(x.sums.x)"),
    // A missing product, and one with another activation.
    fault((F16, 3, "exact.shared"), "fma(w[2], vec4<f32>(x.z), ", "("),
    fault((F16, 3, "exact.thread_per_row.rows8"), "fma(w[1], vec4<f32>(x.y)", "fma(w[1], vec4<f32>(x.z)"),
    fault((F16, 9, "exact.tile"), "fma(w.z, x.z", "fma(w.z, x.y"),
    // A missing last unit of a row, and a lane's lost sum.
    fault((Q4_0, 1, "exact.thread_per_row.rows4"), "i < units;", "i + 1u < units;"),
    fault((Q4_0, 1, "int8.shared"), "lane % SHARERS < lanes", "lane % SHARERS + 1u < lanes"),
    fault((Q4_0, 1, "int8.subgroup.rows4"), "let sum = subgroupAdd(sums);", "let sum = sums;"),
    // A sum that starts with another's value.
    fault(
        (Q4_0, 3, "int8.shared"),
        "partials[lane] = partial;",
        "partials[lane] = partials[lane] + partial;",
    ),
    fault((Q4_0, 9, "int8.tile"), "var s3 = vec4<f32>();", "var s3 = s2 + 1.0;"),
    // One row or vector too many, beyond the range, and one too few.
    fault((Q4_0, 3, "exact.thread_per_row.rows8"), "vector < params.batch &&", "vector <= params.batch &&"),
    fault(
        (Q4_0, 3, "exact.thread_per_row.rows8"),
        "vector < params.batch &&",
        "vector + 1u < params.batch &&",
    ),
    fault(
        (Q4_0, 3, "exact.thread_per_row.rows8"),
        "task.shard_row + i < params.rows)",
        "task.shard_row + i + 1u < params.rows)",
    ),
    fault((Q4_0, 9, "exact.tile"), "row < params.rows && vector", "row <= params.rows && vector"),
    fault((Q4_0, 9, "exact.tile"), "vector < params.batch)", "vector <= params.batch)"),
    // Large tiles: another lane's row, vectors that are not where they are read, another half of the columns,
    // a word that counts twice, a step that is loaded twice, and columns of several slices.
    fault((Q4_0, 9, "exact.tile.128x128"), "row_quads[i][1][row_lane]", "row_quads[i][0][row_lane]"),
    fault((Q4_0, 9, "exact.tile.128x128"), "let n = swizzled(i, vector_lane);", "let n = vector_lane;"),
    fault((F16, 9, "exact.tile.128x128"), "select(own.a, own.b, is_last)", "own.a"),
    fault((Q4_K, 9, "exact.tile.128x128"), "weights(words.y, scale, min)", "weights(words.x, scale, min)"),
    fault((Q4_0, 9, "exact.tile.128x128"), "min(step + 1u, all_steps - 1u)", "min(step, all_steps - 1u)"),
    fault((Q4_0, 9, "exact.tile.128x128.split_k"), "min(first_step + slice_steps, all_steps)", "all_steps"),
    // Another vector, and int8 activations with a slightly wrong scale.
    fault((Q4_0, 3, "exact.thread_per_row.rows4"), "min(vector, params.batch - 1u)", "0u"),
    fault((Q4_0, 3, "int8.thread_per_row.rows4"), "largest / 127.0", "largest / 127.01"),
    // Split-K: a lost part, another's part, one that starts too late, sums in another's place, and columns
    // that count twice.
    fault((Q4_0, 1, "int8.shared.rows4.split_k"), "slice < params.split_k", "slice + 1u < params.split_k"),
    fault((Q4_0, 3, "exact.thread_per_row.rows4.split_k"), "tile % params.split_k", "0u"),
    fault(
        (Q4_0, 1, "int8.thread_per_row.rows8.split_k"),
        "start = task.slice * slice_units;",
        "start = task.slice * slice_units + 1u;",
    ),
    fault(
        (Q4_0, 3, "exact.thread_per_row.rows4.split_k"),
        "(slice * params.batch + vector)",
        "(slice + vector)",
    ),
    fault((Q4_0, 9, "int8.tile.split_k"), "steps = min(first_step + slice_steps, steps);", ""),
    fault((Q4_0, 9, "exact.tile.split_k"), "(slice * params.batch + vector)", "(slice + vector)"),
    fault((Q4_0, 9, "exact.tile.split_k"), "sum + bias[i % params.all_rows]", "sum"),
    // The bias.
    fault((Q4_0, 3, "exact.thread_per_row.rows4"), "sum + bias[row]", "sum"),
    // Codes that are multiplied in pairs: the borrow of a sum's lower half, and another weight's code.
    fault((Q4_0, 1, "int8.thread_per_row.rows4"), "bitcast<i32>(sum + 0x8000u)", "bitcast<i32>(sum)"),
    fault((Q4_0, 1, "int8.thread_per_row.rows4"), "vec4<i32>(-65536)", "vec4<i32>(-256)"),
    // Weight textures: the next scale, another interleaved row, the next block, and another row's vec4.
    fault((Q4_0, 1, "exact.thread_per_row.rows4"), "at % WORD_COLS", "(at + 1u) % WORD_COLS"),
    fault((Q4_0, 1, "exact.thread_per_row.rows4"), "row % INTERLEAVED_ROWS", "(row ^ 1u) % INTERLEAVED_ROWS"),
    fault(
        (Q4_0, 1, "exact.thread_per_row.rows4"),
        "block % group_blocks / rows",
        "(block % group_blocks / rows ^ 1u)",
    ),
    fault((Q8_0, 1, "exact.thread_per_row.rows4"), "in_group / unit % rows", "(in_group / unit ^ 1u) % rows"),
    // Broadcasts: another lane's quad, and another vector.
    fault(
        (Q4_0, 1, "exact.thread_per_row.rows4"),
        "subgroupBroadcast(x.x0, 5u)",
        "subgroupBroadcast(x.x0, 4u)",
    ),
    fault((Q4_0, 90, "int8.thread_per_row.rows4"), "of_lane1(own.a)", "of_lane0(own.a)"),
    // Matrix units: a neighbour's matrix, missing columns, another row's power of two, powers of two of rows
    // and vectors that overflow f16, numbers in another order than the weights, sums of one subgroup only,
    // and one row too many.
    fault((Q4_0, 9, "int8.cooperative"), "coopMultiplyAdd(r1, v0, s10)", "coopMultiplyAdd(r0, v0, s10)"),
    fault((Q4_0, 9, "int8.cooperative"), "k < STEP; k += SIDE", "k < STEP / 2u; k += SIDE"),
    fault((Q4_0, 9, "int8.cooperative"), "up(row_scales[m])", "up(row_scales[0u])"),
    fault((Q4_0, 9, "int8.cooperative"), "(128.0 + abs(f32(OFFSET)))", "1e-4"),
    fault((Q4_0, 9, "int8.cooperative"), "127.0 * partials[0]", "1e-4 * partials[0]"),
    fault((Q4_0, 9, "int8.cooperative"), "pair(low.x, low.z)", "pair(low.x, low.y)"),
    fault((Q4_0, 9, "int8.cooperative"), "i < SUBGROUPS; i += SUBGROUPS", "i < 1u; i += SUBGROUPS"),
    fault((Q4_0, 9, "int8.cooperative"), "m < params.rows && n", "m <= params.rows && n"),
    fault(
        (Q4_0, 9, "int8.cooperative.split_k"),
        "first = slice * slice_steps;",
        "first = slice * slice_steps + 2u;",
    ),
    fault((Q4_0, 9, "int8.cooperative.split_k"), "(slice * params.batch + vector)", "(slice + vector)"),
    // Matrix units with decoded weights: the other half of a part, a lost min, another row's power of two, a
    // step that is loaded twice, a neighbour's matrix, weights in another order than the vectors, another
    // row's power of two in the result, and slices that begin too late.
    fault((Q4_0, 9, "int8.cooperative_decoded.4x4"), "select(w.a, w.b, is_last)", "w.a"),
    fault((Q4_K, 9, "int8.cooperative_decoded.4x4"), "w -= min;", ""),
    fault((Q4_0, 9, "int8.cooperative_decoded.4x4"), "down(row_scales[row])", "down(row_scales[0u])"),
    fault((Q4_0, 9, "int8.cooperative_decoded.4x4"), "min(step + 1u, last)", "min(step, last)"),
    fault(
        (Q4_0, 9, "int8.cooperative_decoded.4x2"),
        "coopMultiplyAdd(r1, v0, s10)",
        "coopMultiplyAdd(r0, v0, s10)",
    ),
    fault((Q4_0, 9, "int8.cooperative_decoded.4x2"), "pack2x16float(w.xz)", "pack2x16float(w.xy)"),
    fault((Q4_0, 9, "int8.cooperative_decoded.4x4"), "params.start_row + m]", "params.start_row + m + 1u]"),
    fault(
        (Q4_0, 9, "int8.cooperative_decoded.4x4.split_k"),
        "first = slice * slice_steps;",
        "first = slice * slice_steps + 1u;",
    ),
];

/// Faults with f16 vectors, as they are and quantized.
const FAULTS_IN_F16: [Fault; 3] = [
    fault(
        (Q4_0, 3, "exact.thread_per_row.rows4"),
        "f16_values(pairs.x), f16_values(pairs.y)",
        "f16_values(pairs.x), f16_values(pairs.x)",
    ),
    fault(
        (F16, 3, "exact.thread_per_row.rows4"),
        "x[vector_at(vector) * (params.cols / 4u) + quad]",
        "x[vector_at(vector) * (params.cols / 4u)]",
    ),
    fault(
        (Q4_0, 3, "int8.thread_per_row.rows4"),
        "f16_values(x[i].x), f16_values(x[i].y)",
        "f16_values(x[i].y), f16_values(x[i].x)",
    ),
];

/// Faults with blocks in the file's layout: swapped words, wrong byte offsets, and another field.
const FAULTS_AS_IN_FILE: [Fault; 4] = [
    fault((Q4_0, 1, "int8.thread_per_row.rows4"), "unaligned_word(w1, w2, at)", "unaligned_word(w2, w1, at)"),
    fault((Q4_0, 1, "int8.thread_per_row.rows4"), "8u * (byte & 2u)", "8u * (~byte & 2u)"),
    fault((Q4_K, 1, "exact.thread_per_row.rows4"), "at = FIELD1_FROM;", "at = FIELD0_FROM;"),
    fault(
        (Format::IQ2_XXS, 1, "int8.thread_per_row.rows4"),
        "block * BLOCK_BYTES + field_from(",
        "block * BLOCK_BYTES + 2u + field_from(",
    ),
];

/// A fault with a codebook in a uniform buffer.
const FAULT_IN_CODEBOOK: Fault = fault(
    (Format::IQ2_XXS, 1, "int8.thread_per_row.rows4"),
    "grid[i >> 2u][i & 3u]",
    "grid[i >> 2u][i & 2u]",
);

/// Text that only shaders for weight textures have.
const OF_TEXTURES: [&str; 7] = [
    "WORD_COLS",
    "INTERLEAVED_ROWS",
    "group_blocks",
    "in_group /",
    "grid[i >> 2u]",
    "subgroupBroadcast",
    "of_lane",
];
/// Text of these that only shaders for subgroups of eight have.
const OF_EIGHTS: [&str; 2] = ["subgroupBroadcast", "of_lane"];

#[test]
fn planted_faults_in_products_are_found() {
    for fault in FAULTS.into_iter().chain([FAULT_IN_CODEBOOK]) {
        expect_found(fault, |how| How { has_bias: true, ..how });
    }
    for fault in FAULTS_IN_F16 {
        expect_found(fault, |how| How { in_f16: true, ..how });
    }
    for fault in FAULTS_AS_IN_FILE {
        expect_found(fault, |how| How { as_in_file: true, ..how });
    }
}

/// Plants a fault, if the adapter runs such shaders, and expects a product as `so` says to show it.
fn expect_found(Fault { found_by: (format, batch, name), right, wrong }: Fault, so: impl Fn(How) -> How) {
    let Some(adapter) = adapter() else { return };
    let info = adapter.get_info();
    let in_eights = (info.subgroup_min_size, info.subgroup_max_size) == (8, 8);
    let is_cooperative = name.starts_with("int8.cooperative");
    let in_textures = OF_TEXTURES.iter().any(|text| right.contains(text));
    let broadcasts = OF_EIGHTS.iter().any(|text| right.contains(text));
    let needed = if is_cooperative {
        Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16 | Features::SUBGROUP
    } else if name.contains("subgroup") || broadcasts {
        Features::SUBGROUP
    } else {
        Features::empty()
    };
    let lacks_textures = in_textures && info.driver != "llvmpipe" || broadcasts && !in_eights;
    if !adapter.features().contains(needed) || lacks_textures {
        return;
    }
    let Some((gpu, planted)) = planting(needed, right, wrong) else { return };
    let gpu = gpu.with_matrix_units(&adapter).with_weights_in_textures(in_textures);
    let near = if is_cooperative { NEAR_IN_F16 } else { NEAR };
    // More than a tile of 8 x 8 matrices.
    let case = Case::gaussian(format, 33, 512);
    let variants = Variant::all(&gpu, format, batch);
    let variant = variants.into_iter().find(|variant| variant.to_string().starts_with(name)).unwrap();
    let result = case.check(&gpu, so(How::of(variant)), batch);
    assert!(planted.load(Relaxed), "there is no {right:?} in {variant}");
    let is_found =
        |result: &Result<Errors, String>| result.as_ref().map_or(true, |errors| errors.of_sizes > near);
    assert!(is_found(&result), "{variant}: {right:?} may be {wrong:?}: {result:?}");
    // Without the fault, the product passes.
    let Some(gpu) = super::gpu() else { return };
    let result = case.check(&gpu.with_weights_in_textures(in_textures), so(How::of(variant)), batch);
    assert!(!is_found(&result), "{variant} is right: {result:?}");
}

/// Sums of the largest codes times the largest numbers: they fit into half words only if they are widened in
/// time.
#[test]
fn planted_overflows_of_half_words_are_found() {
    const FAULTS: [(Format, &str, &str); 2] = [
        (Format::Q6_K, "upper(fours.x) + upper(fours.y)", "upper(fours.x + fours.y)"),
        (
            Format::Q5_1,
            "upper(fours.x + fours.y) + upper(fours.z + fours.w)",
            "upper(fours.x + fours.y + fours.z + fours.w)",
        ),
    ];
    for (format, right, wrong) in FAULTS {
        let Some((gpu, planted)) = planting(Features::empty(), right, wrong) else { return };
        let case = Case::of_largest_codes(format, 33, 512);
        let variants = Variant::all(&gpu, format, 1);
        let variant = variants
            .into_iter()
            .find(|variant| variant.to_string().starts_with("int8.thread_per_row.rows4"))
            .unwrap();
        let result = case.check(&gpu, How { x: X::Ends, ..How::of(variant) }, 3);
        assert!(planted.load(Relaxed), "there is no {right:?} in {variant}");
        assert!(result.is_err(), "{format}: {right:?} may be {wrong:?}: {result:?}");
    }
}
