//! The round trip and its sums of squared errors on the device equal those of the CPU bit for bit.

use super::parity::{binding, buffer, poisoned, read, submit, within};
use super::weights::{KINDS, encoded, random_blocks, sample};
use super::{formats, gpu, planting, variants};
use crate::golden;
use crate::round_trip::{encoders, same};
use crate::support::quantized;
use qmill::cpu::{self, ErrorSums, Float};
use qmill::gpu::{
    Converter, RoundTripBuffers, declined_bytes, device_bytes, error_sums_bytes, scratch_bytes,
};
use qmill::half::{bf16, f16};
use qmill::wgpu::{self, BufferUsages};
use qmill::{Error, FORMATS, Format, Gpu};
use std::sync::atomic::Ordering::Relaxed;

const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];
const OFFSET: usize = 256;

fn chosen() -> impl Iterator<Item = Format> {
    encoders().filter(|format| formats().contains(format))
}

/// The bytes of `weights` after the CPU's round trip.
fn reference(from: Format, to: Format, weights: &[u8]) -> Vec<u8> {
    fn round_trip<W: Float>(to: Format, weights: &[u8]) -> Vec<u8> {
        let mut weights: Vec<W> = bytemuck::pod_collect_to_vec(weights);
        cpu::round_trip_in_place(to, &mut weights).unwrap();
        bytemuck::pod_collect_to_vec(&weights)
    }
    match from {
        Format::F16 => round_trip::<f16>(to, weights),
        Format::BF16 => round_trip::<bf16>(to, weights),
        _ => round_trip::<f32>(to, weights),
    }
}

/// Where the result goes, and whether there are sums.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    InPlace,
    Beside,
    SumsAlone,
}

/// Runs a round trip twice in ranges of poisoned buffers. Compares weights, sums and what was declined.
/// Returns the number of declined blocks.
fn check(gpu: &Gpu, from: Format, to: Format, source: &[u8], mode: Mode) -> Result<usize, String> {
    let weight_bytes = from.info().block_bytes;
    let weights = (source.len() / weight_bytes) as u64;
    let mut padded = vec![0xa5; OFFSET];
    padded.extend(source);
    // NaN after the last weight must not count.
    padded.resize(OFFSET + device_bytes(from, weights) as usize, 0xff);
    padded.resize(padded.len() + OFFSET, 0xa5);
    let weights_buffer = buffer(gpu, &padded, BufferUsages::STORAGE);
    let result_bytes = device_bytes(from, weights);
    let sizes = [result_bytes, error_sums_bytes(weights), declined_bytes(to, weights)];
    let [result_buffer, sums_buffer, declined] = &sizes.map(|bytes| poisoned(gpu, bytes));
    let memory = [device_bytes(to, weights), scratch_bytes(to, weights)].map(|bytes| poisoned(gpu, bytes));
    let [blocks, scratch] = &memory;
    let (weights_range, sums_range) = (binding(&weights_buffer), binding(sums_buffer));
    let mut buffers = match mode {
        Mode::InPlace => RoundTripBuffers::in_place(weights_range).with_sums(sums_range),
        Mode::Beside => RoundTripBuffers::new(weights_range, binding(result_buffer)).with_sums(sums_range),
        Mode::SumsAlone => RoundTripBuffers::sums_only(weights_range, sums_range),
    };
    buffers = buffers.with_declined(binding(declined)).with_memory(binding(blocks), binding(scratch));
    let op = gpu.prepare_round_trip(from, to, weights, &buffers).map_err(|error| error.to_string())?;
    submit(gpu, |encoder| op.record(encoder));

    let after = read(gpu, &weights_buffer);
    let result = if mode == Mode::InPlace { after.clone() } else { read(gpu, result_buffer) };
    if mode != Mode::InPlace && after != padded {
        return Err("changed the weights".to_owned());
    }
    for (memory, bytes) in
        [blocks, scratch].iter().zip([device_bytes(to, weights), scratch_bytes(to, weights)])
    {
        within(&read(gpu, memory), bytes)?;
    }
    let bits = read(gpu, declined);
    let bits = within(&bits, sizes[2])?;
    let block = to.info().block_weights.max(4);
    let is_declined = |weight: usize| bits[weight / block / 8] >> (weight / block % 8) & 1 == 1;
    let found = within(&result, result_bytes)?;
    if mode == Mode::SumsAlone {
        if found.iter().any(|&byte| byte != 0xa5) {
            return Err("wrote a result".to_owned());
        }
    } else {
        let expected = reference(from, to, source);
        for w in 0..weights as usize {
            let at = w * weight_bytes..(w + 1) * weight_bytes;
            let expected = if is_declined(w) { &source[at.clone()] } else { &expected[at.clone()] };
            if found[at.clone()] != *expected && !both_nan(from, &found[at.clone()], expected) {
                return Err(format!("weight {w} is {:02x?}, not {expected:02x?}", &found[at]));
            }
        }
    }
    let sums = read(gpu, sums_buffer);
    let groups: Vec<[f32; 2]> = bytemuck::pod_collect_to_vec(within(&sums, sizes[1])?);
    for (g, (group, source)) in groups.iter().zip(source.chunks(256 * weight_bytes)).enumerate() {
        let expected = cpu::error_sums(from, source, to).unwrap();
        let mut found = ErrorSums::default();
        found.add_groups((source.len() / weight_bytes) as u64, &[*group]);
        let has_declined = (0..source.len() / weight_bytes).any(|w| is_declined(256 * g + w));
        let is_marked = group.map(f32::to_bits) == [u32::MAX; 2];
        if !is_marked && (has_declined || !same(&found, &expected)) {
            return Err(format!("group {g}: {found:?}, not {expected:?}"));
        }
    }
    Ok(bits.iter().map(|byte| byte.count_ones() as usize).sum())
}

fn both_nan(format: Format, a: &[u8], b: &[u8]) -> bool {
    let is_nan = |bytes: &[u8]| match format {
        Format::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).is_nan(),
        Format::F16 => f16::from_le_bytes(bytes.try_into().unwrap()).is_nan(),
        _ => bf16::from_le_bytes(bytes.try_into().unwrap()).is_nan(),
    };
    is_nan(a) && is_nan(b)
}

#[test]
fn round_trips_equal_the_reference() {
    for (variant, gpu) in variants() {
        for to in chosen() {
            for from in FLOATS {
                for (count, kind) in [(8192, "heavy tails"), (1536 + 128, "trained"), (64, "ties")] {
                    let block = to.info().block_weights;
                    let source = encoded(from, &sample(kind, count.max(block) / block * block));
                    for mode in [Mode::InPlace, Mode::Beside, Mode::SumsAlone] {
                        let result = check(gpu, from, to, &source, mode);
                        assert_eq!(result, Ok(0), "{variant}: {from} through {to}, {kind}, {mode:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn golden_blocks_come_back_as_ggml_decodes_them() {
    let Some(gpu) = gpu() else { return };
    let source = golden::read("blocks.f32");
    for to in chosen() {
        let result = check(gpu, Format::F32, to, &source, Mode::Beside);
        assert!(result.is_ok(), "{to}: {result:?}");
        // The CPU's round trip, which this equals but for declined blocks, is ggml's.
        assert!(reference(Format::F32, to, &source) == golden::read(&format!("{to}.f32")), "{to}");
    }
}

#[test]
fn any_number_of_floats_is_added() {
    let Some(gpu) = gpu() else { return };
    for to in FLOATS {
        for from in FLOATS {
            for count in [1, 2, 3, 5, 255, 257, 1023] {
                let source = encoded(from, &sample("gaussian", count));
                for mode in [Mode::InPlace, Mode::Beside, Mode::SumsAlone] {
                    let result = check(gpu, from, to, &source, mode);
                    assert_eq!(result, Ok(0), "{count} of {from} through {to}, {mode:?}");
                }
            }
        }
    }
}

#[test]
fn weights_of_declined_blocks_pass_unchanged() {
    let Some(gpu) = gpu() else { return };
    let floats = |format: &Format| format.is_float();
    for to in chosen().filter(|to| !floats(to)) {
        for kind in ["any exponent", "subnormal", "tiny", "powers of two"] {
            for mode in [Mode::InPlace, Mode::Beside] {
                let declined = check(gpu, Format::F32, to, &encoded(Format::F32, &sample(kind, 4096)), mode);
                let needed = usize::from(kind == "any exponent");
                assert!(declined.as_ref().is_ok_and(|&n| n >= needed), "{to}, {kind}: {declined:?}");
            }
        }
        // The bits are those of this run alone: the map of poison was cleared, by each run of `check`.
        let source = encoded(Format::F32, &sample("gaussian", 4096));
        assert_eq!(check(gpu, Format::F32, to, &source, Mode::InPlace), Ok(0), "{to}");
    }
}

#[test]
fn an_operation_can_run_again_and_bring_its_own_memory() {
    let Some(gpu) = gpu() else { return };
    let (from, to) = (Format::F32, Format::Q4_K);
    let [first, second] = ["gaussian", "trained"].map(|kind| encoded(from, &sample(kind, 4096)));
    // A block that is declined in the first run is not in the second.
    let mut first = first;
    first[..4].copy_from_slice(&1e30f32.to_le_bytes());
    let weights = buffer(gpu, &first, BufferUsages::STORAGE);
    let result = buffer(gpu, &vec![0xa5; first.len()], BufferUsages::STORAGE);
    let declined = buffer(gpu, &[0xff; 4], BufferUsages::STORAGE);
    let buffers =
        RoundTripBuffers::new(weights.as_entire_buffer_binding(), result.as_entire_buffer_binding())
            .with_declined(declined.as_entire_buffer_binding());
    let op = gpu.prepare_round_trip(from, to, 4096, &buffers).unwrap();
    submit(gpu, |encoder| op.record(encoder));
    assert_eq!(read(gpu, &declined), [1, 0, 0, 0]);
    assert_eq!(read(gpu, &result)[..1024], first[..1024]);
    assert_eq!(read(gpu, &result)[1024..], reference(from, to, &first)[1024..]);
    gpu.queue().write_buffer(&weights, 0, &second);
    submit(gpu, |encoder| op.record(encoder));
    assert_eq!(read(gpu, &declined), [0; 4]);
    assert_eq!(read(gpu, &result), reference(from, to, &second));
}

/// Differences between the device's sums and the CPU's.
pub(super) fn sum_faults(gpu: &Gpu, from: Format, source: &[u8], to: &[Format]) -> Vec<String> {
    let mut converter = Converter::new(gpu, 64 << 20);
    let found = match converter.error_sums(from, source, to) {
        Ok(found) => found,
        Err(error) => return vec![error.to_string()],
    };
    assert_eq!(found.len(), to.len());
    let pairs = to.iter().zip(&found).filter_map(|(&to, found)| {
        let expected = cpu::error_sums(from, source, to).unwrap();
        (!same(found, &expected)).then(|| format!("{from} to {to}: {found:?}, not {expected:?}"))
    });
    pairs.collect()
}

#[test]
fn error_sums_equal_those_of_the_cpu() {
    let to: Vec<Format> = chosen().collect();
    for (variant, gpu) in variants() {
        for from in FLOATS {
            for kind in KINDS {
                let faults = sum_faults(gpu, from, &encoded(from, &sample(kind, 16384)), &to);
                assert!(faults.is_empty(), "{variant}: {kind}: {faults:#?}");
            }
        }
        // Blocks of quantized weights, finite and not.
        for from in FORMATS.iter().map(|info| info.format).filter(|from| !from.is_float()) {
            let gaussian = sample("gaussian", 2048);
            if from.info().can_quantize() {
                let faults = sum_faults(gpu, from, &quantized(from, &gaussian), &to);
                assert!(faults.is_empty(), "{variant}: {faults:#?}");
            }
        }
        let iq = Format::IQ2_XS;
        let mut blocks = random_blocks(iq, 4096);
        // Scales of 2^-4.
        blocks.chunks_mut(iq.info().block_bytes).for_each(|block| block[..2].copy_from_slice(&[0, 0x2c]));
        let faults = sum_faults(gpu, iq, &blocks, &[Format::Q2_K, Format::F16, Format::Q8_0]);
        assert!(faults.is_empty(), "{variant}: {faults:#?}");
    }
}

#[test]
fn error_sums_do_not_depend_on_chunks() {
    let Some(gpu) = gpu() else { return };
    // Blocks of 32 end within the last group, and of a chunk there are many.
    let weights = sample("heavy tails", 65536 + 32);
    let source = encoded(Format::BF16, &weights);
    let to = [Format::Q8_0, Format::Q4_0, Format::IQ4_NL, Format::BF16];
    let whole = Converter::new(gpu, 64 << 20).error_sums(Format::BF16, &source, &to).unwrap();
    let mut small = Converter::new(gpu, 40_000);
    let chunked = pollster::block_on(small.error_sums_async(Format::BF16, &source, &to)).unwrap();
    for ((whole, chunked), to) in whole.iter().zip(&chunked).zip(to) {
        assert!(same(whole, chunked), "{to}: {whole:?} and {chunked:?}");
        assert!(same(whole, &cpu::error_sums(Format::BF16, &source, to).unwrap()), "{to}");
    }
    // A converter still converts.
    let mut blocks = vec![0; Format::Q8_0.bytes_for(weights.len() as u64) as usize];
    small.convert(Format::BF16, &source, Format::Q8_0, &mut blocks).unwrap();
    assert_eq!(small.error_sums(Format::BF16, &source, &[]).unwrap(), []);
    assert_eq!(small.error_sums(Format::F32, &[], &to).unwrap(), [ErrorSums::default(); 4]);
}

#[test]
fn weights_that_are_not_finite_show_in_the_sums() {
    let Some(gpu) = gpu() else { return };
    let to: Vec<Format> = chosen().collect();
    for from in FLOATS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut weights = sample("gaussian", 1024);
            weights[700] = bad;
            let source = quantized(from, &weights);
            let sums = Converter::new(gpu, 1 << 20).error_sums(from, &source, &to).unwrap();
            for (sums, to) in sums.iter().zip(&to) {
                assert!(!sums.weight_squared.is_finite(), "{bad} of {from} to {to}: {sums:?}");
                assert_eq!(sums.relative(), f64::INFINITY, "{bad} of {from} to {to}: {sums:?}");
            }
        }
    }
}

#[test]
fn unsuitable_operands_are_refused() {
    let Some(gpu) = gpu() else { return };
    let storage = |bytes| buffer(gpu, &vec![0; bytes], BufferUsages::STORAGE);
    let (weights, result, short) = (storage(2048), storage(1024), storage(4));
    let prepare = |from, to, count, buffers: &RoundTripBuffers| {
        gpu.prepare_round_trip(from, to, count, buffers).map(|_| ()).unwrap_err()
    };
    let whole = wgpu::Buffer::as_entire_buffer_binding;
    let beside = RoundTripBuffers::new(whole(&weights), whole(&result));
    for (count, needed) in [(0, "1 to 4294967295"), (300, "a multiple of 256, the block of Q2_K")] {
        let error = prepare(Format::F32, Format::Q2_K, count, &beside).to_string();
        assert_eq!(error, format!("the number of weights is {count}, not {needed}"));
    }
    let error = prepare(Format::F32, Format::IQ2_XS, 256, &beside);
    assert!(matches!(error, Error::NotEncoded { format: Format::IQ2_XS }), "{error}");
    let error = prepare(Format::Q8_0, Format::Q2_K, 256, &beside);
    assert!(matches!(error, Error::NotEncoded { .. }), "{error}");
    let error = prepare(Format::F32, Format::Q2_K, 512, &beside);
    assert!(
        matches!(error, Error::ShortRange { name: "the result", needed_bytes: 2048, bytes: 1024 }),
        "{error}"
    );
    let error = prepare(Format::F32, Format::Q2_K, 256, &beside.clone().with_sums(whole(&short)));
    assert!(matches!(error, Error::ShortRange { name: "the sums", needed_bytes: 8, .. }), "{error}");
    // Parts of one buffer, which wgpu would refuse in the app's encoder.
    let half = wgpu::BufferBinding { buffer: &weights, offset: 1024, size: None };
    let error = prepare(Format::F32, Format::Q2_K, 256, &RoundTripBuffers::new(whole(&weights), half));
    assert!(
        error.to_string().ends_with("the weights and the result are in one buffer of a round trip"),
        "{error}"
    );
    let mut converter = Converter::new(gpu, 1 << 20);
    let error = converter.error_sums(Format::F32, &[0; 1200], &[Format::Q8_0, Format::Q2_K]).unwrap_err();
    assert_eq!(error.to_string(), "the number of weights is 300, not a multiple of 32, the block of Q8_0");
    let error = converter.error_sums(Format::F32, &[0; 1024], &[Format::IQ3_S]).unwrap_err();
    assert!(matches!(error, Error::NotEncoded { format: Format::IQ3_S }), "{error}");
}

/// Runs `compare` on a device with a fault in its shaders, which it must find.
fn assert_found(right: &'static str, wrong: &'static str, compare: impl Fn(&Gpu) -> bool) {
    let Some((gpu, planted)) = planting(wgpu::Features::empty(), right, wrong) else { return };
    assert!(!compare(&gpu), "not found: {wrong:?} for {right:?}");
    assert!(planted.load(Relaxed), "no shader has {right:?}");
}

#[test]
fn wrong_sums_are_found() {
    const FAULTS: [(&str, &str, &str, Format); 7] = [
        // Another order, another group, other lanes.
        ("add4(add4(v0, v2), add4(v1, v3))", "add4(add4(v0, v1), add4(v2, v3))", "gaussian", Format::Q8_0),
        ("add(add(v.x, v.z), add(v.y, v.w))", "add(add(v.x, v.y), add(v.z, v.w))", "gaussian", Format::Q8_0),
        (
            "sums3 = with_quad(sums3, quad + 3u)",
            "sums3 = with_quad(sums3, quad + 2u)",
            "gaussian",
            Format::Q4_K,
        ),
        ("i < 64u; i += 4u", "i < 60u; i += 4u", "gaussian", Format::Q4_K),
        // Squares that a device may flush, and numbers that are not finite.
        ("const LEAST = 0x20000000u", "const LEAST = 0x20800000u", "limits", Format::BF16),
        ("TOO_LARGE_WEIGHT = 0x47800000u", "TOO_LARGE_WEIGHT = TOO_LARGE", "infinite", Format::Q8_0),
        // Weights after the last.
        (
            "vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.weights)",
            "vec4<bool>(true)",
            "short",
            Format::Q8_0,
        ),
    ];
    for (right, wrong, kind, to) in FAULTS {
        let weights: Vec<f32> = match kind {
            "limits" => sample("gaussian", 1024).iter().map(|w| w * f32::powi(2.0, -56)).collect(),
            "infinite" => vec![f32::INFINITY; 256],
            "short" => sample("gaussian", 256 + 32),
            _ => sample(kind, 16384),
        };
        let from = if kind == "infinite" { Format::F16 } else { Format::F32 };
        let source = quantized(from, &weights);
        assert_found(right, wrong, |gpu| sum_faults(gpu, from, &source, &[to]).is_empty());
    }
}

#[test]
fn wrong_round_trips_are_found() {
    const FAULTS: [(&str, &str, Mode, &str); 6] = [
        ("&& !is_declined(quad / BLOCK_QUADS)", "", Mode::InPlace, "any exponent"),
        ("if (quad < params.count &&", "if (quad + 1u < params.count &&", Mode::InPlace, "gaussian"),
        ("if (quad < params.count &&", "if (quad <= params.count &&", Mode::InPlace, "gaussian"),
        ("declined[i] = 0u", "declined[i] |= 0u", Mode::InPlace, "gaussian"),
        ("result[i] = source[i]", "result[i] = source[i] + vec2<u32>(1u)", Mode::Beside, "any exponent"),
        // Sums of a group with a declined block.
        ("is_declined(block) ||", "", Mode::SumsAlone, "tiny"),
    ];
    for (right, wrong, mode, kind) in FAULTS {
        // The map of declined blocks ends with a bit that belongs to no block.
        let source = encoded(Format::F32, &sample(kind, 4096 - 32));
        assert_found(right, wrong, |gpu| {
            let result = check(gpu, Format::F32, Format::Q8_0, &source, mode);
            result.is_ok_and(|declined| (declined > 0) == (kind != "gaussian"))
        });
    }
}
