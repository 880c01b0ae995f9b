//! stub
use super::failure::Failure;
/// Compares the weights of two GGUF files.
#[derive(clap::Args)]
pub(crate) struct Compare {}
impl Compare {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
