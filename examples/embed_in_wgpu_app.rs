//! Runs a product on the device of an app, in its compute pass, between its own work, without waiting.

use qmill::gpu::{Activations, GpuOptions, Matrix};
use qmill::wgpu::{self, BufferUsages, util::DeviceExt};
use qmill::{Format, Gpu};

/// The app's own work, before and after the product.
const SHADER: &str = "@group(0) @binding(0) var<storage, read_write> v: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { v[id.x] += 1.0; }";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The app has a device.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
    let Ok(adapter) = adapter else { return Ok(()) };
    // The features and limits that qmill can use; an app adds its own.
    let descriptor = Gpu::device_descriptor(&adapter);
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let subgroup = wgpu::Features::SUBGROUP;
    assert_eq!(device.features().contains(subgroup), adapter.features().contains(subgroup));
    let source = wgpu::ShaderSource::Wgsl(SHADER.into());
    let module = &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let (label, layout, entry_point, cache) = (None, None, None, None);
    let compilation_options = wgpu::PipelineCompilationOptions::default();
    let descriptor =
        wgpu::ComputePipelineDescriptor { label, layout, module, entry_point, compilation_options, cache };
    let pipeline = device.create_compute_pipeline(&descriptor);
    let buffer_of = |len| {
        let (contents, usage) = (&vec![0; 4 * len][..], BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        let descriptor = wgpu::util::BufferInitDescriptor { label, contents, usage };
        let buffer = device.create_buffer_init(&descriptor);
        let entries = &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }];
        let layout = &pipeline.get_bind_group_layout(0);
        (device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries }), buffer)
    };

    // qmill gets the device, the adapter for its matrix units, and weights.
    let gpu = Gpu::from_device_with(device.clone(), queue.clone(), GpuOptions::new().adapter(&adapter))?;
    let (rows, cols) = (256, 512);
    let weights: Vec<u8> = (0..rows * cols).flat_map(|i| (i as f32).sin().to_le_bytes()).collect();
    let matrix = Matrix::quantized(&gpu, Format::F32, rows, cols, &weights, Format::Q4_K)?;
    let ((x_group, x), (y_group, y)) = (buffer_of(cols), buffer_of(rows));
    let vectors = Activations::exact(x.as_entire_buffer_binding(), 1, cols);
    let product = gpu.prepare_matmul(&matrix, &vectors, None, &y.as_entire_buffer_binding())?;

    // One pass: x + 1, W·x, and 1 more.
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    let app_work = |pass: &mut wgpu::ComputePass, group: &wgpu::BindGroup, len: usize| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(len as u32 / 64, 1, 1);
    };
    app_work(&mut pass, &x_group, cols);
    product.record_in(&mut pass);
    app_work(&mut pass, &y_group, rows);
    drop(pass);
    queue.submit([encoder.finish()]);
    wgpu::util::DownloadBuffer::read_buffer(&device, &queue, &y.slice(..), |result| match result {
        Ok(y) => println!("W·x + 1 begins with {:.3?}", &bytemuck::cast_slice::<u8, f32>(&y)[..4]),
        Err(error) => println!("{error}"),
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(())
}
