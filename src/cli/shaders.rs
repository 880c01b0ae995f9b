//! `qmill shaders`: the WGSL that runs on the GPU, as it is joined.

use super::failure::Failure;
use clap::Args;
use qmill::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

/// Lists the shaders by name, prints one, or writes all of them.
#[derive(Args)]
pub(crate) struct Shaders {
    /// The shader to print, as in `quantize_pack.q4_k.f16`
    name: Option<String>,
    /// Write every shader into this folder, as NAME.wgsl
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    out: Option<PathBuf>,
}

impl Shaders {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if let Some(folder) = &self.out {
            let fault = |path: &PathBuf, source| Error::Io { path: path.clone(), action: "write", source };
            fs::create_dir_all(folder).map_err(|source| fault(folder, source))?;
            for (name, wgsl) in qmill::gpu::shaders() {
                let path = folder.join(format!("{name}.wgsl"));
                fs::write(&path, wgsl).map_err(|source| fault(&path, source))?;
            }
            return Ok(());
        }
        match self.name {
            Some(wanted) => {
                let found = qmill::gpu::shaders().find(|(name, _)| *name == wanted);
                let (_, wgsl) = found.ok_or_else(|| {
                    Failure::Usage(format!("{wanted:?} is none of what `qmill shaders` lists"))
                })?;
                out.write_all(wgsl.as_bytes())?;
            }
            None => {
                for (name, _) in qmill::gpu::shaders() {
                    writeln!(out, "{name}")?;
                }
            }
        }
        Ok(())
    }
}
