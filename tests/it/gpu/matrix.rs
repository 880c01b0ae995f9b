//! Matrices: created from the host, from buffers of the device and from files, and read back.

mod async_forms;
mod can_fail;
mod f16_slices;
mod from_gguf;
mod quantized;
mod read_back;
mod refused;
mod release;

use super::parity::buffer;
use qmill::wgpu::{self, BufferBinding, BufferUsages};
use qmill::{Format, Gpu};

/// Rows, and blocks in a row: single, odd, and such that rows share words.
const SHAPES: [(usize, usize); 4] = [(1, 1), (33, 3), (16, 2), (5, 9)];
const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];

/// A buffer with `bytes` at `offset`, poison before them and up to a whole word after.
fn holding(gpu: &Gpu, bytes: &[u8], offset: usize) -> wgpu::Buffer {
    let mut all = vec![0xa5; offset];
    all.extend_from_slice(bytes);
    all.resize((offset + bytes.len()).next_multiple_of(4), 0xa5);
    buffer(gpu, &all, BufferUsages::STORAGE)
}

fn from(buffer: &wgpu::Buffer, offset: usize) -> BufferBinding<'_> {
    BufferBinding { buffer, offset: offset as u64, size: None }
}

fn fault<T: std::fmt::Debug>(result: qmill::Result<T>) -> String {
    result.unwrap_err().to_string()
}
