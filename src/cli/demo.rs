//! stub
use super::failure::Failure;
/// Quantizes the model inside this program and shows what it cost.
#[derive(clap::Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
