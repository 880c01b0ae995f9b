//! What commands that open a device have in common.

use super::failure::{Failure, on_one_line};
use etcetera::{BaseStrategy, choose_base_strategy};
use qmill::gpu::{DeviceChoice, Tuning};
use qmill::{Device, Gpu};
use std::path::PathBuf;

/// Where what was compiled and measured is kept.
pub(super) fn cache_folder() -> Option<PathBuf> {
    choose_base_strategy().ok().map(|folders| folders.cache_dir().join("qmill"))
}

/// The file of a device's table of kernels.
pub(super) fn tuning_file(gpu: &Gpu) -> Option<PathBuf> {
    cache_folder().map(|folder| folder.join(Tuning::file_name(gpu)))
}

/// Opens a device, with what was compiled and measured for it before.
pub(super) fn open(choice: &DeviceChoice) -> Result<Device, Failure> {
    let device = Device::open(choice, cache_folder().as_deref())?;
    follow_tuning(&device);
    Ok(device)
}

/// Has products take what `qmill tune` found, if it was run here. A table that does not do is told of and left.
pub(super) fn follow_tuning(device: &Device) {
    let Device::Gpu(gpu) = device else { return };
    let Some(path) = tuning_file(gpu).filter(|path| path.exists()) else { return };
    if let Err(error) = Tuning::load(&path).and_then(|tuning| gpu.set_tuning(tuning)) {
        eprintln!("qmill: note: {}; products take the kernels they take by default", on_one_line(&error));
    }
}
