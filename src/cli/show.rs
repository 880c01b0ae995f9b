//! Formatting and parsing of sizes.

/// `1.5 GiB`, `17 KiB`, `512 B`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(size), UNITS[unit])
}

/// `135 M`, `7.24 B`: a number of weights.
pub(crate) fn count(count: u64) -> String {
    let (divided, unit) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (count as f64 / 1e3, "K"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "M"),
        _ => (count as f64 / 1e9, "B"),
    };
    format!("{} {unit}", three_digits(divided))
}

fn three_digits(number: f64) -> String {
    let digits = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
    format!("{number:.digits$}")
}

/// `4096 x 256`, in ggml's order.
pub(crate) fn shape(shape: &[u64]) -> String {
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ")
}

/// A name from a file, with control characters escaped.
pub(crate) fn escaped(name: &str) -> String {
    name.escape_debug().to_string()
}

/// The width of the widest text.
pub(crate) fn width<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

/// Parses a number of bytes with a binary suffix: `256M`, `1.5GiB`, `65536`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("{unit:?} is no unit of bytes: K, M, G and T are, all binary")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    Ok((number * (1u64 << shift) as f64) as u64)
}

/// Parses a number of threads. As in llama.cpp, 0 and negative numbers mean all cores; they give 0.
pub(crate) fn parse_threads(text: &str) -> Result<usize, String> {
    let count: i64 = text.parse().map_err(|_| format!("{text:?} is no number of threads"))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// `1 tensor`, `2 tensors`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse_bytes("256M"), Ok(256 << 20));
        assert_eq!(parse_bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("65536"), Ok(65536));
        assert!(parse_bytes("12X").is_err());
        assert!(parse_bytes("").is_err());
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(1_048_000), "1.00 MiB");
        assert_eq!(count(134_515_008), "135 M");
        assert_eq!(count(7_240_000_000), "7.24 B");
    }
}
