//! stub
use super::failure::Failure;
/// Lists the formats and file types.
#[derive(clap::Args)]
pub(crate) struct Formats {}
impl Formats {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
