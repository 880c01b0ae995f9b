//! The figures of a comparison: equal to hand-computed ones, and equal for any number of threads.

use qmill::error::ComparisonFault;
use qmill::eval::{Comparison, Mismatch, distortion};
use qmill::gguf::{Layout, Metadata, Model, TensorInfo, TensorType, Writer};
use qmill::{Error, Format};
use std::num::NonZeroUsize;

/// A tensor and its bytes.
type Data = (TensorInfo, Vec<u8>);

fn f32s(name: &str, shape: &[u64], weights: &[f32]) -> Data {
    let info = TensorInfo::new(name, shape, Format::F32).unwrap();
    (info, weights.iter().flat_map(|weight| weight.to_le_bytes()).collect())
}

fn model(name: &str, tensors: &[Data]) -> Model {
    let infos = tensors.iter().map(|(info, _)| info.clone()).collect();
    let mut writer = Writer::new(Vec::new(), Layout::new(&Metadata::new(), infos).unwrap()).unwrap();
    for (_, bytes) in tensors {
        writer.write_data(bytes).unwrap();
    }
    Model::from_source(name, Box::new(writer.finish().unwrap())).unwrap()
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn compare(reference: &[Data], other: &[Data]) -> Comparison {
    distortion(&model("a.gguf", reference), &model("b.gguf", other), threads(2)).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs()
}

#[test]
fn figures_are_those_computed_by_hand() {
    // Σ(a-b)² = 1 + 4, Σa² = 169, Σb² = 166, Σab = 165.
    let four = |weights| f32s("four", &[2, 2], weights);
    // A block of Q8_0: scale 1, codes -16 to 15; the reference is 0.5 above each.
    let above: Vec<f32> = (-16..16).map(|code| code as f32 + 0.5).collect();
    let codes = (TensorInfo::new("codes", [32], Format::Q8_0).unwrap(), {
        let codes = (-16i8..16).map(|code| code as u8);
        [0x00, 0x3c].into_iter().chain(codes).collect()
    });
    let found = compare(
        &[four(&[3.0, -4.0, 0.0, 12.0]), f32s("codes", &[32], &above)],
        &[codes, four(&[3.0, -3.0, 2.0, 12.0])],
    );
    assert_eq!(found.mismatches, []);

    let [four, codes] = &found.tensors[..] else { panic!("{found:?}") };
    assert_eq!((four.name.as_str(), four.reference, four.other), ("four", Format::F32, Format::F32));
    assert_eq!((four.distortion.weights, four.distortion.max_error), (4, 2.0));
    assert!(close(four.distortion.rmse, 1.118_033_988_749_895), "{four:?}");
    assert!(close(four.distortion.sqnr_db, 15.289_167_002_776_548), "{four:?}");
    assert!(close(four.distortion.cosine, 0.985_114_128_781_114_8), "{four:?}");

    assert_eq!((codes.name.as_str(), codes.reference, codes.other), ("codes", Format::F32, Format::Q8_0));
    assert_eq!((codes.distortion.weights, codes.distortion.rmse, codes.distortion.max_error), (32, 0.5, 0.5));

    // Σ(a-b)² = 5 + 32/4 over 36 weights; Σa² = 169 + 2728, the second the sum of (k + 1/2)² from -16 to 15.
    assert_eq!((found.total.weights, found.total.max_error), (36, 2.0));
    assert!(close(found.total.rmse, (13.0f64 / 36.0).sqrt()), "{found:?}");
    assert!(close(found.total.sqnr_db, 10.0 * (2897.0f64 / 13.0).log10()), "{found:?}");

    let worst: Vec<&str> = found.worst_first().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(worst, ["four", "codes"]);
}

#[test]
fn equal_weights_and_zeros_have_defined_figures() {
    let weights = [1e-45, -3.4e38, 0.1];
    let zeros = [0.0, -0.0, 0.0];
    let cases = [
        // reference, other, SQNR, cosine
        (weights, weights, f64::INFINITY, 1.0),
        (zeros, zeros, f64::INFINITY, 1.0),
        (weights, zeros, 0.0, 0.0),
        (zeros, weights, f64::NEG_INFINITY, 0.0),
        (weights, weights.map(|weight| -weight), -20.0 * 2f64.log10(), -1.0),
    ];
    for (a, b, sqnr_db, cosine) in cases {
        let found = compare(&[f32s("w", &[3], &a)], &[f32s("w", &[3], &b)]).total;
        assert!(found.sqnr_db == sqnr_db || close(found.sqnr_db, sqnr_db), "{a:?} {b:?}: {found:?}");
        assert_eq!(found.cosine, cosine, "{a:?} {b:?}");
        assert_eq!(found.rmse == 0.0, a == b, "{a:?} {b:?}");
    }
    let nothing = compare(&[f32s("w", &[0, 3], &[])], &[f32s("w", &[0, 3], &[])]).total;
    assert_eq!((nothing.weights, nothing.rmse, nothing.sqnr_db), (0, 0.0, f64::INFINITY));
}

#[test]
fn no_weight_of_a_long_tensor_is_lost_or_counted_twice() {
    // Integers, so that every sum is exact. 1,000,003 weights, in one row and in rows of one.
    let weights = 1_000_003u32;
    let a: Vec<f32> = (0..weights).map(|i| (i % 7) as f32).collect();
    let b: Vec<f32> = (0..weights).map(|i| (i % 7 + u32::from(i % 3 == 0)) as f32).collect();
    let error_squared = f64::from(weights.div_ceil(3));
    let a_squared: u32 = (0..weights).map(|i| (i % 7) * (i % 7)).sum();
    for shape in [[u64::from(weights), 1], [1, u64::from(weights)]] {
        let found = compare(&[f32s("w", &shape, &a)], &[f32s("w", &shape, &b)]).total;
        assert_eq!(found.rmse, (error_squared / f64::from(weights)).sqrt());
        assert_eq!(found.sqnr_db, 10.0 * (f64::from(a_squared) / error_squared).log10());
        assert_eq!(found.max_error, 1.0);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let weights = |seed: f32| -> Vec<f32> { (0..1 << 20).map(|i| (i as f32 * seed).sin()).collect() };
    let tensors = |seed: f32| {
        [f32s("x", &[1 << 10, 1 << 10], &weights(seed)), f32s("y", &[1 << 20], &weights(seed + 1.0))]
    };
    let (a, b) = (model("a.gguf", &tensors(0.7)), model("b.gguf", &tensors(0.700_01)));
    let single = distortion(&a, &b, threads(1)).unwrap();
    for count in [2, 3, 4, 8] {
        assert_eq!(distortion(&a, &b, threads(count)).unwrap(), single, "{count} threads");
    }
}

#[test]
fn what_cannot_be_compared_is_told() {
    let integers = || {
        let info = TensorInfo::new("integers", [2], TensorType::I32).unwrap();
        (info, vec![0; 8])
    };
    let found = compare(
        &[
            f32s("gone", &[1], &[1.0]),
            f32s("shape", &[4], &[1.0; 4]),
            integers(),
            f32s("w", &[2, 1], &[1.0; 2]),
        ],
        &[
            f32s("new", &[1], &[1.0]),
            f32s("w", &[2], &[1.0; 2]),
            integers(),
            f32s("shape", &[2, 2], &[1.0; 4]),
        ],
    );
    let expected = [
        ("gone", Mismatch::OnlyInReference),
        ("shape", Mismatch::Shape { reference: vec![4], other: vec![2, 2] }),
        ("integers", Mismatch::NotWeights { reference: TensorType::I32, other: TensorType::I32 }),
        ("new", Mismatch::OnlyInOther),
    ];
    assert_eq!(found.mismatches, expected.map(|(name, mismatch)| (name.to_owned(), mismatch)));
    // A trailing dimension of 1 does not count.
    assert_eq!(found.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["w"]);
    assert_eq!(found.total.weights, 2);
}

#[test]
fn nothing_in_common_is_an_error_and_no_perfect_match() {
    let (a, b) = (f32s("a", &[2], &[1.0; 2]), f32s("b", &[2], &[1.0; 2]));
    let found = distortion(&model("a.gguf", &[a]), &model("b.gguf", &[b]), threads(2));
    match found.unwrap_err() {
        Error::Comparison(ComparisonFault::NothingInCommon {
            reference,
            other,
            only_in_reference: 1,
            only_in_other: 1,
            ..
        }) => {
            assert_eq!((reference.to_str(), other.to_str()), (Some("a.gguf"), Some("b.gguf")));
        }
        error => panic!("{error}"),
    }
}

#[test]
fn the_first_weight_that_is_not_finite_ends_it() {
    // Two in slices far apart: the first is reported, whichever thread is faster.
    let good = vec![1.0f32; 3 << 20];
    let mut bad = good.clone();
    bad[1024 * 5 + 7] = f32::INFINITY;
    bad[1024 * 3000] = f32::NAN;
    let shape = [1024, 3 << 10];
    let a = model("a.gguf", &[f32s("w", &shape, &good)]);
    let b = model("b.gguf", &[f32s("w", &shape, &bad)]);
    for _ in 0..5 {
        let error = distortion(&a, &b, threads(4)).unwrap_err();
        let Error::Comparison(ComparisonFault::NotFinite { path, tensor, row, column, value }) = error else {
            panic!("{error}")
        };
        assert_eq!((path.to_str(), tensor.as_str(), row, column), (Some("b.gguf"), "w", 5, 7));
        assert_eq!(value, f32::INFINITY);
    }
}
