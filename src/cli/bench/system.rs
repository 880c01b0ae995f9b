//! What the operating system says of the machine.

use std::{env, fs, thread};

/// The operating system, with its version where a file has it: `linux: Debian GNU/Linux 12 (bookworm),
/// 6.1.0`.
pub(super) fn os() -> String {
    let version = match env::consts::OS {
        "linux" => linux(&read("/etc/os-release"), &read("/proc/sys/kernel/osrelease")),
        "macos" => macos(&read("/System/Library/CoreServices/SystemVersion.plist")),
        _ => String::new(),
    };
    let name = env::consts::OS;
    if version.is_empty() { name.to_owned() } else { format!("{name}: {version}") }
}

/// Processors that the system runs threads on.
pub(super) fn cpu_cores() -> Option<usize> {
    thread::available_parallelism().ok().map(usize::from)
}

/// Bytes of memory; `None` where no file has it.
pub(super) fn memory_bytes() -> Option<u64> {
    meminfo(&read("/proc/meminfo"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn linux(release: &str, kernel: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let parts = [name.unwrap_or_default().trim_matches('"'), kernel.trim()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn macos(plist: &str) -> String {
    let after = plist.split_once("<key>ProductVersion</key>").map_or("", |(_, after)| after);
    let version = after.split_once("<string>").and_then(|(_, after)| after.split_once("</string>"));
    version.map_or_else(String::new, |(version, _)| version.to_owned())
}

fn meminfo(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_memory_are_read_from_the_systems_files() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(linux(release, "6.1.0-13\n"), "Debian GNU/Linux 12 (bookworm), 6.1.0-13");
        assert_eq!((linux("", "6.1\n"), linux("", "")), ("6.1".to_owned(), String::new()));
        let plist = "<key>ProductName</key>\n<string>macOS</string>\n<key>ProductVersion</key>\n\
                     <string>15.1</string>\n";
        assert_eq!((macos(plist), macos("")), ("15.1".to_owned(), String::new()));
        let text = "MemTotal:       24689764 kB\nMemFree:        20000000 kB\n";
        assert_eq!((meminfo(text), meminfo("MemFree: 1 kB")), (Some(24_689_764 << 10), None));
    }
}
