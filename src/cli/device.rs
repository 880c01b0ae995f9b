//! Opening devices.

use super::failure::on_one_line;
use etcetera::{BaseStrategy, choose_base_strategy};
use qmill::gpu::Tuning;
use qmill::{Device, Gpu};
use std::path::PathBuf;
use std::{env, fs};

/// The folder for compiled pipelines and tuning tables.
pub(super) fn cache_folder() -> Option<PathBuf> {
    choose_base_strategy().ok().map(|folders| folders.cache_dir().join("qmill"))
}

/// The file of a device's tuning table.
pub(super) fn tuning_file(gpu: &Gpu) -> Option<PathBuf> {
    cache_folder().map(|folder| folder.join(Tuning::file_name(gpu)))
}

/// Loads the tuning table that `qmill tune` has written, if any. A table that cannot be used is ignored with
/// a note.
pub(super) fn follow_tuning(device: &Device) {
    let Device::Gpu(gpu) = device else { return };
    let Some(path) = tuning_file(gpu).filter(|path| path.exists()) else { return };
    if let Err(error) = Tuning::load(&path).and_then(|tuning| gpu.set_tuning(tuning)) {
        eprintln!("qmill: note: {}; products take the kernels they take by default", on_one_line(&error));
    }
}

/// The processor's name from /proc/cpuinfo, or else its architecture.
pub(super) fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
