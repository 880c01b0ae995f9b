//! The `qmill` program: parse, call, print what went wrong, exit.

mod cli;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_loader();
    match cli::Cli::from_command_line().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Keeps Mesa's Vulkan layer that sorts devices by the display in use from complaining where there is no display.
#[expect(unsafe_code, reason = "the layer is told by the environment alone")]
fn quiet_loader() {
    if cfg!(target_os = "linux") && env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program has one thread yet.
        unsafe { env::set_var("NODEVICE_SELECT", "1") };
    }
}
