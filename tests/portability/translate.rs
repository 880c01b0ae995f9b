//! Translates shaders as wgpu-hal 30 does for each backend, for compiling them without a GPU.
//!
//! `translate FOLDER` writes every shader of the library to the folder, `translate FOLDER NAME.wgsl...` those
//! files: beside each `NAME.wgsl` its `.spv`, `.metal` and `.hlsl` for three shader models, and `index.json`
//! for all. For the library's shaders of exact arithmetic, it also writes `NAME.vulkan.spv`, the module that
//! Vulkan drivers get, which forbids contraction.
//!
//! FXC has no subgroup operations, so it gets no such shaders. Shaders with cooperative matrices are in
//! `FOLDER/cooperative`, as WGSL for wgpu, SPIR-V and, if their form is Metal's, MSL: browsers and DX12 do
//! not support them.

use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

#[path = "../../src/cli/shaders/translate.rs"]
mod translation;

use translation::{Hlsl, SHADER_MODELS, Shader, has_subgroups, is_cooperative};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: translate FOLDER [NAME.wgsl...]")?;
    let folder = Path::new(&folder);
    let files: Vec<String> = arguments.collect();
    fs::create_dir_all(folder)?;
    let mut status = ExitCode::SUCCESS;
    let shaders: Vec<(String, String)> = if files.is_empty() {
        for (name, words) in qmill::gpu::vulkan_modules() {
            match words {
                Ok(words) => fs::write(folder.join(format!("{name}.vulkan.spv")), bytes(&words))?,
                Err(error) => {
                    eprintln!("{name}: {error}");
                    status = ExitCode::FAILURE;
                }
            }
        }
        qmill::gpu::shaders().collect()
    } else {
        let read = |file: &String| Ok((stem(file)?, fs::read_to_string(file)?));
        files.iter().map(read).collect::<Result<_, Box<dyn Error>>>()?
    };
    let mut index = Vec::new();
    for (name, wgsl) in shaders {
        // Browsers require `enable`, which naga rejects.
        let enable = if has_subgroups(&name) { "enable subgroups;\n" } else { "" };
        let folder = if is_cooperative(&wgsl) { &folder.join("cooperative") } else { folder };
        fs::create_dir_all(folder)?;
        fs::write(folder.join(format!("{name}.wgsl")), format!("{enable}{wgsl}"))?;
        match translate(folder, &name, &wgsl) {
            Ok(entry) if is_cooperative(&wgsl) => drop(entry),
            Ok(entry) => index.push(entry),
            Err(error) => {
                eprintln!("{name}: {error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    fs::write(folder.join("index.json"), serde_json::to_string_pretty(&index)?)?;
    Ok(status)
}

fn stem(file: &str) -> Result<String, Box<dyn Error>> {
    let name = Path::new(file).file_stem().and_then(|name| name.to_str());
    Ok(name.ok_or_else(|| format!("{file} has no name"))?.to_owned())
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Writes a shader's translations; returns its entry for the index.
fn translate(folder: &Path, name: &str, wgsl: &str) -> Result<Value, Box<dyn Error>> {
    let shader = Shader::new(name, wgsl)?;
    let write =
        |extension: &str, contents: &[u8]| fs::write(folder.join(format!("{name}.{extension}")), contents);
    write("spv", &bytes(&shader.spirv()?))?;
    if let Some(text) = shader.msl()? {
        write("metal", text.as_bytes())?;
    }
    let mut hlsl_entry = String::new();
    for (model, shader_model) in SHADER_MODELS {
        if let Some(Hlsl { text, entry_point }) = shader.hlsl(shader_model)? {
            write(&format!("{model}.hlsl"), text.as_bytes())?;
            hlsl_entry = entry_point;
        }
    }
    Ok(json!({
        "name": name,
        "entry_point": shader.entry_point(),
        "hlsl_entry_point": hlsl_entry,
        "workgroup_size": shader.module.entry_points[0].workgroup_size,
    }))
}
