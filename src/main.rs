//! The `qmill` program: parses the command line, runs the command, prints the error, exits.

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

/// Disables Mesa's Vulkan device-select layer if there is no display: it would print a warning.
#[expect(unsafe_code, reason = "only an environment variable controls the layer")]
fn quiet_loader() {
    if cfg!(target_os = "linux") && env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program has no other threads yet.
        unsafe { env::set_var("NODEVICE_SELECT", "1") };
    }
}
