//! The names and numbers of file types.

use qmill::Error;
use qmill::Format::IQ3_S;
use qmill::error::RequestFault;
use qmill::mix::{FILE_TYPES, FileType, IMATRIX_FILE_TYPES};

#[test]
fn file_types_have_names_in_any_case_aliases_and_numbers() {
    for (index, info) in FILE_TYPES.iter().enumerate() {
        assert_eq!(info.file_type as usize, index);
        assert!(!info.about.is_empty());
        assert_eq!(info.file_type.to_string(), info.name);
        assert_eq!(info.number.and_then(FileType::from_number), info.number.map(|_| info.file_type));
        if info.format.is_none_or(|format| format.info().can_quantize()) {
            assert_eq!(info.name.to_lowercase().parse::<FileType>().unwrap(), info.file_type);
        }
    }
    for (text, file_type) in [
        ("Q3_K", FileType::Q3_K_M),
        ("q4_k", FileType::Q4_K_M),
        ("Q5_k", FileType::Q5_K_M),
        ("0", FileType::F32),
        ("15", FileType::Q4_K_M),
        ("32", FileType::BF16),
        ("39", FileType::NVFP4),
        ("copy", FileType::COPY),
    ] {
        assert_eq!(text.parse::<FileType>().unwrap(), file_type, "{text}");
    }
    assert_eq!(FileType::COPY.info().number, None);
}

/// Every number that `general.file_type` may hold belongs to one file type.
#[test]
fn file_type_numbers_are_those_of_upstream() {
    let known = FILE_TYPES.iter().filter_map(|info| Some((info.number?, info.name)));
    let mut numbers: Vec<_> =
        known.chain(IMATRIX_FILE_TYPES.iter().map(|known| (known.number, known.name))).collect();
    numbers.sort_unstable();
    let upstream = "0 F32 1 F16 2 Q4_0 3 Q4_1 7 Q8_0 8 Q5_0 9 Q5_1 10 Q2_K 11 Q3_K_S 12 Q3_K_M 13 Q3_K_L \
        14 Q4_K_S 15 Q4_K_M 16 Q5_K_S 17 Q5_K_M 18 Q6_K 19 IQ2_XXS 20 IQ2_XS 21 Q2_K_S 22 IQ3_XS 23 IQ3_XXS \
        24 IQ1_S 25 IQ4_NL 26 IQ3_S 27 IQ3_M 28 IQ2_S 29 IQ2_M 30 IQ4_XS 31 IQ1_M 32 BF16 36 TQ1_0 37 TQ2_0 \
        38 MXFP4_MOE 39 NVFP4 40 Q1_0 41 Q2_0";
    let ours: Vec<_> = numbers.iter().map(|(number, name)| format!("{number} {name}")).collect();
    assert_eq!(ours.join(" "), upstream.split_whitespace().collect::<Vec<_>>().join(" "));
}

#[test]
fn a_file_type_that_cannot_be_made_says_why() {
    let message = |text: &str| text.parse::<FileType>().unwrap_err().to_string();
    for text in ["Q9", "", "4", "-1", "1024", "Q4_K_XL", "99999999999999999999"] {
        let Err(Error::Request(RequestFault::UnknownFileType { name })) = text.parse::<FileType>() else {
            panic!("{text} is a file type")
        };
        assert_eq!(name, text);
    }
    assert_eq!(message("Q9"), "\"Q9\" is no file type");
    for text in ["iq2_xxs", "19"] {
        assert_eq!(
            message(text),
            "IQ2_XXS needs an importance matrix, which qmill does not take yet; \
             Q2_K is the nearest that needs none"
        );
    }
    assert!(message("Q2_K_S").contains("Q2_K is the nearest"));
    assert!(message("IQ3_XS").contains("Q3_K_S is the nearest"));
    let has_encoder = IQ3_S.info().can_quantize();
    for text in ["IQ3_S", "iq3_m", "26"] {
        match text.parse::<FileType>() {
            Ok(_) => assert!(has_encoder),
            Err(error) => {
                assert!(!has_encoder && matches!(error, Error::NotEncoded { format: IQ3_S }));
            }
        }
    }
}

#[test]
fn a_type_of_short_blocks_takes_rows_that_the_other_does_not() {
    for info in &FILE_TYPES {
        let block =
            |file_type: FileType| file_type.info().format.map_or(1, |format| format.info().block_weights);
        match info.file_type.of_short_blocks() {
            Some(other) => {
                assert!(block(info.file_type) > 32 && block(other) == 32, "{}: {other}", info.name);
                assert!(other.info().format.unwrap().info().can_quantize(), "{}: {other}", info.name);
            }
            // Q1_0 has no replacement.
            None => assert!(block(info.file_type) <= 32 || info.file_type == FileType::Q1_0, "{}", info.name),
        }
    }
}
