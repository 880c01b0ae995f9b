//! Tensors of a GGUF file as matrices.

use super::fault;
use crate::gpu::gpu;
use crate::support::{ModelFile, dequantized, gaussian, quantized};
use qmill::Format;
use qmill::gpu::{Check, Matrix, TensorOptions};

/// A file with a dense tensor, experts, a vector and integers.
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
    // More than one chunk of 16 MiB.
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

    // For an expert, errors name the row in the tensor.
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
