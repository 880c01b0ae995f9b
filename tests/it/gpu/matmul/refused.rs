//! Operands of products that do not fit.

use crate::gpu::gpu;
use crate::gpu::parity::buffer;
use crate::gpu::product::Case;
use qmill::gpu::{Activations, Precision};
use qmill::wgpu::{BufferBinding, BufferUsages};
use qmill::{Error, Format};

#[test]
fn matmul_operands_that_do_not_fit_are_refused() {
    let Some(gpu) = gpu() else { return };
    let message = |result: qmill::Result<()>| result.unwrap_err().to_string();
    let matrix = Case::gaussian(Format::Q4_0, 4, 32).matrix(gpu);
    let matmul =
        |x: usize, y: usize| message(gpu.matmul(&matrix, Precision::Exact, &vec![0.0; x], &mut vec![0.0; y]));
    assert_eq!(
        matmul(31, 4),
        "the length of x is 31, not 32, the columns of the matrix, or a multiple of it"
    );
    assert_eq!(
        matmul(33, 4),
        "the length of x is 33, not 32, the columns of the matrix, or a multiple of it"
    );
    assert_eq!(matmul(64, 4), "the length of y is 4, not 8");

    let [right, short] = [512, 8].map(|bytes| buffer(gpu, &vec![0; bytes], BufferUsages::STORAGE));
    let copy_only = buffer(gpu, &[0; 512], BufferUsages::empty());
    let at = |buffer, offset| BufferBinding { buffer, offset, size: None };
    let prepare = |x: &Activations, bias: Option<&BufferBinding>, y: &BufferBinding| {
        gpu.prepare_matmul(&matrix, x, bias, y).map(|_| ())
    };
    let exact = |buffer| Activations::exact(at(buffer, 0), 1, 32);
    let (x, y) = (exact(&right), at(&right, 0));
    let none = Activations::exact(at(&right, 0), 0, 32);
    assert_eq!(message(prepare(&none, None, &y)), "the number of vectors is 0, not 1 to 4294967295");
    let other = Activations::exact(at(&right, 0), 1, 64);
    assert_eq!(message(prepare(&other, None, &y)), "the length of a vector is 64, not 32");
    assert_eq!(message(prepare(&exact(&short), None, &y)), "the range for x has 8 bytes, 128 are needed");
    assert_eq!(message(prepare(&x, None, &at(&short, 0))), "the range for y has 8 bytes, 16 are needed");
    let short_bias = message(prepare(&x, Some(&at(&short, 0)), &y));
    assert_eq!(short_bias, "the range for the bias has 8 bytes, 16 are needed");
    let misaligned = prepare(&x, None, &at(&right, 4));
    assert!(matches!(misaligned, Err(Error::Misaligned { name: "y", offset: 4, .. })), "{misaligned:?}");
    let beyond = message(prepare(&x, None, &at(&right, 1 << 20)));
    assert_eq!(beyond, "the range for y has 0 bytes, 16 are needed");
    let usage = message(prepare(&x, None, &at(&copy_only, 0)));
    assert_eq!(usage, "the buffer for y was made for COPY_SRC and COPY_DST, not for STORAGE");

    let int8 = |buffer, batch, cols| Activations::int8(gpu, at(buffer, 0), batch, cols).map(|_| ());
    assert_eq!(message(int8(&right, 0, 32)), "the number of vectors is 0, not 1 to 4294967295");
    assert_eq!(message(int8(&right, 1, 33)), "the number of columns is 33, not a multiple of 32");
    assert_eq!(message(int8(&right, 1, 0)), "the number of columns is 0, not a multiple of 32");
    assert_eq!(message(int8(&short, 1, 32)), "the range for x has 8 bytes, 128 are needed");
    assert!(matches!(int8(&copy_only, 1, 32), Err(Error::Usage { name: "x", .. })));
}
