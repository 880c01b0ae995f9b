//! The bytes do not depend on how a tensor is divided into batches of rows and on which thread converts them.

use super::{convert, copy, go_on, least_memory_bytes, pure, resources, write};
use crate::support::{
    ModelFile, TINY_SHAKESPEARE, assert_converted, format_of, gaussian, names, open, quantized, tensor_bytes,
};
use qmill::error::RequestFault;
use qmill::gguf::{Model, TensorType};
use qmill::mix::FileType;
use qmill::stream::{Plan, PlannedTensor, Request, Resources};
use qmill::{Error, FORMATS, Format};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

#[test]
fn a_trained_model_is_what_quantizing_each_tensor_whole_gives() {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let result = convert(&model, &Request::new(FileType::Q4_K_M));
    assert_eq!(result.tensors().count(), 39);
    assert_converted(&model, &result);
    let formats: BTreeSet<Format> = names(&result).iter().map(|name| format_of(&result, name)).collect();
    assert_eq!(formats, BTreeSet::from([Format::F32, Format::Q4_K, Format::Q6_K]));
}

#[test]
fn threads_and_memory_change_no_byte() {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let request = Request::new(FileType::Q4_K_M);
    let least = least_memory_bytes(&model, &Plan::new(&model, &request).unwrap());
    let expected = write(&model, &request, &Resources::default()).unwrap();
    for (threads, memory_bytes) in [
        (1, least),
        (1, 256 << 20),
        (2, 3 * least + 1),
        (2, 100_000),
        (5, least),
        (5, 1 << 20),
        (5, 256 << 20),
    ] {
        let found = write(&model, &request, &resources(threads, memory_bytes)).unwrap();
        assert!(found == expected, "{threads} threads, {memory_bytes} bytes");
    }
}

#[test]
fn less_memory_than_a_row_takes_is_refused_before_anything_is_opened() {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let plan = Plan::new(&model, &Request::new(FileType::Q8_0)).unwrap();
    let least = least_memory_bytes(&model, &plan);
    let open = |_| -> qmill::Result<Vec<u8>> { panic!("an output was opened") };
    let error = plan.write(&model, open, &resources(2, least - 1), &mut go_on).unwrap_err();
    let Error::Memory { tensor, row_bytes, memory_bytes } = &error else { panic!("{error}") };
    assert!(tensor.contains("ffn_down"), "{tensor}");
    let longest = model.tensors().map(|tensor| tensor.info.row_len()).max().unwrap();
    assert_eq!(*row_bytes, 2 * (longest * 2), "twice the longer form, F16");
    assert_eq!(*memory_bytes, least - 1);
}

/// Between every two formats, in several tiles of 16 Ki weights and a rest.
#[test]
fn a_long_row_is_converted_between_all_formats() {
    let row = 2 * 16 * 1024 + 512;
    let weights = gaussian(1, row);
    for from in [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q6_K, Format::TQ2_0] {
        let model =
            ModelFile::llama().with("blk.0.attn_q.weight", &[row as u64, 2], from, &weights.repeat(2)).open();
        for file_type in [FileType::F32, FileType::F16, FileType::BF16, FileType::Q4_0, FileType::Q3_K_S] {
            let request = pure(file_type);
            let least = least_memory_bytes(&model, &Plan::new(&model, &request).unwrap());
            let result = open(write(&model, &request, &resources(2, least)).unwrap());
            assert_converted(&model, &result);
            let to = format_of(&result, "blk.0.attn_q.weight");
            assert_eq!(Some(to), file_type.info().format);
        }
    }
}

#[test]
fn every_encoder_is_reached() {
    let weights = gaussian(2, 512 * 8);
    let model = ModelFile::llama().with("blk.0.attn_q.weight", &[512, 8], Format::F32, &weights).open();
    for info in FORMATS.iter().filter(|info| info.can_quantize()) {
        let request = super::by_name(FileType::Q8_0, "attn_q", info.format);
        let result = convert(&model, &request);
        assert_eq!(format_of(&result, "blk.0.attn_q.weight"), info.format);
        assert!(
            tensor_bytes(&result, "blk.0.attn_q.weight") == quantized(info.format, &weights),
            "{}",
            info.name
        );
    }
}

/// A row longer than a batch usually is: 8 MiB.
#[test]
fn a_row_larger_than_a_batch_is_one_batch() {
    let row = 3 << 20;
    let model = ModelFile::llama().with("blk.0.attn_q.weight", &[row, 3], Format::F32, &gaussian(3, 9 << 20));
    let model = model.open();
    let plan = Plan::new(&model, &Request::new(FileType::Q4_0)).unwrap();
    let memory = super::Memory::default();
    let mut batches = Vec::new();
    plan.write(&model, |_| Ok(memory.clone()), &resources(2, 64 << 20), &mut |progress| {
        batches.push(progress.read_bytes);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(batches, [4 * row, 8 * row, 12 * row]);
    assert_converted(&model, &open(memory.0.take()));
}

/// Every shape: no weights, a vector, a number without dimensions, a stack of matrices, four dimensions.
fn all_shapes() -> ModelFile {
    ModelFile::llama()
        .with_gaussian("token_embd.weight", &[64, 40], Format::F16)
        .with_bytes("blk.0.empty.weight", &[32, 0], Format::F32, Vec::new())
        .with_bytes("blk.0.narrow.weight", &[0, 5], Format::F16, Vec::new())
        .with_gaussian("blk.0.attn_norm.weight", &[64], Format::F32)
        .with("blk.0.scale", &[], Format::F32, &[0.5])
        .with_gaussian("blk.1.ffn_up_exps.weight", &[64, 10, 6], Format::BF16)
        .with_gaussian("blk.1.four.weight", &[32, 2, 3, 2], Format::F32)
        .with_bytes("blk.1.ids", &[3], TensorType::I32, (1..=12).collect())
        .with_bytes("z.empty.weight", &[256, 0, 2], Format::F32, Vec::new())
}

#[test]
fn tensors_of_every_shape_are_converted_or_kept() {
    let model = all_shapes().open();
    let request = pure(FileType::Q5_1);
    let least = least_memory_bytes(&model, &Plan::new(&model, &request).unwrap());
    for memory_bytes in [least, 3 * least, 256 << 20] {
        let result = open(write(&model, &request, &resources(3, memory_bytes)).unwrap());
        assert_eq!(
            names(&result),
            [
                "token_embd.weight",
                "z.empty.weight",
                "blk.0.attn_norm.weight",
                "blk.0.empty.weight",
                "blk.0.narrow.weight",
                "blk.0.scale",
                "blk.1.ffn_up_exps.weight",
                "blk.1.four.weight",
                "blk.1.ids",
            ]
        );
        for name in ["token_embd.weight", "blk.1.ffn_up_exps.weight", "blk.1.four.weight"] {
            assert_eq!(format_of(&result, name), Format::Q5_1, "{name}");
        }
        assert_eq!(result.tensor("blk.1.ffn_up_exps.weight").unwrap().info.shape(), [64, 10, 6]);
        assert_eq!(tensor_bytes(&result, "blk.1.ids"), (1..=12).collect::<Vec<u8>>());
        assert_converted(&model, &result);
    }
}

#[test]
fn a_model_without_tensors_is_written() {
    let result = convert(&ModelFile::llama().open(), &copy());
    assert_eq!(result.tensors().count(), 0);
    assert_eq!(result.metadata().u64_of("general.file_type"), Some(0));
    // There is nothing to quantize.
    let error = Plan::new(&ModelFile::llama().open(), &Request::new(FileType::Q4_K_M)).unwrap_err();
    assert!(matches!(error, Error::Request(RequestFault::NothingToQuantize { tensors: 0, .. })), "{error}");
}

#[test]
fn progress_goes_up_to_the_total_and_tells_of_every_tensor_once() {
    let model = all_shapes().open();
    let plan = Plan::new(&model, &pure(FileType::Q4_0)).unwrap();
    for memory_bytes in [least_memory_bytes(&model, &plan), 256 << 20] {
        let mut done = Vec::new();
        let mut last = (0, 0, std::time::Duration::ZERO);
        let report = plan
            .write(&model, |_| Ok(std::io::sink()), &resources(3, memory_bytes), &mut |progress| {
                assert_eq!((progress.tensor_index, progress.tensor_count), (done.len(), 9));
                assert_eq!(
                    progress.total_read_bytes,
                    model.tensors().map(|tensor| tensor.info.bytes()).sum::<u64>()
                );
                let now = (progress.read_bytes, progress.written_bytes, progress.elapsed);
                assert!(now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2, "{now:?} after {last:?}");
                assert!(progress.read_bytes <= progress.total_read_bytes);
                last = now;
                if progress.tensor_is_done {
                    done.push(progress.tensor.to.name().to_owned());
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        let planned: Vec<_> = plan.tensors().map(|tensor| tensor.to.name().to_owned()).collect();
        assert_eq!(done, planned);
        assert_eq!((last.0, last.1), (report.read_bytes, report.written_bytes));
        assert_eq!(report.written_bytes, plan.tensors().map(|tensor| tensor.to.bytes()).sum::<u64>());
        assert_eq!(report.weights, 64 * 40 + 64 + 1 + 64 * 10 * 6 + 32 * 2 * 3 * 2 + 3);
    }
}

#[test]
fn a_report_adds_up() {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let plan = Plan::new(&model, &Request::new(FileType::Q4_K_M)).unwrap();
    let report = plan.write(&model, |_| Ok(std::io::sink()), &Resources::default(), &mut go_on).unwrap();
    let sum = |of: fn(&qmill::stream::FormatTotal) -> u64| report.formats.iter().map(of).sum::<u64>();
    assert_eq!(sum(|total| total.tensors as u64), 39);
    assert_eq!(
        (sum(|total| total.weights), sum(|total| total.bytes)),
        (report.weights, report.written_bytes)
    );
    for total in &report.formats {
        let block_weights = total.tensor_type.block_weights();
        assert_eq!(total.bytes, total.weights / block_weights * total.tensor_type.block_bytes());
    }
    assert_eq!(report.file_bytes, plan.file_bytes());
    assert!((4.5..7.0).contains(&report.bits_per_weight()), "{}", report.bits_per_weight());
    let copied = Plan::new(&model, &copy()).unwrap();
    assert!(copied.tensors().all(PlannedTensor::is_copied));
}
