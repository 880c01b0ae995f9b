//! Failures of a run: weights that are not finite or too large, sources and outputs that fail, a caller who
//! cancels. The run ends and reports the first failure.

use super::{by_name, copy, go_on, in_time, least_memory_bytes, pure, resources, write};
use crate::support::{ModelFile, gaussian, quantized};
use qmill::Format::{self, BF16, F16, F32, Q4_K, Q6_K, Q8_0};
use qmill::error::RequestFault;
use qmill::gguf::{Model, ReadAt, TensorType};
use qmill::mix::FileType;
use qmill::stream::{Plan, Request, Resources};
use qmill::{Error, Result};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NAME: &str = "blk.0.attn_q.weight";
const COLUMNS: usize = 256;
const ROWS: usize = 200;

/// A model with a tensor of 200 rows of 256 in `format` between two valid ones, with `values` at these
/// weights.
fn with_values(format: Format, values: &[(usize, f32)]) -> ModelFile {
    let mut bytes = quantized(format, &gaussian(5, COLUMNS * ROWS));
    let weight_bytes = format.info().block_bytes;
    for &(weight, value) in values {
        let stored = &mut bytes[weight * weight_bytes..][..weight_bytes];
        match format {
            F32 => stored.copy_from_slice(&value.to_le_bytes()),
            // The bits of an f16 or bf16 are constants, because the conversion is what is tested.
            F16 => stored.copy_from_slice(&half_bits(value, 0x7c00, 0x7e00).to_le_bytes()),
            _ => stored.copy_from_slice(&half_bits(value, 0x7f80, 0x7fc0).to_le_bytes()),
        }
    }
    ModelFile::llama()
        .with_gaussian("token_embd.weight", &[COLUMNS as u64, 50], F16)
        .with_bytes(NAME, &[COLUMNS as u64, ROWS as u64], format, bytes)
        .with_gaussian("blk.1.attn_q.weight", &[COLUMNS as u64, 50], F16)
}

fn half_bits(value: f32, infinity: u16, nan: u16) -> u16 {
    let sign = u16::from(value.is_sign_negative()) << 15;
    sign | if value.is_nan() { nan } else { infinity }
}

/// Resources with many batches and with one, with one worker and with several.
fn all_resources(model: &Model, request: &Request) -> [Resources; 4] {
    let least = least_memory_bytes(model, &Plan::new(model, request).unwrap());
    [resources(1, least), resources(3, 7 * least), resources(1, 256 << 20), resources(4, 256 << 20)]
}

#[test]
fn a_weight_that_is_no_number_is_named_by_row_and_column() {
    for format in [F32, F16, BF16] {
        for weight in [0, 255, 256, 100 * COLUMNS + 77, ROWS * COLUMNS - 1] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let model = with_values(format, &[(weight, value)]).open();
                for request in [copy(), by_name(FileType::Q8_0, "attn_q", Q4_K)] {
                    for resources in all_resources(&model, &request) {
                        let error = write(&model, &request, &resources).unwrap_err();
                        let Error::NotFinite { tensor, row, column, value: found } = &error else {
                            panic!("{error}")
                        };
                        assert_eq!(tensor, NAME);
                        assert_eq!((*row as usize, *column as usize), (weight / COLUMNS, weight % COLUMNS));
                        assert_eq!(found.is_nan(), value.is_nan(), "{found}");
                        assert!(value.is_nan() || *found == value, "{found}");
                    }
                }
            }
        }
    }
}

/// Numbers that are not weights are copied, and checked too.
#[test]
fn a_double_that_is_no_number_is_named() {
    let mut numbers = vec![1.5f64; 7 * 3];
    numbers[7 * 2 + 4] = f64::NEG_INFINITY;
    let bytes = |numbers: &[f64]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let model = |bytes| {
        let file = ModelFile::llama().with_bytes("times", &[7, 3], TensorType::F64, bytes);
        file.with_gaussian("z.weight", &[32, 2], F16).open()
    };
    let error = write(&model(bytes(&numbers)), &pure(FileType::Q4_0), &resources(2, 400)).unwrap_err();
    let expected = f32::NEG_INFINITY;
    assert!(
        matches!(&error, Error::NotFinite { row: 2, column: 4, value, .. } if *value == expected),
        "{error}"
    );
    numbers[7 * 2 + 4] = 1e300;
    write(&model(bytes(&numbers)), &pure(FileType::Q4_0), &resources(2, 400)).unwrap();
}

#[test]
fn rows_are_counted_through_all_matrices_of_a_tensor() {
    let mut weights = gaussian(6, 32 * 3 * 4);
    weights[32 * (3 * 2 + 1) + 5] = f32::NAN;
    let bytes = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let model = ModelFile::llama().with_bytes("experts.weight", &[32, 3, 4], F32, bytes).open();
    let error = write(&model, &pure(FileType::Q4_0), &resources(2, 400)).unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { tensor, row: 7, column: 5, .. } if tensor == "experts.weight"),
        "{error}"
    );
}

#[test]
fn of_several_faults_the_first_in_the_file_is_named() {
    let (early, late) = (20 * COLUMNS + 3, 180 * COLUMNS + 200);
    let model = with_values(F32, &[(late, f32::NAN), (early, f32::INFINITY)]).open();
    let request = Request::new(FileType::Q4_K_M);
    for resources in all_resources(&model, &request) {
        for _ in 0..5 {
            let error = write(&model, &request, &resources).unwrap_err();
            assert!(matches!(error, Error::NotFinite { row: 20, column: 3, .. }), "{error}");
        }
    }
}

#[test]
fn a_weight_too_large_for_the_format_is_named() {
    let weight = 37 * COLUMNS + 40;
    let model = with_values(F32, &[(weight, 1e10)]).open();
    // In a float format a weight overflows, in others a block.
    for (file_type, format, column) in
        [(FileType::F16, F16, 40), (FileType::Q8_0, Q8_0, 32), (FileType::Q6_K, Q6_K, 0)]
    {
        let request = pure(file_type);
        for resources in all_resources(&model, &request) {
            let error = write(&model, &request, &resources).unwrap_err();
            match &error {
                Error::Overflow { tensor, row, column: found, format: into } => {
                    assert_eq!((tensor.as_str(), *row, *found, *into), (NAME, 37, column, format));
                }
                _ => panic!("{error}"),
            }
        }
    }
    // The same weight fits the wider floats.
    for file_type in [FileType::F32, FileType::BF16] {
        write(&model, &pure(file_type), &Resources::default()).unwrap();
    }
}

#[test]
fn a_bad_scale_in_a_quantized_source_is_named() {
    for (format, block, scale_at, bad) in [
        (Q8_0, 8 * 60 + 3, 0, [0x00, 0x7c]),
        (Q8_0, 8 * 60 + 3, 0, [0x01, 0xfe]),
        (Q4_K, 60, 2, [0x00, 0xfc]),
        (Q6_K, 60, 208, [0x00, 0x7e]),
    ] {
        let info = format.info();
        let mut bytes = quantized(format, &gaussian(7, COLUMNS * ROWS));
        bytes[block * info.block_bytes + scale_at..][..2].copy_from_slice(&bad);
        let model = ModelFile::llama().with_bytes(NAME, &[COLUMNS as u64, ROWS as u64], format, bytes).open();
        for request in [copy(), pure(FileType::F32), pure(FileType::Q4_0)] {
            for resources in all_resources(&model, &request) {
                let error = write(&model, &request, &resources).unwrap_err();
                match &error {
                    Error::BadBlock { tensor, row, column, format: found } => {
                        let expected_column = if format == Q8_0 { 96 } else { 0 };
                        assert_eq!((tensor.as_str(), *row, *column), (NAME, 60, expected_column));
                        assert_eq!(*found, format);
                    }
                    _ => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn quantizing_twice_needs_leave() {
    let model = ModelFile::llama()
        .with_gaussian(NAME, &[256, 4], Q8_0)
        .with_gaussian("b.weight", &[256, 4], F16)
        .open();
    let mut request = Request::new(FileType::Q4_K_S);
    let error = Plan::new(&model, &request).unwrap_err();
    match &error {
        Error::Request(RequestFault::Requantize { tensor, from: Q8_0, to: Q4_K }) => assert_eq!(tensor, NAME),
        _ => panic!("{error}"),
    }
    request.allow_requantize = true;
    crate::support::assert_converted(&model, &super::convert(&model, &request));
    // A copied tensor is not quantized twice.
    request = Request::new(FileType::Q8_0);
    crate::support::assert_converted(&model, &super::convert(&model, &request));
}

/// A model that keeps every thread busy when something fails: several hundred batches of four tensors.
fn long_model() -> ModelFile {
    (0..4).fold(ModelFile::llama(), |file, layer| {
        file.with_gaussian(&format!("blk.{layer}.attn_q.weight"), &[1024, 64], F32)
    })
}

fn long_resources() -> [Resources; 4] {
    [resources(1, 8 << 10), resources(1, 64 << 10), resources(4, 64 << 10), resources(8, 1 << 20)]
}

/// Accepts a number of bytes, then fails.
struct Full {
    left: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_ends_the_run_wherever_it_fails() {
    let file = long_model();
    let plan = Plan::new(&file.open(), &Request::new(FileType::Q4_0)).unwrap();
    let (header, end) = (plan.files[0].layout.data_offset() as usize, plan.file_bytes() as usize);
    for resources in long_resources() {
        for bytes in [0, header / 2, header, header + 1, header + (end - header) / 3, end - 10_000, end - 1] {
            let (plan, model) = (plan.clone(), file.open());
            let resources = resources.clone();
            let result = in_time(move || {
                plan.write(&model, |_| Ok(Full { left: bytes }), &resources, &mut go_on)
                    .map(|report| report.file_bytes)
            });
            match result {
                Err(Error::Write { file_index: 0, source }) => {
                    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                }
                other => panic!("after {bytes} bytes: {other:?}"),
            }
        }
        let (plan, model) = (plan.clone(), file.open());
        let resources = resources.clone();
        in_time(move || plan.write(&model, |_| Ok(Full { left: end }), &resources, &mut go_on).map(|_| ()))
            .unwrap();
    }
}

#[test]
fn an_output_that_does_not_open_ends_the_run() {
    let file = long_model();
    let error = in_time(move || {
        let plan = Plan::new(&file.open(), &Request::new(FileType::Q4_0)).unwrap();
        let open = |_| -> Result<Full> { Err(Error::Cancelled) };
        plan.write(&file.open(), open, &resources(3, 1 << 20), &mut go_on).map(|_| ()).unwrap_err()
    });
    assert!(matches!(error, Error::Cancelled), "{error}");
}

/// A file that cannot be read from a byte on, after that byte is set.
struct Damaged {
    file: Vec<u8>,
    from: Arc<AtomicU64>,
}

impl ReadAt for Damaged {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset + buf.len() as u64 > self.from.load(Ordering::Relaxed) {
            return Err(io::Error::other("a bad sector"));
        }
        self.file.read_exact_at(buf, offset)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
}

#[test]
fn a_source_that_fails_ends_the_run_wherever_it_fails() {
    let file = long_model();
    let (start, bytes) = (file.layout().data_offset(), file.to_bytes());
    let data_bytes = bytes.len() as u64 - start;
    for resources in long_resources() {
        for readable in [0, 100_000, data_bytes / 2, data_bytes - 1] {
            // Reading the header reads ahead, so the failure is set afterwards.
            let from = Arc::new(AtomicU64::new(u64::MAX));
            let source = Damaged { file: bytes.clone(), from: from.clone() };
            let resources = resources.clone();
            let error = in_time(move || {
                let model = Model::from_source("damaged", Box::new(source)).unwrap();
                from.store(start + readable, Ordering::Relaxed);
                write(&model, &Request::new(FileType::Q4_0), &resources).unwrap_err()
            });
            match error {
                Error::Io { path, action: "read", source } => {
                    assert_eq!(
                        (path.to_str(), source.to_string().as_str()),
                        (Some("damaged"), "a bad sector")
                    );
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_caller_who_breaks_off_is_not_called_again() {
    let file = long_model();
    for resources in long_resources() {
        for last in [1, 2, 5] {
            let file = file.clone();
            let resources = resources.clone();
            let (calls, result) = in_time(move || {
                let model = file.open();
                let plan = Plan::new(&model, &Request::new(FileType::Q4_0)).unwrap();
                let mut calls = 0;
                let result = plan.write(&model, |_| Ok(io::sink()), &resources, &mut |_| {
                    calls += 1;
                    if calls == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                (calls, result.map(|_| ()))
            });
            // With the most memory there are fewer than five batches, and nobody cancels.
            match result {
                Err(Error::Cancelled) => assert_eq!(calls, last),
                other => assert!(other.is_ok() && calls < last, "{other:?} after {calls} calls"),
            }
        }
    }
}
