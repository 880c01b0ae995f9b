//! `qmill shaders`: the preprocessed WGSL that runs on the GPU, or its translation for a backend.

mod translate;

use super::failure::Failure;
use clap::{Args, ValueEnum};
use qmill::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use translate::{Hlsl, SHADER_MODELS, Shader};

/// Lists the names of the shaders, prints one, or writes all of them.
#[derive(Args)]
pub(crate) struct Shaders {
    /// The shader to print, as in `quantize_pack.q4_k.f16`
    name: Option<String>,
    /// Write every shader to this folder, as NAME.wgsl
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    out: Option<PathBuf>,
    /// Translate it as for a backend: Vulkan SPIR-V (binary), Metal MSL, DX12 HLSL for the newest shader
    /// model, or WGSL as written by naga
    #[arg(long, value_name = "LANGUAGE", requires = "name")]
    to: Option<Language>,
}

/// The languages that a shader can be translated to.
#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Spirv,
    Msl,
    Hlsl,
    Wgsl,
}

impl Language {
    /// The shader in this language; `None` if the backend lacks an operation of the shader.
    fn of(self, name: &str, wgsl: &str) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error>> {
        let shader = Shader::new(name, wgsl)?;
        Ok(match self {
            Self::Spirv => Some(shader.spirv()?.iter().flat_map(|word| word.to_le_bytes()).collect()),
            Self::Msl => shader.msl()?.map(String::into_bytes),
            Self::Hlsl => {
                let [.., (_, newest)] = SHADER_MODELS;
                let hlsl = shader.hlsl(newest)?;
                hlsl.map(|Hlsl { text, entry_point }| format!("// Entry point: {entry_point}\n{text}").into())
            }
            Self::Wgsl => {
                let flags = naga::back::wgsl::WriterFlags::empty();
                Some(naga::back::wgsl::write_string(&shader.module, &shader.info, flags)?.into_bytes())
            }
        })
    }
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
                let text = match self.to {
                    None => Some(wgsl.into_bytes()),
                    Some(language) => {
                        let translated = language.of(&wanted, &wgsl);
                        translated.map_err(|error| Failure::Usage(format!("{wanted}: {error}")))?
                    }
                };
                let text = text.ok_or_else(|| {
                    Failure::Usage(format!("{wanted} has operations that this backend does not have"))
                })?;
                out.write_all(&text)?;
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
