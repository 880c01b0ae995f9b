//! An app's own kernels beside the library's.

use super::gpu;
use crate::support::quantized;
use qmill::gpu::{Access, Activations, Kernel, Matrix};
use qmill::wgpu::util::DeviceExt;
use qmill::wgpu::{self, Buffer, BufferUsages};
use qmill::{Error, Format, Gpu};

const ADD: &str = "
    @group(0) @binding(0) var<uniform> number: vec4<f32>;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(32)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x < arrayLength(&x)) { y[id.x] = x[id.x] + number.x; }
    }";

fn buffer(gpu: &Gpu, contents: &[f32], usage: BufferUsages) -> Buffer {
    gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(contents),
        usage,
    })
}

/// A kernel before a product and one after it, in one pass.
#[test]
fn kernels_of_an_app_and_products_share_a_pass() {
    let Some(gpu) = gpu() else { return };
    let kernel = Kernel::new(gpu, "add", ADD, &[Access::Read, Access::ReadWrite]).unwrap();
    let both = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let number = buffer(gpu, &[10.0, 0.0, 0.0, 0.0], BufferUsages::UNIFORM);
    let x = buffer(gpu, &[1.0; 64], both);
    let [more, y, result] = [64, 3, 3].map(|length| buffer(gpu, &vec![0.0; length], both));
    let bytes = quantized(Format::F32, &(0..3 * 64).map(|i| (i / 64) as f32).collect::<Vec<_>>());
    let matrix = Matrix::new(gpu, Format::F32, 3, 64, &bytes).unwrap();
    let binding = Buffer::as_entire_buffer_binding;
    let before = kernel.prepare(&binding(&number), &[binding(&x), binding(&more)], [2, 1, 1]).unwrap();
    let product =
        gpu.prepare_matmul(&matrix, &Activations::exact(binding(&more), 1, 64), None, &binding(&y)).unwrap();
    let after = kernel.prepare(&binding(&number), &[binding(&y), binding(&result)], [1, 1, 1]).unwrap();
    for _ in 0..2 {
        let readback = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 12,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for op in [&before, &product, &after] {
                op.record_in(&mut pass);
            }
        }
        encoder.copy_buffer_to_buffer(&result, 0, &readback, 0, 12);
        let mut found = [0f32; 3];
        gpu.submit_and_read(encoder, &readback, bytemuck::cast_slice_mut(&mut found)).unwrap();
        assert_eq!(found, [10.0, 714.0, 1418.0]);
    }
}

#[test]
fn kernels_that_cannot_be_prepared_are_refused() {
    let Some(gpu) = gpu() else { return };
    let access = [Access::Read, Access::ReadWrite];
    let invalid = Kernel::new(gpu, "add", &ADD.replace("x[id.x] +", "nothing +"), &access);
    assert!(matches!(invalid, Err(Error::Device { .. })));
    let unbound = Kernel::new(gpu, "add", ADD, &[Access::Read]);
    assert!(matches!(unbound, Err(Error::Device { .. })));

    let kernel = Kernel::new(gpu, "add", ADD, &access).unwrap();
    let number = buffer(gpu, &[0.0; 4], BufferUsages::UNIFORM);
    let [x, y] = [0, 1].map(|_| buffer(gpu, &[0.0; 64], BufferUsages::STORAGE));
    let (number, x, y) =
        (number.as_entire_buffer_binding(), x.as_entire_buffer_binding(), y.as_entire_buffer_binding());
    let prepare = |uniform, storage: &[_], groups| kernel.prepare(uniform, storage, groups).map(|_| ());
    let few = prepare(&number, std::slice::from_ref(&x), [1, 1, 1]);
    assert!(matches!(few, Err(Error::Number { found: 1, .. })));
    let many = prepare(&number, &[x.clone(), y.clone()], [1, 65_536, 1]);
    assert!(matches!(many, Err(Error::Number { found: 65_536, .. })));
    assert!(matches!(prepare(&x, &[x.clone(), y.clone()], [1, 1, 1]), Err(Error::Usage { .. })));
    assert!(matches!(prepare(&number, &[x.clone(), number.clone()], [1, 1, 1]), Err(Error::Usage { .. })));
    let odd = wgpu::BufferBinding { offset: 4, ..y.clone() };
    assert!(matches!(prepare(&number, &[x.clone(), odd], [1, 1, 1]), Err(Error::Misaligned { .. })));
    prepare(&number, &[x.clone(), y.clone()], [1, 1, 1]).unwrap();
}
