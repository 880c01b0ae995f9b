//! The GPU against ggml's own results, without the reference in between.

use super::{formats, variants};
use crate::golden::read;
use qmill::Format;
use qmill::gpu::Converter;

#[test]
fn gpu_blocks_are_those_of_ggml() {
    for (variant, gpu) in variants() {
        let mut converter = Converter::new(gpu, 16 << 20);
        let weights = read("blocks.f32");
        let encoders = formats().into_iter().filter(|format| format.info().can_quantize());
        for format in encoders.filter(|&format| format != Format::F32) {
            let expected = read(&format!("{format}.bin"));
            let mut found = vec![0xa5; expected.len()];
            converter.convert(Format::F32, &weights, format, &mut found).unwrap();
            assert!(found == expected, "{variant}: {format}");
        }
    }
}

#[test]
fn gpu_weights_are_those_of_ggml() {
    for (variant, gpu) in variants() {
        let mut converter = Converter::new(gpu, 16 << 20);
        for format in formats().into_iter().filter(|&format| format != Format::F32) {
            let (blocks, expected) = (read(&format!("{format}.bin")), read(&format!("{format}.f32")));
            let mut found = vec![0xa5; expected.len()];
            converter.convert(format, &blocks, Format::F32, &mut found).unwrap();
            assert!(found == expected, "{variant}: {format}");
        }
    }
}
