//! No bytes make the GGUF reader panic, and whatever it reads the writer can write.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmill::gguf::{Layout, Model, Writer};

/// Files that a small input blows up to (an alignment of 2 GiB does) are not written.
const MAX_COPY_BYTES: u64 = 1 << 20;

fuzz_target!(|file: &[u8]| {
    let Some(copy) = read_and_copy(file) else { return };
    // The copy may differ from the file, in gaps that were not zero for example, but not from its own copy.
    assert_eq!(read_and_copy(&copy).as_ref(), Some(&copy));
});

/// Reads all of `file` and writes it anew; `None` where it is refused or its copy would be too large.
fn read_and_copy(file: &[u8]) -> Option<Vec<u8>> {
    let model = Model::from_source("fuzz", Box::new(file.to_vec())).ok()?;
    for (_, value) in model.metadata().iter() {
        if let Some(array) = value.as_array() {
            assert_eq!(array.iter().count() as u64, array.len());
        }
    }
    let tensors = model.tensors().map(|tensor| tensor.info.clone()).collect();
    let layout = Layout::new(model.metadata(), tensors).expect("what was read can be written");
    if layout.file_bytes() > MAX_COPY_BYTES {
        return None;
    }
    let mut writer = Writer::new(Vec::new(), layout).expect("writing to memory");
    for tensor in model.tensors() {
        let mut data = vec![0; tensor.info.bytes() as usize];
        tensor.read_bytes(0, &mut data).expect("the reader checked that the data are there");
        assert!(tensor.read_bytes(1, &mut data).is_err() || data.is_empty());
        writer.write_data(&data).expect("writing to memory");
    }
    Some(writer.finish().expect("all data are written"))
}
