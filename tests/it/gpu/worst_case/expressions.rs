//! The pass changes every expression that a compiler may change, and no other.

use super::{at_worst, device};
use qmill::wgpu::util::{BufferInitDescriptor, DeviceExt};
use qmill::wgpu::{self, BufferUsages};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// An expression of a, b and c, and its value with each operation rounded separately.
type Case = (&'static str, fn(f32, f32, f32) -> f32);

/// Expressions that change if a compiler sees through `seen`.
const OPEN: [Case; 16] = [
    ("seen(a * b) + c", |a, b, c| a * b + c),
    ("c + seen(a * b)", |a, b, c| a * b + c),
    ("c - seen(a * b)", |a, b, c| c - a * b),
    ("c - -seen(a * b)", |a, b, c| a * b + c),
    ("abs(seen(a * b)) - c", |a, b, c| (a * b).abs() - c),
    ("seen(a * b) * c", |a, b, c| a * b * c),
    ("seen(a + b) + c", |a, b, c| (a + b) + c),
    ("c + seen(a - b)", |a, b, c| (a - b) + c),
    ("select(a, seen(a * b), c > 0.0) + c", |a, b, c| a * b + c),
    ("(seen(a * b) * vec3<f32>(1.0, 2.0, 4.0)).zx.y + c", |a, b, c| a * b + c),
    ("dot_of(vec2<f32>(a, b), vec2<f32>(c, a))", |a, b, c| a * c + b * a),
    ("Pair(seen(a * b), 1u).value + c", |a, b, c| a * b + c),
    ("in_loop(a, b, c)", |a, b, c| ((c + a * b) + a * b) + a * b),
    ("of_variable(a, b) + c", |a, b, c| a * b + c),
    // A compiler sees through a bitcast there and back.
    ("bitcast<f32>(bitcast<u32>(seen(a * b))) + c", |a, b, c| a * b + c),
    ("sqrt(a) * 0.0 + seen(a * b) + c", |a, b, c| a * b + c),
];

/// Expressions that no compiler may change, except for the sign of zero.
const CLOSED: [Case; 8] = [
    ("a * b", |a, b, _| a * b),
    ("(a + b) * c", |a, b, c| (a + b) * c),
    ("round(a * b)", |a, b, _| (a * b).round_ties_even()),
    ("max(a * b, c)", |a, b, c| (a * b).max(c)),
    ("select(1.0, 2.0, a * b < c)", |a, b, c| if a * b < c { 2.0 } else { 1.0 }),
    ("f32(i32(a * b))", |a, b, _| (a * b).trunc()),
    ("(a * 0.25) * b", |a, b, _| a * 0.25 * b),
    ("fract_of_product(a, b)", |a, b, _| a * b - (a * b).floor()),
];

const KERNEL: &str = "
@group(0) @binding(0) var<uniform> zero: u32;
@group(0) @binding(1) var<storage, read> operands: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> results: array<f32>;

struct Pair { value: f32, other: u32 }

fn opaque(v: f32) -> f32 { return bitcast<f32>(bitcast<u32>(v) + zero); }
fn seen(v: f32) -> f32 { return SEEN; }
fn dot_of(v: vec2<f32>, w: vec2<f32>) -> f32 {
  let products = v * w;
  return seen(products.x) + opaque(products.y);
}
fn in_loop(a: f32, b: f32, c: f32) -> f32 {
  var sum = c;
  for (var i = 0u; i < 3u; i++) { sum = opaque(sum + seen(a * b)); }
  return sum;
}
fn of_variable(a: f32, b: f32) -> f32 {
  var pair: Pair;
  if (a > 0.0) { pair.value = seen(a * b); }
  return pair.value;
}
fn fract_of_product(a: f32, b: f32) -> f32 {
  let product = opaque(a * b);
  return product - floor(product);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let a = operands[id.x].x;
  let b = operands[id.x].y;
  let c = operands[id.x].z;
  results[id.x] = EXPRESSION;
}
";

const COUNT: usize = 1024;

/// Runs a kernel on each three operands.
fn run(device: &wgpu::Device, queue: &wgpu::Queue, wgsl: String, operands: &[[f32; 4]]) -> Vec<f32> {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(wgsl.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffer = |contents: &[u8], usage| {
        device.create_buffer_init(&BufferInitDescriptor { label: None, contents, usage })
    };
    let zeros = [0; 4 * COUNT];
    let results = buffer(&zeros, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let readback = buffer(&zeros, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    let zero = buffer(&[0; 16], BufferUsages::UNIFORM);
    let operands = buffer(bytemuck::cast_slice(operands), BufferUsages::STORAGE);
    let buffers = [&zero, &operands, &results];
    let entries = buffers.into_iter().zip(0..);
    let entries = entries
        .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries.collect::<Vec<_>>(),
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bind_group, &[]);
    pass.dispatch_workgroups(COUNT as u32 / 64, 1, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(&results, 0, &readback, 0, results.size());
    queue.submit([encoder.finish()]);
    readback.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    bytemuck::pod_collect_to_vec(&readback.get_mapped_range(..).unwrap())
}

/// How many worst-case results differ from IEEE 754.
fn changed(device: &(wgpu::Device, wgpu::Queue), case: Case, seen: &str) -> usize {
    let (expression, expected) = case;
    let mut random = StdRng::seed_from_u64(1);
    let mut operand = || random.random_range(0.5f32..8.0);
    let operands: Vec<[f32; 4]> = (0..COUNT).map(|_| [operand(), operand(), operand(), 0.0]).collect();
    // This `opaque` changes nothing, but makes every kernel use the zero.
    let wgsl = KERNEL.replace("SEEN", seen).replace("EXPRESSION", &format!("opaque({expression})"));
    let results = run(&device.0, &device.1, at_worst(&wgsl), &operands);
    let expected = operands.iter().map(|&[a, b, c, _]| expected(a, b, c));
    results.into_iter().zip(expected).filter(|(found, expected)| found != expected).count()
}

#[test]
fn worst_case_changes_what_a_compiler_may_change() {
    let Some(device) = device() else { return };
    for case in OPEN {
        assert!(changed(&device, case, "v") > COUNT / 50, "{} is as it was", case.0);
    }
}

#[test]
fn worst_case_does_not_change_what_passes_through_an_integer() {
    let Some(device) = device() else { return };
    for case in OPEN {
        assert_eq!(changed(&device, case, "opaque(v)"), 0, "{}", case.0);
    }
    for case in CLOSED {
        assert_eq!(changed(&device, case, "v"), 0, "{}", case.0);
    }
}

#[test]
fn worst_case_quotients_and_roots_are_inexact_and_subnormals_zero() {
    let Some(device) = device() else { return };
    let cases: [Case; 4] = [
        ("a / b", |a, b, _| a / b),
        ("sqrt(a)", |a, _, _| a.sqrt()),
        ("(a * 0x1p-100) * 0x1p-29", |a, _, _| a * f32::powi(2.0, -100) * f32::powi(2.0, -29)),
        ("bitcast<f32>(bitcast<u32>(a) >> 9u) * 0x1p+100", |a, _, _| {
            f32::from_bits(a.to_bits() >> 9) * f32::powi(2.0, 100)
        }),
    ];
    for case in cases {
        assert!(changed(&device, case, "v") > COUNT / 2, "{} is as it was", case.0);
    }
}
