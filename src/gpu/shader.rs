//! Joins WGSL files into one module: a kernel, a format, and what they import. `shaders/README.md` has the rules.

use crate::Format;
use std::fmt::Write;

/// The files a kernel or a format may import, by their path in `shaders/`.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../shaders/", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "kernel/bundle_count.wgsl",
    "kernel/bundle_place.wgsl",
    "kernel/check_weights.wgsl",
    "kernel/copy_rows.wgsl",
    "kernel/dequantize.wgsl",
    "kernel/get_rows.wgsl",
    "kernel/matmul.wgsl",
    "kernel/matmul_cooperative.wgsl",
    "kernel/matmul_halves.wgsl",
    "kernel/matmul_row_sizes.wgsl",
    "kernel/matmul_sum.wgsl",
    "kernel/matvec.wgsl",
    "kernel/quantize_activations.wgsl",
    "kernel/read_matrix.wgsl",
    "kernel/split.wgsl",
    "kernel/quantize.wgsl",
    "kernel/quantize_pack.wgsl",
    "kernel/quantize_search.wgsl",
    "kernel/self_test.wgsl",
    "kernel/self_test_half.wgsl",
    "lib/activations.wgsl",
    "lib/add_unit.wgsl",
    "lib/affine_codes.wgsl",
    "lib/affine_decode.wgsl",
    "lib/affine_search.wgsl",
    "lib/bundles.wgsl",
    "lib/codebook.wgsl",
    "lib/codebook_codes.wgsl",
    "lib/codes.wgsl",
    "lib/decoder.wgsl",
    "lib/dot.wgsl",
    "lib/dot_in_pairs.wgsl",
    "lib/e2m1.wgsl",
    "lib/encoded.wgsl",
    "lib/exact.wgsl",
    "lib/extremes.wgsl",
    "lib/four_rows.wgsl",
    "lib/grid.wgsl",
    "lib/half.wgsl",
    "lib/half_value.wgsl",
    "lib/halves.wgsl",
    "lib/int8_block.wgsl",
    "lib/int8_place.wgsl",
    "lib/level_codes.wgsl",
    "lib/level_search.wgsl",
    "lib/levels.wgsl",
    "lib/multiply_exact.wgsl",
    "lib/multiply_int8.wgsl",
    "lib/numbers.wgsl",
    "lib/pack.wgsl",
    "lib/params.wgsl",
    "lib/product.wgsl",
    "lib/scale_search.wgsl",
    "lib/six_bit.wgsl",
    "lib/source.wgsl",
    "lib/split.wgsl",
    "lib/split_block.wgsl",
    "lib/stored_scale.wgsl",
    "lib/tile_exact.wgsl",
    "lib/tile_int8.wgsl",
    "lib/sub_block.wgsl",
    "lib/ternary.wgsl",
    "lib/unpack.wgsl",
];

/// What `#import format` stands for.
const FORMAT: &str = "format";

/// The text of the file `kernel` and of all it imports, with `names` defined and `constants` declared before it.
///
/// Fails with the file, the line and what is wrong there.
pub(super) fn join(
    kernel: &str,
    format: Option<Format>,
    names: &[&str],
    constants: &[(&str, usize)],
) -> Result<String, String> {
    let mut text = String::new();
    for (name, value) in constants {
        writeln!(text, "const {name} = {value}u;").expect("a string takes all");
    }
    let constants = constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let mut joiner = Joiner { format, names, imported: Vec::new(), enabled: String::new(), constants, text };
    joiner.import(kernel)?;
    Ok(joiner.enabled + &joiner.text)
}

struct Joiner<'a> {
    format: Option<Format>,
    names: &'a [&'a str],
    imported: Vec<String>,
    /// Extensions of WGSL, which stand before all else.
    enabled: String,
    /// Constants that #if may ask for: those given, and those that files declare as a number.
    constants: Vec<(String, usize)>,
    text: String,
}

/// What `const NAME = NUMBERu;` declares.
fn constant(line: &str) -> Option<(String, usize)> {
    let (name, value) = line.strip_prefix("const ")?.strip_suffix(';')?.split_once(" = ")?;
    Some((name.to_owned(), value.strip_suffix('u')?.parse().ok()?))
}

impl Joiner<'_> {
    fn constant(&self, name: &str) -> Option<usize> {
        self.constants.iter().find(|(known, _)| known == name).map(|&(_, value)| value)
    }

    fn file(&self, path: &str) -> Option<(String, &'static str)> {
        if path == FORMAT {
            let format = self.format?;
            return Some((format!("format/{}.wgsl", format.name().to_lowercase()), format.info().shader));
        }
        FILES.iter().find(|(name, _)| *name == path).map(|&(name, text)| (name.to_owned(), text))
    }

    /// Appends a file, unless it is there already.
    fn import(&mut self, path: &str) -> Result<(), String> {
        let (path, text) = self.file(path).ok_or_else(|| format!("there is no {path} to import"))?;
        if self.imported.contains(&path) {
            return Ok(());
        }
        self.imported.push(path.clone());
        // Whether the text of each #ifdef around this line is taken.
        let mut conditions: Vec<bool> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let fault = |what: &str| Err(format!("{path}:{}: {what}", number + 1));
            let taken = conditions.iter().all(|&taken| taken);
            let Some(directive) = line.trim_start().strip_prefix('#') else {
                if taken {
                    let text = if line.starts_with("enable ") { &mut self.enabled } else { &mut self.text };
                    text.push_str(line);
                    text.push('\n');
                    self.constants.extend(constant(line));
                }
                continue;
            };
            match directive.split_whitespace().collect::<Vec<_>>()[..] {
                ["import", imported] if taken => {
                    self.import(imported).map_err(|error| format!("{path}:{}: {error}", number + 1))?;
                }
                ["import", _] => {}
                ["ifdef", name] => conditions.push(self.names.contains(&name)),
                ["ifndef", name] => conditions.push(!self.names.contains(&name)),
                // Within what is not taken, constants may be unknown.
                ["if", _, _, _] if !taken => conditions.push(false),
                ["if", name, relation, number] => {
                    let Some(value) = self.constant(name) else {
                        return fault(&format!("{name} is no constant before this line"));
                    };
                    conditions.push(match (relation, number.parse::<usize>()) {
                        (">", Ok(number)) => value > number,
                        ("==", Ok(number)) => value == number,
                        _ => return fault("expected > or ==, and a number"),
                    });
                }
                ["else"] => match conditions.last_mut() {
                    Some(condition) => *condition = !*condition,
                    None => return fault("#else without #ifdef"),
                },
                ["endif"] => {
                    if conditions.pop().is_none() {
                        return fault("#endif without #ifdef");
                    }
                }
                _ => {
                    return fault(
                        "expected #import PATH, #ifdef NAME, #ifndef NAME, #if CONSTANT > NUMBER, #if CONSTANT == NUMBER, #else or #endif",
                    );
                }
            }
        }
        if conditions.is_empty() { Ok(()) } else { Err(format!("{path}: #ifdef without #endif")) }
    }
}
