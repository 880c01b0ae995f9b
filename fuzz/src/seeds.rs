//! Writes the files that fuzzing starts from into the folder it is given: every value type, several tensors.

use qmill::Format;
use qmill::gguf::{Array, Layout, Metadata, TensorInfo, TensorType, Value, Writer};
use std::path::Path;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).ok_or("usage: seeds FOLDER")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;

    let mut scalars = Metadata::new();
    scalars.set("u8", 1u8);
    scalars.set("i8", -1i8);
    scalars.set("u16", 2u16);
    scalars.set("i16", -2i16);
    scalars.set("u32", 3u32);
    scalars.set("i32", -3i32);
    scalars.set("f32", 0.5f32);
    scalars.set("bool", true);
    scalars.set("string", "text");
    scalars.set("u64", 4u64);
    scalars.set("i64", -4i64);
    scalars.set("f64", 0.25f64);

    let mut arrays = Metadata::new();
    arrays.set("general.alignment", 8u32);
    arrays.set("strings", Value::Array(Array::from_strings(["", "a", "bc"])));
    arrays.set("numbers", Value::Array(Array::from([1i32, 2, 3].as_slice())));
    arrays.set("bools", Value::Array(Array::from([true, false].as_slice())));

    let tensors = vec![
        TensorInfo::new("a", [3], Format::F32)?,
        TensorInfo::new("b", [32, 2], Format::Q4_0)?,
        TensorInfo::new("c", [256, 1, 2], Format::Q4_K)?,
        TensorInfo::new("d", [5, 1, 1, 3], TensorType::I8)?,
        TensorInfo::new("e", [4, 0], TensorType::I64)?,
    ];

    fs::write(folder.join("empty"), file(&Metadata::new(), Vec::new())?)?;
    fs::write(folder.join("scalars"), file(&scalars, Vec::new())?)?;
    fs::write(folder.join("arrays"), file(&arrays, tensors.clone())?)?;
    fs::write(folder.join("tensors"), file(&Metadata::new(), tensors)?)?;
    Ok(())
}

/// A whole file, its data all 0x55.
fn file(metadata: &Metadata, tensors: Vec<TensorInfo>) -> Result<Vec<u8>> {
    let data_bytes: u64 = tensors.iter().map(TensorInfo::bytes).sum();
    let mut writer = Writer::new(Vec::new(), Layout::new(metadata, tensors)?)?;
    writer.write_data(&vec![0x55; usize::try_from(data_bytes)?])?;
    Ok(writer.finish()?)
}
