//! stub
use super::failure::Failure;
/// Shows metadata, tensors, formats and sizes of a GGUF file.
#[derive(clap::Args)]
pub(crate) struct Inspect {}
impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
