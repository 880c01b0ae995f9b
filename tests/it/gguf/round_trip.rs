//! The files are those that ggml writes, and are read back.

use super::{TINY_SHAKESPEARE, open, read_header, tensor_bytes, write};
use qmill::gguf::{Array, Fault, Layout, Metadata, Model, TensorInfo, TensorType, Value, Writer};
use qmill::{Error, FORMATS, Format};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io;

#[test]
fn a_file_of_another_writer_is_written_again_byte_for_byte() {
    let original = std::fs::read(TINY_SHAKESPEARE).unwrap();
    let model = open(original.clone()).unwrap();
    let tensors = model.tensors().map(|tensor| tensor.info.clone()).collect();
    let layout = Layout::new(model.metadata(), tensors).unwrap();
    assert_eq!(layout.file_bytes(), original.len() as u64);
    let mut header = Vec::new();
    layout.write_header(&mut header).unwrap();
    assert_eq!(header, original[..layout.data_offset() as usize]);

    let data: Vec<u8> = model.tensors().flat_map(|tensor| tensor_bytes(&model, tensor.info.name())).collect();
    let mut writer = Writer::new(Vec::new(), layout).unwrap();
    // Slices that begin and end inside tensors.
    for slice in data.chunks(100_003) {
        writer.write_data(slice).unwrap();
    }
    assert!(writer.finish().unwrap() == original);
}

#[test]
fn every_byte_of_a_small_file() {
    let mut metadata = Metadata::new();
    metadata.set("k", true);
    metadata.set("general.alignment", 16u32);
    metadata.set("s", Array::from_strings(["x", ""]));
    let tensors = vec![
        // Trailing dimensions of 1 are left out, but not those between others and not one of 0.
        TensorInfo::new("a", [2, 1, 1, 1], TensorType::I16).unwrap(),
        TensorInfo::new("b", [], Format::F32).unwrap(),
        TensorInfo::new("c", [1, 0], Format::F32).unwrap(),
        TensorInfo::new("d", [1, 1, 3, 1], TensorType::I8).unwrap(),
    ];
    #[rustfmt::skip]
    let expected: &[&[u8]] = &[
        b"GGUF", &[3, 0, 0, 0], &[4, 0, 0, 0, 0, 0, 0, 0], &[3, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0], b"k", &[7, 0, 0, 0], &[1],
        &[17, 0, 0, 0, 0, 0, 0, 0], b"general.alignment", &[4, 0, 0, 0], &[16, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0], b"s", &[9, 0, 0, 0], &[8, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0], b"x", &[0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0], b"a", &[1, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0],
            &[25, 0, 0, 0], &[0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0], b"b", &[1, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0], &[16, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0], b"c", &[2, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0], &[32, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0], b"d", &[3, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0], &[3, 0, 0, 0, 0, 0, 0, 0],
            &[24, 0, 0, 0], &[32, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut expected = expected.concat();
    expected.resize(expected.len().next_multiple_of(16), 0);
    for data in [&[1u8, 2, 3, 4], &[5, 6, 7, 8], [9, 10, 11].as_slice()] {
        expected.extend(data);
        expected.resize(expected.len().next_multiple_of(16), 0);
    }
    assert_eq!(write(&metadata, tensors), expected);
}

fn random_value(random: &mut StdRng) -> Value {
    let len = random.random_range(0..20);
    let string = |random: &mut StdRng| (0..len).map(|_| random.random()).collect::<Vec<u8>>();
    match random.random_range(0..17) {
        0 => random.random::<u8>().into(),
        1 => random.random::<i8>().into(),
        2 => random.random::<u16>().into(),
        3 => random.random::<i16>().into(),
        4 => random.random::<u32>().into(),
        5 => random.random::<i32>().into(),
        6 => random.random::<f32>().into(),
        7 => random.random::<bool>().into(),
        8 => Value::String(string(random)),
        9 => random.random::<u64>().into(),
        10 => random.random::<i64>().into(),
        11 => random.random::<f64>().into(),
        12 => Array::from_strings((0..len).map(|_| string(random)).collect::<Vec<_>>()).into(),
        13 => Array::from((0..len).map(|_| random.random()).collect::<Vec<i32>>().as_slice()).into(),
        14 => Array::from((0..len).map(|_| random.random()).collect::<Vec<f32>>().as_slice()).into(),
        15 => Array::from((0..len).map(|_| random.random()).collect::<Vec<bool>>().as_slice()).into(),
        _ => Array::from((0..len).map(|_| random.random()).collect::<Vec<u64>>().as_slice()).into(),
    }
}

fn random_tensor(random: &mut StdRng, name: &str) -> TensorInfo {
    let opaque = [TensorType::I8, TensorType::F64, TensorType::Q8_1, TensorType::Q8_K];
    let index = random.random_range(0..FORMATS.len() + opaque.len());
    let tensor_type = match FORMATS.get(index) {
        Some(info) => TensorType::Weights(info.format),
        None => opaque[index - FORMATS.len()],
    };
    let mut shape = vec![tensor_type.block_weights() * random.random_range(1..4)];
    // The last dimension is not 1, because a file does not keep it.
    shape.extend((0..random.random_range(0..4)).map(|_| random.random_range(2..4u64)));
    TensorInfo::new(name, shape, tensor_type).unwrap()
}

#[test]
fn random_files_are_read_as_they_were_written() {
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..50 {
        let mut metadata = Metadata::new();
        if random.random() {
            metadata.set("general.alignment", 1u32 << random.random_range(0..8));
        }
        for key in 0..random.random_range(0..30) {
            metadata.set(format!("key.{key}"), random_value(&mut random));
        }
        let tensors: Vec<_> = (0..random.random_range(0..10))
            .map(|index| random_tensor(&mut random, &format!("tensor.{index}")))
            .collect();
        let layout = Layout::new(&metadata, tensors.clone()).unwrap();
        let data: Vec<Vec<u8>> =
            tensors.iter().map(|tensor| (0..tensor.bytes()).map(|_| random.random()).collect()).collect();
        let mut writer = Writer::new(Vec::new(), layout.clone()).unwrap();
        for data in &data {
            writer.write_data(data).unwrap();
        }
        let file = writer.finish().unwrap();

        assert_eq!(file.len() as u64, layout.file_bytes());
        let header = read_header(&file).unwrap();
        assert_eq!((header.version, header.alignment), (3, layout.alignment()));
        assert_eq!(header.metadata, metadata);
        assert_eq!(header.tensors, layout.tensors());
        let model = open(file).unwrap();
        for (tensor, data) in tensors.iter().zip(&data) {
            assert_eq!(&tensor_bytes(&model, tensor.name()), data);
        }
    }
}

#[test]
fn values_of_an_array_are_what_it_was_made_of() {
    let numbers = Array::from([1i32, -2].as_slice());
    assert_eq!(numbers.iter().collect::<Vec<_>>(), [Value::I32(1), Value::I32(-2)]);
    assert!(numbers.strings().is_none());
    let strings = Array::from_strings(["a", "", "bc"]);
    assert_eq!(strings.strings().unwrap().collect::<Vec<_>>(), [b"a".as_slice(), b"", b"bc"]);
    assert_eq!(strings.iter().nth(2).unwrap().as_str(), Some("bc"));
    assert_eq!((strings.len(), strings.as_bytes().len()), (3, 27));
}

#[test]
fn integers_are_read_whatever_their_type() {
    for value in [Value::U8(7), Value::I8(7), Value::U16(7), Value::I32(7), Value::U64(7), Value::I64(7)] {
        assert_eq!((value.as_u64(), value.as_i64()), (Some(7), Some(7)));
    }
    assert_eq!((Value::I8(-1).as_u64(), Value::I8(-1).as_i64()), (None, Some(-1)));
    assert_eq!((Value::U64(u64::MAX).as_u64(), Value::U64(u64::MAX).as_i64()), (Some(u64::MAX), None));
    assert_eq!((Value::F32(7.0).as_u64(), Value::F32(7.0).as_f64()), (None, Some(7.0)));
}

#[test]
fn a_key_keeps_its_place_until_it_is_removed() {
    let mut metadata = Metadata::new();
    for key in ["a", "b", "c"] {
        metadata.set(key, 1u32);
    }
    metadata.set("b", "two");
    assert_eq!(metadata.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(metadata.remove("b"), Some(Value::from("two")));
    assert_eq!(metadata.remove("b"), None);
    metadata.set("b", 2u32);
    assert_eq!(metadata.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "c", "b"]);
    assert_eq!(metadata.u64_of("b"), Some(2));
}

#[track_caller]
fn not_laid_out(metadata: &Metadata, tensors: &[TensorInfo], expected: &Fault) {
    match Layout::new(metadata, tensors.to_vec()) {
        Err(Error::Layout { fault }) => assert_eq!(&fault, expected),
        other => panic!("expected {expected:?}, found {other:?}"),
    }
}

#[test]
fn what_no_reader_would_take_is_not_laid_out() {
    let with = |key: &str, value: Value| {
        let mut metadata = Metadata::new();
        metadata.set(key, value);
        metadata
    };
    not_laid_out(&with("", 1u32.into()), &[], &Fault::EmptyKey);
    not_laid_out(&with("general.alignment", 3u32.into()), &[], &Fault::Alignment { found: 3 });
    let twice = vec![TensorInfo::new("t", [1], Format::F32).unwrap(); 2];
    not_laid_out(&Metadata::new(), &twice, &Fault::DuplicateTensor { tensor: "t".into() });
    let tensors = ["a", "b", "c"].map(|name| TensorInfo::new(name, [1 << 61], TensorType::I32).unwrap());
    not_laid_out(&Metadata::new(), &tensors, &Fault::DataBytes { tensor: "b".into() });

    let tensor = TensorInfo::new("t", [1 << 61], TensorType::I32).unwrap();
    let error = tensor.with_type(TensorType::I64).unwrap_err();
    assert!(matches!(error, Error::Layout { fault: Fault::TensorBytes { .. } }), "{error}");
    let error = TensorInfo::new("t".repeat(64), [1], Format::F32).unwrap_err();
    assert!(matches!(error, Error::Layout { fault: Fault::NameLength { found: 64 } }), "{error}");
}

#[test]
fn too_much_and_too_little_data_are_refused() {
    let layout = |length| {
        let tensors = vec![TensorInfo::new("t", [length], Format::F32).unwrap()];
        Layout::new(&Metadata::new(), tensors).unwrap()
    };
    let mut writer = Writer::new(Vec::new(), layout(2)).unwrap();
    writer.write_data(&[0; 7]).unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let mut writer = Writer::new(Vec::new(), layout(2)).unwrap();
    assert_eq!(writer.write_data(&[0; 9]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_folder_a_missing_and_an_empty_file_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path| match Model::open(path) {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(kind(folder.path().to_owned()), io::ErrorKind::IsADirectory);
    assert_eq!(kind(folder.path().join("none.gguf")), io::ErrorKind::NotFound);
    let empty = folder.path().join("empty.gguf");
    std::fs::write(&empty, []).unwrap();
    let error = Model::open(&empty).err().unwrap();
    assert!(matches!(error, Error::Gguf { offset: 0, fault: Fault::Empty, .. }), "{error}");
}
