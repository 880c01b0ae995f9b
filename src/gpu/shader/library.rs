//! Joins the library's shaders: a kernel, a format and switches.

use super::preprocess::Wgsl;
use super::switch::Switch;
use crate::Format;

/// The file that `#import format` stands for.
fn format_file(format: Format) -> String {
    format!("format/{}.wgsl", format.name().to_lowercase())
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

/// The text of a kernel that takes no format.
///
/// The error names the file, the line and the problem.
pub(in crate::gpu) fn preprocess(
    kernel: &str,
    switches: &[Switch],
    constants: &[(&str, usize)],
) -> Result<String, String> {
    files(switches, constants).preprocess(kernel).map_err(|error| error.to_string())
}
