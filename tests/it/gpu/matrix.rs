//! Matrices on their way to the device and back: from the host, from buffers of the device, from files by
//! name.

use super::parity::{buffer, submit};
use super::product::{Case, cols};
use super::weights::{encoded, random_blocks, sample};
use super::{adapter, another_device, formats, gpu, in_turn, planting, variants};
use crate::support::{ModelFile, dequantized, gaussian, quantized};
use half::{bf16, f16};
use qmill::gpu::{Activations, Check, Matrix, Precision, QuantizeOptions, TensorOptions};
use qmill::wgpu::{self, BufferBinding, BufferUsages};
use qmill::{Error, Format, Gpu, cpu};
use std::sync::atomic::Ordering::Relaxed;

/// Rows and blocks in a row: one, awkward, and so that words are shared among rows.
const SHAPES: [(usize, usize); 4] = [(1, 1), (33, 3), (16, 2), (5, 9)];
const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];

/// A device whose buffers hold 32 KiB each.
fn of_small_buffers() -> Option<Gpu> {
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits { max_storage_buffer_binding_size: 32768, ..wgpu::Limits::default() },
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter()?.request_device(&descriptor)).unwrap();
    Some(Gpu::from_device(device, queue).unwrap())
}

/// A buffer with poison, `bytes` from byte `offset` on, and poison up to a word.
fn holding(gpu: &Gpu, bytes: &[u8], offset: usize) -> wgpu::Buffer {
    let mut all = vec![0xa5; offset];
    all.extend_from_slice(bytes);
    all.resize((offset + bytes.len()).next_multiple_of(4), 0xa5);
    buffer(gpu, &all, BufferUsages::STORAGE)
}

fn from(buffer: &wgpu::Buffer, offset: usize) -> BufferBinding<'_> {
    BufferBinding { buffer, offset: offset as u64, size: None }
}

/// Weights of every magnitude that quantizers treat in their own way, and of ones that they leave to the CPU;
/// none too large for a scale.
fn mixed(count: usize) -> Vec<f32> {
    let mut weights = gaussian(11, count);
    let unusual = sample("any exponent", count);
    for (i, weight) in weights.iter_mut().enumerate() {
        match i / 64 % 7 {
            2 => *weight = unusual[i].clamp(-60000.0, 60000.0),
            4 if i % 64 == 5 => *weight = 20000.0,
            5 => *weight = 0.0,
            _ => {}
        }
    }
    weights
}

#[test]
fn what_is_read_back_are_the_bytes_of_the_file() {
    for (variant, gpu) in variants() {
        for (f, format) in formats().into_iter().enumerate() {
            for (s, (rows, blocks)) in SHAPES.into_iter().enumerate() {
                let cols = cols(format, blocks);
                let bytes = random_blocks(format, rows * cols);
                let gpu = &in_turn(gpu, f + s);
                let matrix = Matrix::new(gpu, format, rows, cols, &bytes).unwrap();
                assert!(matrix.read().unwrap() == bytes, "{variant}: {format} {rows} x {cols}");
            }
        }
    }
}

#[test]
fn rows_are_read_back_from_any_on_and_from_blocks_as_in_a_file() {
    let Some(gpu) = gpu() else { return };
    for format in [Format::Q6_K, Format::MXFP4, Format::BF16] {
        let (rows, cols) = (40, cols(format, 3));
        let bytes = random_blocks(format, rows * cols);
        let row_bytes = bytes.len() / rows;
        let mut matrices = vec![Matrix::new(gpu, format, rows, cols, &bytes).unwrap()];
        if !format.is_float() {
            matrices.push(Matrix::as_in_file(gpu, format, rows, cols, &bytes).unwrap());
        }
        for matrix in matrices {
            for range in [0..1, 7..12, 39..40, 13..13] {
                let mut found = vec![0; range.len() * row_bytes];
                matrix.read_rows(range.clone(), &mut found).unwrap();
                assert!(
                    found == bytes[range.start * row_bytes..range.end * row_bytes],
                    "{format}: {range:?}"
                );
            }
            let message = |result: qmill::Result<()>| result.unwrap_err().to_string();
            let beyond = message(matrix.read_rows(39..41, &mut vec![0; 2 * row_bytes]));
            assert_eq!(beyond, "the row after the last to read is 41, not at most 40");
            let short = message(matrix.read_rows(0..2, &mut vec![0; row_bytes]));
            assert_eq!(short, format!("the number of bytes is {row_bytes}, not {}", 2 * row_bytes));
        }
    }
}

#[test]
fn several_buffers_are_filled_from_one_and_read_back() {
    let Some(gpu) = of_small_buffers() else { return };
    for (f, format) in formats().into_iter().enumerate() {
        let gpu = &in_turn(&gpu, f);
        // Some 80 KiB, in pieces and buffers that end within rows of words.
        let cols = cols(format, 5);
        let rows = 80_000 / format.bytes_for(cols as u64) as usize;
        let bytes = random_blocks(format, rows * cols);
        let matrix = Matrix::new(gpu, format, rows, cols, &bytes).unwrap();
        assert!(matrix.read().unwrap() == bytes, "{format}: {rows} x {cols}");
        let large = holding(gpu, &bytes, 0);
        let matrix = Matrix::from_buffer(gpu, format, rows, cols, &from(&large, 0)).unwrap();
        assert!(matrix.read().unwrap() == bytes, "{format}: {rows} x {cols} from a buffer");
    }
}

#[test]
fn blocks_on_the_device_become_the_same_matrix() {
    for (variant, gpu) in variants() {
        for (f, format) in formats().into_iter().enumerate() {
            for (s, (rows, blocks)) in SHAPES.into_iter().enumerate() {
                let (gpu, cols) = (&in_turn(gpu, f + s), cols(format, blocks));
                let bytes = random_blocks(format, rows * cols);
                let offset = [0, 256, 6, 131][s];
                let there = holding(gpu, &bytes, offset);
                let matrix = Matrix::from_buffer(gpu, format, rows, cols, &from(&there, offset)).unwrap();
                assert!(matrix.read().unwrap() == bytes, "{variant}: {format} {rows} x {cols} at {offset}");
            }
        }
    }
}

/// Quantizes on the device, from the host and from a buffer.
#[track_caller]
fn check_quantized(gpu: &Gpu, source: Format, rows: usize, cols: usize, bytes: &[u8], to: Format) {
    let expected = quantized(to, &dequantized(source, bytes));
    let what = format!("{source} to {to}, {rows} x {cols}");
    let matrix = Matrix::quantized(gpu, source, rows, cols, bytes, to).unwrap();
    assert!(matrix.read().unwrap() == expected, "{what}");
    let there = holding(gpu, bytes, 6);
    let matrix = Matrix::quantized_from_buffer(gpu, source, rows, cols, &from(&there, 6), to).unwrap();
    assert!(matrix.read().unwrap() == expected, "{what}, on the device");
}

#[test]
fn weights_are_quantized_where_they_are_with_the_bytes_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let encoders = || formats().into_iter().filter(|format| format.info().can_quantize());
    for (t, to) in encoders().enumerate() {
        for (s, source) in FLOATS.into_iter().enumerate() {
            let (rows, blocks) = SHAPES[1 + (s + t) % 3];
            let cols = cols(to, blocks);
            let bytes = encoded(source, &mixed(rows * cols));
            check_quantized(&in_turn(gpu, s + t), source, rows, cols, &bytes, to);
        }
        // From what is quantized already.
        let cols = 256;
        check_quantized(gpu, Format::Q8_0, 9, cols, &quantized(Format::Q8_0, &mixed(9 * cols)), to);
        check_quantized(gpu, Format::Q6_K, 3, cols, &quantized(Format::Q6_K, &gaussian(5, 3 * cols)), to);
    }
}

#[test]
fn weights_of_many_pieces_are_quantized_where_they_are() {
    let Some(gpu) = of_small_buffers() else { return };
    for (source, to, cols) in [
        (Format::F32, Format::Q4_K, 1280),
        (Format::F16, Format::Q8_0, 480),
        (Format::BF16, Format::F16, 321),
        (Format::F32, Format::F32, 77),
        (Format::Q8_0, Format::Q5_0, 480),
    ] {
        // A longer buffer is bound in pieces.
        let rows = 120_000 / source.bytes_for(cols as u64) as usize;
        let bytes = quantized(source, &mixed(rows * cols));
        check_quantized(&gpu, source, rows, cols, &bytes, to);
    }
}

/// Most blocks are left to the CPU, each alone: more than are read back one by one.
#[test]
fn many_blocks_that_are_declined_are_done_by_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols) = (96, 1024);
    let every_other = |i: usize, w: f32| if (i / 32).is_multiple_of(2) { w * 1e-12 } else { w };
    let weights: Vec<f32> =
        gaussian(5, rows * cols).into_iter().enumerate().map(|(i, w)| every_other(i, w)).collect();
    check_quantized(gpu, Format::F32, rows, cols, bytemuck::cast_slice(&weights), Format::Q8_0);
}

fn fault<T: std::fmt::Debug>(result: qmill::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn weights_that_are_not_finite_are_refused_with_their_place() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols) = (7, 512);
    let at = 5 * cols + 301;
    let both = |source: Format, bytes: &[u8], options: QuantizeOptions| {
        let host = Matrix::quantized(gpu, source, rows, cols, bytes, options.clone());
        let there = holding(gpu, bytes, 256);
        let on_device =
            Matrix::quantized_from_buffer(gpu, source, rows, cols, &from(&there, 256), options.clone());
        let (host, on_device) = (host.map(|_| ()), on_device.map(|_| ()));
        assert_eq!(host.as_ref().err().map(ToString::to_string), on_device.err().map(|e| e.to_string()));
        host
    };
    for to in [Format::Q4_0, Format::Q4_K, Format::F32, Format::F16, Format::BF16] {
        for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            for source in FLOATS {
                let mut weights = gaussian(2, rows * cols);
                weights[at] = value;
                let bytes = quantized(source, &weights);
                let expected = format!("blk.0: row 5, column 301 is {name}, not a finite number");
                let options = QuantizeOptions::new(to).with_name("blk.0");
                assert_eq!(fault(both(source, &bytes, options.clone())), expected, "{source} to {to}");
                assert!(both(source, &bytes, options.with_check(Check::Nothing)).is_ok(), "{source} to {to}");
            }
        }
    }

    // Too large for a scale or for f16. One of the first that a kernel takes, and one that it leaves to the
    // CPU.
    for (value, to, column) in [
        (9e5, Format::Q4_0, 288),
        (1e30, Format::Q4_0, 288),
        (7e4, Format::F16, 301),
        (-3e38, Format::Q8_0, 288),
        (1e7, Format::Q4_1, 288),
    ] {
        let mut weights = gaussian(2, rows * cols);
        weights[at] = value;
        let bytes: &[u8] = bytemuck::cast_slice(&weights);
        let expected =
            format!("the matrix: the weights from row 5, column {column} on are too large for {to}");
        assert_eq!(fault(both(Format::F32, bytes, to.into())), expected, "{value}");
        assert!(both(Format::F32, bytes, QuantizeOptions::new(to).with_check(Check::Nothing)).is_ok());
        // The largest that is not.
        weights[at] = 65000.0;
        assert!(both(Format::F32, bytemuck::cast_slice(&weights), to.into()).is_ok(), "{to}");
    }

    // A scale of blocks.
    let mut blocks = quantized(Format::Q8_0, &gaussian(2, rows * cols));
    blocks[34 * (5 * 16 + 9)..][..2].copy_from_slice(&0x7c00u16.to_le_bytes());
    let refused = Matrix::quantized(gpu, Format::Q8_0, rows, cols, &blocks, Format::Q4_0);
    let expected = "the matrix: the Q8_0 block at row 5, column 288 has a scale that is not a finite number";
    assert_eq!(fault(refused), expected);
    let refused = Matrix::quantized(gpu, Format::Q8_0, rows, cols, &blocks, Format::Q8_0);
    assert_eq!(fault(refused), expected);
    // On the device it is the weights that are looked at.
    let there = holding(gpu, &blocks, 0);
    let refused =
        Matrix::quantized_from_buffer(gpu, Format::Q8_0, rows, cols, &from(&there, 0), Format::Q4_0);
    assert!(matches!(refused, Err(Error::NotFinite { row: 5, .. })), "{refused:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(gpu) = gpu() else { return };
    let there = holding(gpu, &[0; 36], 0);
    let new = |format, rows, cols, offset| {
        fault(Matrix::from_buffer(gpu, format, rows, cols, &from(&there, offset)).map(|_| ()))
    };
    assert_eq!(new(Format::Q4_0, 0, 32, 0), "the number of rows is 0, not 1 to 4294967295");
    assert_eq!(new(Format::Q4_0, 1, 0, 0), "the number of columns is 0, not 1 to 4294967295");
    assert!(new(Format::Q4_0, 1, 33, 0).starts_with("the matrix: rows of 33 weights are no whole number"));
    assert_eq!(new(Format::Q4_0, 3, 32, 0), "the range for the weights has 36 bytes, 56 are needed");
    assert_eq!(new(Format::Q4_0, 2, 32, 4), "the range for the weights has 32 bytes, 36 are needed");
    let upload = buffer(gpu, &[0; 36], BufferUsages::empty());
    let unusable = fault(Matrix::from_buffer(gpu, Format::Q4_0, 2, 32, &from(&upload, 0)).map(|_| ()));
    assert!(unusable.starts_with("the buffer for the weights was made for COPY_"), "{unusable}");
    let no_encoder = Matrix::quantized(gpu, Format::F32, 1, 256, &[0; 1024], Format::IQ2_S).map(|_| ());
    assert_eq!(fault(no_encoder), "IQ2_S is not encoded by qmill yet");
}

#[test]
fn a_matrix_of_another_device_is_refused() {
    let (Some(gpu), Some((device, queue))) = (gpu(), another_device()) else { return };
    let there = Gpu::from_device(device.clone(), queue.clone()).unwrap();
    let case = Case::gaussian(Format::Q8_0, 4, 64);
    let matrix = case.matrix(&there);
    let expected = format!("the matrix is of another device than {}, which is to use it", gpu.name());
    let (x, mut y) = (vec![0.0; 64], vec![0.0; 4]);
    assert_eq!(fault(gpu.matmul(&matrix, Precision::Exact, &x, &mut y)), expected);
    assert_eq!(fault(gpu.matmul(&matrix, Precision::Int8, &x, &mut y)), expected);
    assert_eq!(fault(gpu.get_rows(&matrix, &[1], &mut vec![0.0; 64])), expected);
    let (x, y) = (holding(gpu, &[0; 256], 0), holding(gpu, &[0; 16], 0));
    let vectors = Activations::exact(from(&x, 0), 1, 64);
    assert_eq!(fault(gpu.prepare_matmul(&matrix, &vectors, None, &from(&y, 0))), expected);
    let experts = gpu.prepare_matmul_indexed(&matrix, 2, &vectors, &from(&x, 0), 1, &from(&y, 0));
    assert_eq!(fault(experts), expected);
    assert_eq!(fault(gpu.prepare_get_rows(&matrix, &from(&x, 0), &from(&x, 0), 1)), expected);
    // Another handle of the same device will do.
    let mut rows = vec![0.0; 64];
    Gpu::from_device(device, queue).unwrap().get_rows(&matrix, &[3], &mut rows).unwrap();
    assert_eq!(rows, case.weights[3 * 64..]);
}

#[test]
fn halves_are_taken_and_given_as_floats_are() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols) = (6, 96);
    let case = Case::gaussian(Format::Q8_0, rows, cols);
    let matrix = case.matrix(gpu);
    let x: Vec<f16> = gaussian(9, 2 * cols).into_iter().map(f16::from_f32).collect();
    let wide: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    let (mut expected, mut y, mut half_y) =
        (vec![0.0; 2 * rows], vec![0.0; 2 * rows], vec![bf16::ZERO; 2 * rows]);
    for precision in [Precision::Exact, Precision::Int8] {
        gpu.matmul(&matrix, precision, &wide, &mut expected).unwrap();
        gpu.matmul(&matrix, precision, &x, &mut y).unwrap();
        assert_eq!(y, expected);
        pollster::block_on(gpu.matmul_async(&matrix, precision, &x, &mut half_y)).unwrap();
        assert!(half_y.iter().zip(&expected).all(|(y, e)| *y == bf16::from_f32(*e)), "{half_y:?}");
    }
    let mut row = vec![f16::ZERO; cols];
    gpu.get_rows(&matrix, &[4], &mut row).unwrap();
    assert!(row.iter().zip(&case.weights[4 * cols..]).all(|(w, e)| *w == f16::from_f32(*e)));

    let half_matrix = Matrix::from_weights(gpu, 2, cols, &x, Format::Q4_0).unwrap();
    assert_eq!(half_matrix.read().unwrap(), quantized(Format::Q4_0, &wide));
    let copied = Matrix::from_weights(gpu, 2, cols, &x, Format::F16).unwrap();
    assert_eq!(copied.read().unwrap(), bytemuck::cast_slice::<_, u8>(&x));
}

/// A dense tensor, experts, a vector and integers.
fn model() -> qmill::gguf::Model {
    ModelFile::llama()
        .with_gaussian("dense", &[320, 60_000], Format::F16)
        .with_gaussian("experts", &[256, 6, 4], Format::Q4_K)
        .with_gaussian("float_experts", &[64, 6, 4], Format::F32)
        .with_gaussian("norm", &[64], Format::F32)
        .with_bytes("empty", &[64, 0], Format::F32, Vec::new())
        .with_bytes("numbers", &[4], qmill::gguf::TensorType::I32, vec![0; 16])
        .open()
}

#[test]
fn tensors_of_a_file_become_matrices_by_name() {
    let Some(gpu) = gpu() else { return };
    let model = model();
    let bytes_of = |name: &str| crate::support::tensor_bytes(&model, name);
    // More than one piece of 16 MiB.
    let dense = Matrix::from_gguf(gpu, &model, "dense").unwrap();
    assert_eq!((dense.rows(), dense.cols(), dense.format()), (60_000, 320, Format::F16));
    assert!(dense.read().unwrap() == bytes_of("dense"));
    let norm = Matrix::from_gguf(gpu, &model, "norm").unwrap();
    assert_eq!((norm.rows(), norm.cols()), (1, 64));
    let experts = Matrix::from_gguf(gpu, &model, "experts").unwrap();
    assert_eq!(experts.rows(), 24);
    assert!(experts.read().unwrap() == bytes_of("experts"));
    let one = TensorOptions::new().of_matrix(2);
    let expert = Matrix::from_gguf_with(gpu, &model, "experts", &one).unwrap();
    assert_eq!(expert.rows(), 6);
    assert!(expert.read().unwrap() == bytes_of("experts")[12 * 144..18 * 144]);

    let weights = dequantized(Format::F16, &bytes_of("dense"));
    let options = TensorOptions::new().quantized(Format::Q8_0);
    let dense = pollster::block_on(Matrix::from_gguf_async(gpu, &model, "dense", &options)).unwrap();
    assert!(dense.read().unwrap() == quantized(Format::Q8_0, &weights));
    let weights = dequantized(Format::F32, &bytes_of("float_experts"));
    let options = TensorOptions::new().quantized(Format::Q4_0).of_matrix(3);
    let expert = Matrix::from_gguf_with(gpu, &model, "float_experts", &options).unwrap();
    assert!(expert.read().unwrap() == quantized(Format::Q4_0, &weights[18 * 64..]));
}

#[test]
fn tensors_that_cannot_become_matrices_are_named() {
    let Some(gpu) = gpu() else { return };
    let model = model();
    let load = |name: &str, options: TensorOptions| {
        fault(Matrix::from_gguf_with(gpu, &model, name, &options).map(|_| ()))
    };
    let new = TensorOptions::new;
    assert_eq!(load("blk.0.ffn_up", new()), "test.gguf: there is no tensor \"blk.0.ffn_up\"");
    let integers = "the type of a tensor is \"I32 (of numbers)\"; qmill runs tensors of weights";
    assert_eq!(load("numbers", new()), integers);
    let empty = "the shape of a tensor is \"[64, 0] (of empty)\"; qmill runs tensors that are not empty";
    assert_eq!(load("empty", new()), empty);
    let beyond = "the number of a matrix is 4, not less than the 4 that experts has";
    assert_eq!(load("experts", new().of_matrix(4)), beyond);
    let uneven = "dense: rows of 320 weights are no whole number of Q4_K blocks of 256";
    assert_eq!(load("dense", new().quantized(Format::Q4_K)), uneven);

    // Of an expert, the place is that in the tensor.
    let mut weights = gaussian(1, 64 * 24);
    weights[64 * 20 + 33] = f32::NAN;
    let mut blocks = quantized(Format::Q8_0, &gaussian(1, 64 * 24));
    blocks[68 * 20 + 35] = 0x7e;
    let model = ModelFile::llama()
        .with("floats", &[64, 6, 4], Format::F32, &weights)
        .with_bytes("blocks", &[64, 6, 4], Format::Q8_0, blocks)
        .open();
    let load =
        |name: &str, options: TensorOptions| Matrix::from_gguf_with(gpu, &model, name, &options).map(|_| ());
    for options in
        [new(), new().quantized(Format::Q4_0), new().of_matrix(3), new().of_matrix(3).quantized(Format::Q4_0)]
    {
        let expected = "floats: row 20, column 33 is NaN, not a finite number";
        assert_eq!(fault(load("floats", options.clone())), expected);
        let expected = "blocks: the Q8_0 block at row 20, column 32 has a scale that is not a finite number";
        assert_eq!(fault(load("blocks", options.clone())), expected);
        assert!(load("floats", options.clone().with_check(Check::Nothing)).is_ok());
        assert!(load("blocks", options.of_matrix(2)).is_ok());
    }
}

#[test]
fn awaited_forms_do_the_same() {
    let Some(gpu) = gpu() else { return };
    let case = Case::gaussian(Format::Q4_K, 5, 256);
    let (rows, cols) = (case.rows, case.cols);
    let there = holding(gpu, &case.bytes, 0);
    let floats: &[u8] = bytemuck::cast_slice(&case.weights);
    let floats_there = holding(gpu, floats, 0);
    let again = quantized(Format::Q4_0, &case.weights);
    pollster::block_on(async {
        let new = Matrix::new_async(gpu, case.format, rows, cols, &case.bytes).await.unwrap();
        assert!(new.read_async().await.unwrap() == case.bytes);
        let copied = Matrix::from_buffer_async(gpu, case.format, rows, cols, &from(&there, 0)).await.unwrap();
        assert!(copied.read_async().await.unwrap() == case.bytes);
        let host = Matrix::quantized_async(gpu, Format::F32, rows, cols, floats, Format::Q4_0).await.unwrap();
        assert!(host.read_async().await.unwrap() == again);
        let range = from(&floats_there, 0);
        let device = Matrix::quantized_from_buffer_async(gpu, Format::F32, rows, cols, &range, Format::Q4_0);
        assert!(device.await.unwrap().read_async().await.unwrap() == again);
    });
}

/// A task may go from thread to thread while it is awaited.
#[test]
fn awaited_forms_can_be_sent() {
    fn check<T: Send>(_: T) {}
    // Compiled, not run.
    let unpolled = |gpu: &Gpu, there: &wgpu::Buffer, model: &qmill::gguf::Model, matrix: &Matrix| {
        check(Matrix::new_async(gpu, Format::F32, 1, 1, &[0; 4]));
        check(Matrix::from_weights_async(gpu, 1, 1, &[1.0], Format::F16));
        check(Matrix::quantized_from_buffer_async(gpu, Format::F32, 1, 1, &from(there, 0), Format::F16));
        check(Matrix::from_gguf_async(gpu, model, "x", &TensorOptions::new()));
        check(matrix.read_async());
    };
    assert_eq!(size_of_val(&unpolled), 0);
}

/// What a device has allocated, if it can tell.
fn allocated(gpu: &Gpu) -> Option<(u64, usize)> {
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let report = gpu.device().generate_allocator_report()?;
    Some((report.total_allocated_bytes, report.allocations.len()))
}

#[test]
fn matrices_and_operations_release_what_they_hold() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let case = Case::gaussian(Format::Q8_0, 512, 512);
    let floats: &[u8] = bytemuck::cast_slice(&case.weights);
    let work = |gpu: &Gpu| {
        let floats_there = holding(gpu, floats, 0);
        let matrices = [
            case.matrix(gpu),
            Matrix::quantized(gpu, Format::F32, 512, 512, floats, Format::Q4_K).unwrap(),
            Matrix::quantized_from_buffer(gpu, Format::F32, 512, 512, &from(&floats_there, 0), Format::Q6_K)
                .unwrap(),
        ];
        let (x, y) = (holding(gpu, &[0; 2048], 0), holding(gpu, &[0; 2048], 0));
        let vectors = Activations::int8(gpu, from(&x, 0), 1, 512).unwrap();
        let products =
            matrices.each_ref().map(|m| gpu.prepare_matmul(m, &vectors, None, &from(&y, 0)).unwrap());
        submit(gpu, |encoder| {
            for product in &products {
                product.record(encoder);
            }
        });
        (matrices, products)
    };
    for in_textures in [false, true] {
        let gpu = gpu.with_weights_in_textures(in_textures);
        // What products share, and codebooks, stay.
        drop(work(&gpu));
        let Some(before) = allocated(&gpu) else { return };
        for _ in 0..3 {
            let (matrices, products) = work(&gpu);
            let held = allocated(&gpu).unwrap();
            let bytes = matrices.iter().map(Matrix::device_bytes).sum::<u64>();
            assert!(held.0 >= before.0 + bytes, "{held:?} after {before:?}, for {bytes}");
            drop(matrices);
            // An operation keeps what it needs.
            let kept = allocated(&gpu).unwrap();
            assert!(kept.0 >= before.0 + bytes, "{kept:?} after {before:?}, for {bytes}");
            drop(products);
            assert_eq!(allocated(&gpu), Some(before));
        }
    }
}

/// Whether bytes go to the device and back as they should: rows that end within a word, from any byte on; and
/// weights that are too large are found.
fn is_right(gpu: &Gpu) -> bool {
    let (rows, cols) = (7, 33);
    let bytes = random_blocks(Format::F16, rows * cols);
    let there = holding(gpu, &bytes, 6);
    let matrix = Matrix::from_buffer(gpu, Format::F16, rows, cols, &from(&there, 6)).unwrap();
    let mut last = vec![0; 2 * cols];
    matrix.read_rows(6..7, &mut last).unwrap();
    let case = Case::gaussian(Format::Q8_0, 5, 96);
    let blocks = case.matrix(gpu).read().unwrap();
    // What follows a row on the device counts for products.
    let mut ones = vec![f16::ONE; rows * cols];
    for first in ones.iter_mut().step_by(2 * cols) {
        *first = f16::INFINITY;
    }
    let there = holding(gpu, bytemuck::cast_slice(&ones), 0);
    let ones = Matrix::from_buffer(gpu, Format::F16, rows, cols, &from(&there, 0)).unwrap();
    let mut y = vec![0.0; rows];
    gpu.matmul(&ones, Precision::Exact, &vec![1.0; cols], &mut y).unwrap();
    let mut weights = gaussian(4, 8 * 64);
    weights[3 * 64 + 40] = 9e5;
    let weights: &[u8] = bytemuck::cast_slice(&weights);
    let refused = Matrix::quantized(gpu, Format::F32, 8, 64, weights, Format::Q4_0);
    matrix.read().unwrap() == bytes
        && last == bytes[6 * 2 * cols..]
        && blocks == case.bytes
        && y.iter().skip(1).step_by(2).all(|y| *y == cols as f32)
        && matches!(refused, Err(Error::Overflow { row: 3, column: 32, .. }))
}

#[test]
fn a_fault_on_the_way_is_found() {
    let Some(gpu) = gpu() else { return };
    assert!(is_right(gpu));
    let faults = [
        // Reading back: the block of another row, another byte, another row.
        ("first_block(row) + at / BLOCK_BYTES", "at / BLOCK_BYTES"),
        ("at % BLOCK_BYTES)", "(at % BLOCK_BYTES) ^ 1u)"),
        ("params.start_row + i / row_bytes()", "i / row_bytes()"),
        // Rows that are copied: what comes after their end, and where what is bound begins.
        ("word &= (1u << (8u * rest)) - 1u;", ""),
        ("+ start - params.base)", "+ start)"),
        // A mark at another block, or at none.
        ("quad / params.block_quads", "quad"),
        ("> 0x46800000u", "> 0x7f900000u"),
    ];
    for (right, wrong) in faults {
        let Some((gpu, planted)) = planting(wgpu::Features::empty(), right, wrong) else { return };
        assert!(!is_right(&gpu), "{right} may be {wrong}");
        assert!(planted.load(Relaxed), "no shader has {right}");
    }
}

#[test]
fn slices_of_halves_are_the_formats_of_a_file() {
    let weights = sample("mixed scales", 4096);
    let f16_weights: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
    let brains: Vec<bf16> = weights.iter().map(|&w| bf16::from_f32(w)).collect();
    for format in formats() {
        let info = format.info();
        if info.can_quantize() {
            let of_file =
                |source: Format| quantized(format, &dequantized(source, &quantized(source, &weights)));
            let mut blocks = vec![0; format.bytes_for(4096) as usize];
            cpu::quantize(format, &f16_weights, &mut blocks).unwrap();
            assert!(blocks == of_file(Format::F16), "{format}");
            cpu::quantize(format, &brains, &mut blocks).unwrap();
            assert!(blocks == of_file(Format::BF16), "{format}");
        }
        // More than is converted at once.
        let blocks = Case::random(format, 70, 256).bytes;
        let wide = dequantized(format, &blocks);
        let (mut found, mut found_brains) = (vec![f16::ZERO; wide.len()], vec![bf16::ZERO; wide.len()]);
        cpu::dequantize(format, &blocks, &mut found).unwrap();
        cpu::dequantize(format, &blocks, &mut found_brains).unwrap();
        assert!(found.iter().zip(&wide).all(|(w, e)| *w == f16::from_f32(*e)), "{format}");
        assert!(found_brains.iter().zip(&wide).all(|(w, e)| *w == bf16::from_f32(*e)), "{format}");
        let x: Vec<f32> = f16_weights[..256].iter().map(|x| x.to_f32()).collect();
        let row = &blocks[..format.bytes_for(256) as usize];
        assert_eq!(cpu::dot(format, row, &f16_weights[..256]).unwrap(), cpu::dot(format, row, &x).unwrap());
        let (mut y, mut half_y) = ([0.0; 70], [bf16::ZERO; 70]);
        cpu::matmul(format, 70, 256, &blocks, &x, &mut y).unwrap();
        cpu::matmul(format, 70, 256, &blocks, &f16_weights[..256], &mut half_y).unwrap();
        assert!(half_y.iter().zip(y).all(|(y, e)| *y == bf16::from_f32(e)), "{format}");
        let mut row = vec![f16::ZERO; 256];
        cpu::get_rows(format, 70, 256, &blocks, &[69], &mut row).unwrap();
        assert_eq!(row, found[69 * 256..]);
    }
}
