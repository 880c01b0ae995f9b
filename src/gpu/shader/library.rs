//! Joins the library's shaders: a kernel, a format and switches.

use super::params::WORKGROUP;
use super::preprocess::Wgsl;
use super::switch::Switch;
use crate::Format;

/// The file that `#import format` stands for.
fn format_file(format: Format) -> String {
    format!("format/{}.wgsl", format.name().to_lowercase())
}

/// The name of a kernel: that of its file, without folder and extension.
pub(in crate::gpu) fn kernel_name(file: &'static str) -> &'static str {
    let name = file.rsplit_once('/').map_or(file, |(_, name)| name);
    name.strip_suffix(".wgsl").unwrap_or(name)
}

/// The library's files with these switches on, all others off, and these constants.
pub(in crate::gpu) fn files<'a>(switches: &[Switch], constants: &[(&'a str, usize)]) -> Wgsl<'a> {
    let wgsl = Switch::ALL
        .iter()
        .fold(Wgsl::new(), |wgsl, switch| wgsl.switch(switch.name(), switches.contains(switch)));
    constants.iter().fold(wgsl, |wgsl, &(name, value)| wgsl.constant(name, value as u32))
}

/// Lets `#import format` name the file of `format`.
pub(in crate::gpu) fn with_format(wgsl: Wgsl<'_>, format: Format) -> Wgsl<'_> {
    let path = format_file(format);
    wgsl.file(path.clone(), format.info().shader).alias("format", path)
}

/// The text of a kernel that takes no format, in workgroups of [`WORKGROUP`].
///
/// The error names the file, the line and the problem.
pub(in crate::gpu) fn preprocess(kernel: &str, switches: &[Switch]) -> Result<String, String> {
    files(switches, &[("WORKGROUP", WORKGROUP as usize)])
        .preprocess(kernel)
        .map_err(|error| error.to_string())
}
