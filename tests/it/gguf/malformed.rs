//! Files built byte by byte: the cases of ggml's `test-gguf`, and more.

use super::{open, read_header, write};
use qmill::gguf::{Array, Fault, Header, Metadata, ReadAt, TensorInfo, TensorType, Value, ValueType};
use qmill::{Error, Format};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io;
use std::path::Path;
use std::sync::Mutex;

const U8: u32 = 0;
const U32: u32 = 4;
const I32: u32 = 5;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

const F32: u32 = 0;
const Q4_0: u32 = 2;
const I8: u32 = 24;
const I64: u32 = 27;

/// A builder of files.
#[derive(Clone)]
struct File(Vec<u8>);

impl File {
    fn new(tensors: u64, keys: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    /// Offset of the next byte.
    fn at(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u32(self, x: u32) -> Self {
        self.bytes(&x.to_le_bytes())
    }

    fn u64(self, x: u64) -> Self {
        self.bytes(&x.to_le_bytes())
    }

    fn string(self, string: &[u8]) -> Self {
        self.u64(string.len() as u64).bytes(string)
    }

    fn key(self, key: &str, value_type: u32) -> Self {
        self.string(key.as_bytes()).u32(value_type)
    }

    fn shape(mut self, name: &str, shape: &[u64]) -> Self {
        self = self.string(name.as_bytes()).u32(shape.len() as u32);
        shape.iter().fold(self, |file, &length| file.u64(length))
    }

    fn tensor(self, name: &str, shape: &[u64], tensor_type: u32, offset: u64) -> Self {
        self.shape(name, shape).u32(tensor_type).u64(offset)
    }

    /// Zeros up to a multiple of `alignment`.
    fn pad(mut self, alignment: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        self
    }

    fn zeros(mut self, bytes: usize) -> Self {
        self.0.resize(self.0.len() + bytes, 0);
        self
    }
}

#[track_caller]
fn refused(file: &File, at: u64, fault: Fault) {
    match read_header(&file.0) {
        Err(Error::Gguf { offset, fault: found, .. }) => assert_eq!((offset, found), (at, fault)),
        other => panic!("expected {fault:?}, found {other:?}"),
    }
}

#[track_caller]
fn accepted(file: &File) -> Header {
    read_header(&file.0).unwrap()
}

fn truncated(what: &'static str, expected: u64, found: u64) -> Fault {
    Fault::Truncated { what, expected, found }
}

#[test]
fn the_start_of_a_file() {
    refused(&File(Vec::new()), 0, Fault::Empty);
    refused(&File(b"GG".to_vec()), 0, truncated("the magic \"GGUF\"", 4, 2));
    refused(&File(b"FUGG".to_vec()).u32(3).u64(0).u64(0), 0, Fault::Magic { found: *b"FUGG" });
    for found in [0, 1, 4] {
        refused(&File(b"GGUF".to_vec()).u32(found).u64(0).u64(0), 4, Fault::Version { found });
    }
    refused(&File(b"GGUF".to_vec()).u32(3 << 24).u64(0).u64(0), 4, Fault::BigEndian { version: 3 });
    refused(&File::new(u64::MAX, 0), 8, Fault::TensorCount { found: u64::MAX, limit: 0 });
    refused(&File::new(0, u64::MAX), 16, Fault::KeyCount { found: u64::MAX, limit: 0 });
}

#[test]
fn a_file_of_nothing_but_a_start_is_fine() {
    for version in [2, 3] {
        let header = accepted(&File(b"GGUF".to_vec()).u32(version).u64(0).u64(0));
        assert_eq!((header.version, header.alignment, header.data_offset), (version, 32, 24));
        assert!(header.metadata.is_empty() && header.tensors.is_empty());
    }
}

#[test]
fn counts_are_held_against_the_length_of_the_file() {
    refused(&File::new(0, 3).zeros(41), 16, Fault::KeyCount { found: 3, limit: 2 });
    // The count of keys follows the count of tensors, so its eight bytes count as room for tensors.
    refused(&File::new(3, 0).zeros(63), 8, Fault::TensorCount { found: 3, limit: 2 });
    refused(&File::new(0, 1 << 60).zeros(100), 16, Fault::KeyCount { found: 1 << 60, limit: 7 });
}

#[test]
fn keys() {
    let start = File::new(0, 1);
    refused(&start.clone().u64(u64::MAX).zeros(6), 24, Fault::StringLength { found: u64::MAX });
    refused(&start.clone().u64(7).zeros(6), 32, truncated("a key", 7, 6));
    refused(&start.clone().string(b"").u32(U32).u32(1), 24, Fault::EmptyKey);
    refused(&start.clone().string(b"\xff").u32(U32).u32(1), 24, Fault::KeyEncoding { found: vec![0xff] });
    refused(
        &start.clone().key("key", 13).zeros(8),
        35,
        Fault::UnknownValueType { key: "key".into(), found: 13 },
    );
    refused(&start.key("key", U32).bytes(&[1]), 39, truncated("a value", 4, 1));

    let once = File::new(0, 2).key("key", U8).bytes(&[1]);
    let at = once.at();
    refused(&once.key("key", U8).bytes(&[1]), at, Fault::DuplicateKey { key: "key".into() });
}

#[test]
fn strings_and_arrays() {
    let key = "key".to_owned();
    let string = File::new(0, 1).key("key", STRING);
    let at = string.at();
    refused(&string.clone().u64(1 << 31), at, Fault::StringLength { found: 1 << 31 });
    refused(&string.clone().u64(5).zeros(4), at + 8, truncated("a string", 5, 4));
    assert_eq!(accepted(&string.string(b"\xff\0")).metadata.get("key"), Some(&Value::String(vec![0xff, 0])));

    let array = File::new(0, 1).key("key", ARRAY);
    let at = array.at();
    refused(&array.clone().u32(ARRAY).u64(0), at, Fault::NestedArray { key: key.clone() });
    refused(&array.clone().u32(13).u64(0), at, Fault::UnknownValueType { key: key.clone(), found: 13 });
    let found = (1 << 30) + 1;
    refused(&array.clone().u32(U8).u64(found), at + 4, Fault::ArrayLength { key: key.clone(), found });
    refused(&array.clone().u32(U32).u64(3).zeros(11), at + 12, truncated("the elements of an array", 12, 11));
    refused(
        &array.clone().u32(STRING).u64(2).zeros(15),
        at + 12,
        truncated("the elements of an array", 16, 15),
    );
    let second = array.clone().u32(STRING).u64(2).string(b"ab");
    let at = second.at();
    refused(&second.clone().u64(u64::MAX), at, Fault::StringLength { found: u64::MAX });
    refused(&second.u64(3).zeros(2), at + 8, truncated("a string of an array", 3, 2));

    // ggml reads any byte but 0 as true, and writes 1.
    let header = accepted(&array.u32(BOOL).u64(3).bytes(&[0, 1, 7]));
    let bools = [false, true, true].as_slice();
    assert_eq!(header.metadata.get("key"), Some(&Value::Array(Array::from(bools))));
}

#[test]
fn alignments() {
    let alignment = |value_type| File::new(0, 1).key("general.alignment", value_type);
    let at = alignment(U32).at();
    for found in [0, 13] {
        refused(&alignment(U32).u32(found), at, Fault::Alignment { found });
    }
    refused(&alignment(I32).u32(32), at - 4, Fault::AlignmentType { found: ValueType::I32 });
    assert_eq!(accepted(&alignment(U32).u32(1)).alignment, 1);
}

#[test]
fn tensor_names() {
    let name = "n".repeat(64);
    refused(&File::new(1, 0).tensor(&name, &[1], F32, 0), 24, Fault::NameLength { found: 64 });
    let file = File::new(1, 0).tensor(&name[..63], &[1], F32, 0).pad(32).zeros(4);
    assert_eq!(accepted(&file).tensors[0].name(), &name[..63]);

    let file = File::new(1, 0).string(b"\xff").u32(0).u32(F32).u64(0);
    refused(&file, 24, Fault::NameEncoding { found: vec![0xff] });

    let once = File::new(2, 0).tensor("t", &[1], F32, 0);
    let at = once.at();
    refused(&once.tensor("t", &[1], F32, 32), at, Fault::DuplicateTensor { tensor: "t".into() });
}

#[test]
fn tensor_shapes() {
    let tensor = "t".to_owned();
    let dimensions_at = File::new(1, 0).string(b"t").at();
    let shape_at = dimensions_at + 4;
    let file = |shape: &[u64], tensor_type| File::new(1, 0).tensor("t", shape, tensor_type, 0);

    let fault = Fault::DimensionCount { tensor: tensor.clone(), found: 5 };
    refused(&file(&[1; 5], F32), dimensions_at, fault);
    let fault = Fault::NegativeDimension { tensor: tensor.clone(), dimension: 1, found: -1 };
    refused(&file(&[1, u64::MAX], F32), shape_at + 8, fault);
    // The last of these wraps around to 0 weights.
    for shape in [[i32::MAX as u64; 4], [i64::MAX as u64, 1, 1, 1], [1 << 32, 1 << 32, 1, 1]] {
        let fault = Fault::WeightCount { tensor: tensor.clone(), found: shape.to_vec() };
        refused(&file(&shape, F32), shape_at, fault);
    }

    let header = accepted(&file(&[5, 0], F32).pad(32));
    let zero = &header.tensors[0];
    assert_eq!((zero.shape(), zero.weights(), zero.rows(), zero.bytes()), ([5, 0].as_slice(), 0, 0, 0));
    let header = accepted(&file(&[0, 5], F32).pad(32));
    assert_eq!((header.tensors[0].row_len(), header.tensors[0].rows()), (0, 0));
    let header = accepted(&file(&[], F32).pad(32).zeros(4));
    assert_eq!((header.tensors[0].row_len(), header.tensors[0].rows(), header.tensors[0].bytes()), (1, 1, 4));
}

#[test]
fn tensor_types_and_sizes() {
    let tensor = "t".to_owned();
    let at = File::new(1, 0).shape("t", &[1]).at();
    let file = |length, tensor_type| File::new(1, 0).tensor("t", &[length], tensor_type, 0);
    for found in [43, u32::MAX] {
        refused(&file(1, found), at, Fault::UnknownTensorType { tensor: tensor.clone(), found });
    }
    for found in [4, 5, 31, 32, 33, 36, 37, 38] {
        refused(&file(1, found), at, Fault::RemovedTensorType { tensor: tensor.clone(), found });
    }
    let tensor_type = TensorType::Weights(Format::Q4_0);
    let fault = Fault::RowLength { tensor: tensor.clone(), tensor_type, expected: 32, found: 33 };
    refused(&file(33, Q4_0), at, fault);
    let fault = Fault::TensorBytes { tensor: tensor.clone(), tensor_type: TensorType::I64, weights: 1 << 61 };
    refused(&file(1 << 61, I64), at, fault);
    // 2^64 - 16 bytes, which padding wraps around to 0.
    refused(&file((1 << 61) - 2, I64), at + 4, Fault::DataBytes { tensor });
}

#[test]
fn tensor_offsets() {
    let offset = |found, expected| Fault::Offset { tensor: "t".into(), expected, found };
    for found in [u64::MAX, 32] {
        let file = File::new(1, 0).tensor("t", &[1], F32, found);
        refused(&file, file.at() - 8, offset(found, 0));
    }
    // Offsets as with an alignment of 1.
    let file = File::new(2, 0).tensor("first", &[1], F32, 0).tensor("t", &[1], F32, 4);
    refused(&file, file.at() - 8, offset(4, 32));

    let file = File::new(2, 1).key("general.alignment", U32).u32(1);
    let file = file.tensor("first", &[1], F32, 0).tensor("t", &[1], F32, 4);
    let data_offset = file.at();
    assert_eq!(accepted(&file.zeros(8)).data_offset, data_offset);
}

#[test]
fn data_must_be_whole_but_need_no_padding_at_the_end() {
    let infos = File::new(2, 0).tensor("first", &[1], F32, 0).tensor("t", &[3], F32, 32).pad(32);
    let start = infos.at() + 32;
    let missing =
        |tensor: &str, expected, found| Fault::MissingData { tensor: tensor.into(), expected, found };
    accepted(&infos.clone().zeros(32 + 12));
    refused(&infos.clone().zeros(32 + 11), start, missing("t", start + 12, start + 11));
    refused(&infos.clone().zeros(3), start - 32, missing("first", start - 28, start - 29));

    // A tensor of no bytes still asks for the start of the data, as in ggml.
    let file = File::new(1, 0).tensor("t", &[0], F32, 0);
    refused(&file, 64, missing("t", 64, file.at()));

    // Each size fits, their sum overflows what ggml reserves; no file holds them anyway.
    let half = 0x7fff_ffff_ffff_ffc0;
    let file = File::new(2, 0).tensor("first", &[half], I8, 0).tensor("t", &[half], I8, half).pad(32);
    refused(&file, file.at(), missing("first", file.at() + half, file.at()));
}

/// A header followed by any number of zeros. Counts the bytes that are read.
struct Sparse {
    header: Vec<u8>,
    len: u64,
    read_bytes: Mutex<u64>,
}

impl ReadAt for Sparse {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        *self.read_bytes.lock().unwrap() += buf.len() as u64;
        for (byte, at) in buf.iter_mut().zip(offset..) {
            *byte = self.header.get(at as usize).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

#[test]
fn only_the_header_of_a_large_file_is_read() {
    let weights = 1 << 38;
    let header = File::new(1, 0).tensor("t", &[weights], F32, 0).pad(32).0;
    let len = header.len() as u64 + weights * 4;
    let source = Sparse { header, len, read_bytes: Mutex::new(0) };
    let header = Header::read(&source, Path::new("sparse")).unwrap();
    assert_eq!(header.tensors[0].bytes(), 1 << 40);
    assert!(*source.read_bytes.lock().unwrap() <= 1 << 20);
}

/// Allocating the sizes that these files declare would fail.
#[test]
fn counts_that_a_large_file_has_room_for_reserve_nothing() {
    let read = |header: File| {
        let source = Sparse { header: header.0, len: 1 << 45, read_bytes: Mutex::new(0) };
        Header::read(&source, Path::new("sparse")).unwrap_err()
    };
    let error = read(File::new(0, 1 << 41));
    assert!(matches!(error, Error::Gguf { offset: 24, fault: Fault::EmptyKey, .. }), "{error}");
    let error = read(File::new(1 << 40, 0));
    assert!(matches!(error, Error::Gguf { fault: Fault::DuplicateTensor { .. }, .. }), "{error}");
}

/// Every kind of value and several tensors, in a file of a few hundred bytes.
fn small_file() -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata.set("general.alignment", 8u32);
    metadata.set("name", "small");
    metadata.set("strings", Array::from_strings(["", "a", "bcd"]));
    metadata.set("numbers", Array::from([1i16, -2, 3].as_slice()));
    metadata.set("scale", 0.5f64);
    let tensors = vec![
        TensorInfo::new("a", [3], Format::F32).unwrap(),
        TensorInfo::new("b", [32, 2], Format::Q4_0).unwrap(),
        TensorInfo::new("c", [5, 1, 3], TensorType::I8).unwrap(),
    ];
    write(&metadata, tensors)
}

#[test]
fn every_truncation_is_refused() {
    let file = small_file();
    let data_end = file.len() - 1;
    for len in 0..data_end {
        let error = open(file[..len].to_vec()).err();
        assert!(matches!(error, Some(Error::Gguf { .. })), "{len} bytes");
    }
    assert!(open(file[..data_end].to_vec()).is_ok());
}

#[test]
fn no_mutation_makes_the_reader_panic() {
    let file = small_file();
    let mut random = StdRng::seed_from_u64(1);
    let mut accepted = 0;
    for _ in 0..3000 {
        let mut mutant = file.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..mutant.len());
            if random.random() {
                mutant[at] ^= random.random_range(1..=255u8);
            } else {
                let huge = [u64::MAX, i64::MAX as u64, 1 << 60, 1 << 31, 1 << 16][random.random_range(0..5)];
                let end = (at + 8).min(mutant.len());
                mutant[at..end].copy_from_slice(&huge.to_le_bytes()[..end - at]);
            }
        }
        match open(mutant) {
            Ok(model) => {
                accepted += 1;
                for tensor in model.tensors() {
                    tensor.read_bytes(0, &mut vec![0; tensor.info.bytes() as usize]).unwrap();
                }
            }
            Err(Error::Gguf { offset, fault, .. }) => {
                let inside = offset <= file.len() as u64;
                assert!(inside || matches!(fault, Fault::MissingData { .. }), "byte {offset}: {fault}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Most changes are in data and values, so a reader that refuses everything does not pass.
    assert!((300..2700).contains(&accepted), "{accepted} accepted");
}
