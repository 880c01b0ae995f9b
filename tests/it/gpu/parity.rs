//! Every conversion kernel, on every format, equals the reference bit for bit.

use super::weights::{KINDS, encoded, random_blocks, sample};
use super::{formats, gpu, scaled, variants};
use qmill::gpu::{Converter, QuantizeBuffers, declined_bytes, device_bytes, scratch_bytes};
use qmill::wgpu::{self, BufferUsages};
use qmill::{Error, Format, Gpu, cpu};

const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];
/// 2 million weights of each format in all.
const WEIGHTS: usize = 2_000_000 / KINDS.len() / FLOATS.len() / 256 * 256;

fn encoders() -> impl Iterator<Item = Format> {
    formats().into_iter().filter(|format| format.info().can_quantize())
}

/// The reference's conversion from one format to another.
fn reference(from: Format, input: &[u8], to: Format) -> Vec<u8> {
    let weights = input.len() / from.info().block_bytes * from.info().block_weights;
    let mut decoded = vec![0.0; weights];
    cpu::dequantize(from, input, &mut decoded).unwrap();
    let mut output = vec![0; to.bytes_for(weights as u64) as usize];
    cpu::quantize(to, &decoded, &mut output).unwrap();
    output
}

/// A description of the first difference between two results.
fn first_difference(format: Format, found: &[u8], expected: &[u8]) -> Option<String> {
    let is_nan = |bytes: &[u8]| match (format, bytes.len()) {
        (Format::F32, 4) => f32::from_le_bytes(bytes.try_into().unwrap()).is_nan(),
        (Format::F16, 2) => u16::from_le_bytes(bytes.try_into().unwrap()) & 0x7fff > 0x7c00,
        _ => false,
    };
    let bytes = format.info().block_bytes;
    let mut pairs = found.chunks(bytes).zip(expected.chunks(bytes)).enumerate();
    let (block, (found, expected)) =
        pairs.find(|(_, (found, expected))| found != expected && !(is_nan(found) && is_nan(expected)))?;
    Some(format!("block {block}:\n   found {found:02x?}\nexpected {expected:02x?}"))
}

/// Compares a conversion with the reference; returns the number of declined weights.
pub(crate) fn check(
    converter: &mut Converter,
    from: Format,
    input: &[u8],
    to: Format,
) -> Result<u64, String> {
    let expected = reference(from, input, to);
    let mut found = vec![0xa5; expected.len()];
    let converted = converter.convert(from, input, to, &mut found).map_err(|error| error.to_string())?;
    match first_difference(to, &found, &expected) {
        None => Ok(converted.redone_weights),
        Some(difference) => Err(format!("{from} to {to}: {difference}")),
    }
}

#[test]
fn every_quantizer_equals_its_reference() {
    let mut faults = Vec::new();
    for (variant, gpu) in variants() {
        let mut converter = Converter::new(gpu, 256 << 20);
        for to in encoders() {
            for from in FLOATS.into_iter().filter(|&from| from != to) {
                for kind in KINDS {
                    let weights = encoded(from, &sample(kind, scaled(WEIGHTS)));
                    match check(&mut converter, from, &weights, to) {
                        Err(fault) => faults.push(format!("{variant}: {kind}: {fault}")),
                        // Kernels decline few weights of ordinary magnitude.
                        Ok(redone)
                            if from == Format::F16
                                && !["powers of two", "tiny", "any exponent"].contains(&kind)
                                && redone * 50 > weights.len() as u64 / 2 =>
                        {
                            faults.push(format!(
                                "{variant}: {kind}: {from} to {to}: {redone} weights were declined"
                            ));
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of these differ:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_dequantizer_equals_its_reference() {
    let mut faults = Vec::new();
    for (variant, gpu) in variants() {
        let mut converter = Converter::new(gpu, 256 << 20);
        for from in formats() {
            for to in [Format::F32, Format::F16].into_iter().filter(|&to| to != from) {
                // Random bits: scales of both signs, subnormal, infinite and NaN. Float to float is a
                // quantizer's work, which requires finite weights.
                if !from.is_float() {
                    let result = check(&mut converter, from, &random_blocks(from, scaled(65536)), to);
                    faults.extend(result.err().map(|fault| format!("{variant}: {fault}")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of these differ:\n{}", faults.len(), faults.join("\n"));
}

/// A buffer with these bytes.
pub(crate) fn buffer(gpu: &Gpu, bytes: &[u8], usage: BufferUsages) -> wgpu::Buffer {
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes.len() as u64,
        usage: usage | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

pub(crate) fn read(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<u8> {
    let readback = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &readback, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    readback.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    readback.get_mapped_range(..).unwrap().to_vec()
}

/// The offset of every binding: the largest alignment that WebGPU requires.
const OFFSET: u64 = 256;
const POISON: u8 = 0xa5;

/// A buffer of poison: `bytes` bytes, and the offset before and after.
pub(crate) fn poisoned(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    buffer(gpu, &vec![POISON; (OFFSET + bytes + OFFSET) as usize], BufferUsages::STORAGE)
}

/// The buffer from the offset on. What a kernel writes beyond its range is found by `within`.
pub(crate) fn binding(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    wgpu::BufferBinding { buffer, offset: OFFSET, size: None }
}

/// The bytes after the offset. Fails if anything around them changed.
pub(crate) fn within(all: &[u8], bytes: u64) -> Result<&[u8], String> {
    let (before, rest) = all.split_at(OFFSET as usize);
    let (result, after) = rest.split_at(bytes as usize);
    if before.iter().chain(after).all(|&byte| byte == POISON) {
        Ok(result)
    } else {
        Err("wrote outside of its range".to_owned())
    }
}

/// Removes the padding of blocks.
fn unpadded(format: Format, weights: u64, padded: &[u8]) -> Vec<u8> {
    let bytes = format.bytes_for(weights) as usize;
    if format.is_float() {
        return padded[..bytes].to_vec();
    }
    let info = format.info();
    let stride = info.block_bytes.next_multiple_of(4);
    padded.chunks(stride).flat_map(|block| &block[..info.block_bytes]).copied().collect()
}

pub(crate) fn submit(gpu: &Gpu, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}

/// Quantizes `blocks` blocks in ranges of poisoned buffers.
pub(crate) fn check_quantizer(gpu: &Gpu, from: Format, to: Format, blocks: u64) -> Result<(), String> {
    let weights = blocks * to.info().block_weights as u64;
    let mut source = encoded(from, &sample("heavy tails", weights as usize));
    let expected = reference(from, &source, to);
    let source_bytes = device_bytes(from, weights);
    source.resize(source_bytes as usize, 0);
    source.splice(..0, [POISON; OFFSET as usize]);
    let source = buffer(gpu, &source, BufferUsages::STORAGE);
    let sizes = [device_bytes(to, weights), declined_bytes(to, weights), scratch_bytes(to, weights)];
    let [block_bytes, declined_bytes, scratch_bytes] = sizes;
    let [block_buffer, declined, scratch] = &sizes.map(|bytes| poisoned(gpu, bytes));
    let buffers =
        QuantizeBuffers::new(binding(&source), binding(block_buffer), binding(declined), binding(scratch));
    let op = gpu.prepare_quantize(from, to, weights, &buffers).map_err(|error| error.to_string())?;
    submit(gpu, |encoder| {
        encoder.clear_buffer(declined, OFFSET, Some(declined_bytes));
        op.record(encoder);
    });
    let (found, bits) = (read(gpu, block_buffer), read(gpu, declined));
    within(&read(gpu, scratch), scratch_bytes)?;
    if within(&bits, declined_bytes)?.iter().any(|&byte| byte != 0) {
        return Err(format!("declined {bits:02x?}"));
    }
    let found = unpadded(to, weights, within(&found, block_bytes)?);
    first_difference(to, &found, &expected).map_or(Ok(()), Err)
}

/// Dequantizes `blocks` blocks in ranges of poisoned buffers.
pub(crate) fn check_dequantizer(gpu: &Gpu, from: Format, to: Format, blocks: u64) -> Result<(), String> {
    let info = from.info();
    let weights = blocks * info.block_weights as u64;
    let input = random_blocks(from, weights as usize);
    let expected = reference(from, &input, to);
    let mut padded = vec![POISON; OFFSET as usize];
    // Blocks of less than a word are not padded.
    for block in input.chunks(info.block_bytes.max(4)) {
        padded.extend(block);
        padded.resize(padded.len().next_multiple_of(4), POISON);
    }
    padded.resize((OFFSET + device_bytes(from, weights)) as usize, POISON);
    let input = buffer(gpu, &padded, BufferUsages::STORAGE);
    let result_bytes = device_bytes(to, weights);
    let result = poisoned(gpu, result_bytes);
    let (from_range, to_range) = (binding(&input), binding(&result));
    let op = gpu
        .prepare_dequantize(from, to, weights, &from_range, &to_range)
        .map_err(|error| error.to_string())?;
    submit(gpu, |encoder| op.record(encoder));
    let found = read(gpu, &result);
    let found = unpadded(to, weights, within(&found, result_bytes)?);
    first_difference(to, &found, &expected).map_or(Ok(()), Err)
}

/// Counts of blocks: one, a workgroup less or more than full, and odd ones.
const BLOCKS: [u64; 6] = [1, 2, 3, 63, 65, 131];

#[test]
fn quantizers_keep_to_their_buffers() {
    for (variant, gpu) in variants() {
        for to in encoders() {
            for from in FLOATS.into_iter().filter(|&from| from != to) {
                for blocks in BLOCKS {
                    let result = check_quantizer(gpu, from, to, blocks);
                    assert_eq!(result, Ok(()), "{variant}: {from} to {to}, {blocks} blocks");
                }
            }
        }
    }
}

#[test]
fn dequantizers_keep_to_their_buffers() {
    for (variant, gpu) in variants() {
        for from in formats() {
            for to in [Format::F32, Format::F16].into_iter().filter(|&to| to != from) {
                for blocks in BLOCKS {
                    let result = check_dequantizer(gpu, from, to, blocks);
                    assert_eq!(result, Ok(()), "{variant}: {from} to {to}, {blocks} blocks");
                }
            }
        }
    }
}

#[test]
fn ranges_that_are_too_short_are_refused() {
    let Some(gpu) = gpu() else { return };
    let (weights, from, to) = (256, Format::F16, Format::Q8_0);
    let right = [device_bytes(from, weights), device_bytes(to, weights), declined_bytes(to, weights), 4];
    for short in 0..3 {
        let ranges: Vec<_> = (0..4)
            .map(|i| {
                buffer(
                    gpu,
                    &vec![0; (right[i] - if i == short { 4 } else { 0 }).max(4) as usize],
                    BufferUsages::STORAGE,
                )
            })
            .collect();
        let [source, blocks, declined, scratch] = [0, 1, 2, 3].map(|i| ranges[i].as_entire_buffer_binding());
        let buffers = QuantizeBuffers::new(source, blocks, declined, scratch);
        let result = gpu.prepare_quantize(from, to, weights, &buffers).map(|_| ());
        // The bitmap of 8 blocks is one word, which cannot be shorter.
        let expected = if short == 2 { None } else { Some(right[short]) };
        let needed = match result {
            Ok(()) => None,
            Err(Error::ShortRange { needed_bytes, .. }) => Some(needed_bytes),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(needed, expected);
    }
}
