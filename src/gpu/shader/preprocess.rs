//! Joins WGSL files into one text, by the directives `#import`, `#ifdef`, `#if` and `#repeat`.
//! `shaders/README.md` has the rules.

use super::files::FILES;
use std::borrow::Cow;
use std::fmt;

/// The value of a constant, which is declared at the top of the text as `const NAME = …;`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Constant {
    /// A `u32`, which `#if` and `#repeat` may name.
    Uint(u32),
    /// An `f32`.
    Float(f32),
    /// A `bool`.
    Bool(bool),
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Self::Uint(value)
    }
}

impl From<f32> for Constant {
    fn from(value: f32) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// An error in a shader's files: the file, the line, and what was expected there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreprocessError(String);

impl fmt::Display for PreprocessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PreprocessError {}

/// WGSL files, with the switches and constants by which they are joined. They may import the library's own
/// files, such as `lib/int8_block.wgsl`.
///
/// ```
/// use qmill::gpu::wgsl::Wgsl;
///
/// let text = Wgsl::new()
///     .file("scale.wgsl", "
/// #import lib/f16_bits.wgsl
/// #ifdef TWICE
/// const BY = 2.0;
/// #else
/// const BY = 1.0;
/// #endif
/// #repeat i 4
/// fn scale$i(x: f32) -> f32 { return x * (BY + f32($i)); }
/// #end")
///     .switch("TWICE", true)
///     .constant("LANES", 64)
///     .preprocess("scale.wgsl")?;
/// assert!(text.starts_with("const LANES: u32 = 64u;"));
/// assert!(text.contains("fn scale3(x: f32)"));
/// # Ok::<(), qmill::gpu::wgsl::PreprocessError>(())
/// ```
#[derive(Clone, PartialEq, Default, Debug)]
#[must_use]
pub struct Wgsl<'a> {
    files: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    aliases: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    switches: Vec<(Cow<'a, str>, bool)>,
    constants: Vec<(Cow<'a, str>, Constant)>,
}

impl<'a> Wgsl<'a> {
    /// The library's files, no switch and no constant.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file for `#import path`. It takes precedence over a file of the library with the same path.
    pub fn file(mut self, path: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> Self {
        self.files.push((path.into(), text.into()));
        self
    }

    /// Adds several files, each as its path and its text.
    pub fn files(mut self, files: &'a [(&'a str, &'a str)]) -> Self {
        self.files.extend(files.iter().map(|&(path, text)| (path.into(), text.into())));
        self
    }

    /// Makes `#import name` import the file `path`: so one text can read its operand from a buffer or a
    /// texture.
    pub fn alias(mut self, name: impl Into<Cow<'a, str>>, path: impl Into<Cow<'a, str>>) -> Self {
        self.aliases.push((name.into(), path.into()));
        self
    }

    /// Declares a name for `#ifdef`, and whether it is defined. Other names are errors.
    pub fn switch(mut self, name: impl Into<Cow<'a, str>>, is_on: bool) -> Self {
        self.switches.push((name.into(), is_on));
        self
    }

    /// Adds a constant, which is declared at the top of the text.
    pub fn constant(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Constant>) -> Self {
        self.constants.push((name.into(), value.into()));
        self
    }

    /// The text of the file `path` and of the files that it imports, each file once.
    ///
    /// Fails where a file is missing, a line that starts with `#` is no directive, a switch or a constant is
    /// not declared, or a block has no end.
    pub fn preprocess(&self, path: &str) -> Result<String, PreprocessError> {
        let mut text = String::new();
        for (name, value) in &self.constants {
            let (kind, value) = match value {
                Constant::Uint(value) => ("u32", value.to_string() + "u"),
                Constant::Float(value) => ("f32", format!("{value:?}")),
                Constant::Bool(value) => ("bool", value.to_string()),
            };
            text += &["const ", name, ": ", kind, " = ", &value, ";\n"].concat();
        }
        let numbers = self.constants.iter().filter_map(|(name, value)| match value {
            Constant::Uint(value) => Some((name.to_string(), *value)),
            Constant::Float(_) | Constant::Bool(_) => None,
        });
        let mut preprocessor = Preprocessor {
            wgsl: self,
            imported: Vec::new(),
            enabled: String::new(),
            numbers: numbers.collect(),
            text,
        };
        preprocessor.import(path).map_err(PreprocessError)?;
        Ok(preprocessor.enabled + &preprocessor.text)
    }

    /// A file's path and text, by its path or an alias.
    fn find(&self, name: &str) -> Option<(&str, &str)> {
        let path = self.aliases.iter().find(|(alias, _)| alias == name).map_or(name, |(_, path)| path);
        let own = self.files.iter().find(|(known, _)| known == path);
        let own = own.map(|(path, text)| (path.as_ref(), text.as_ref()));
        own.or_else(|| FILES.iter().find(|(known, _)| *known == path).copied())
    }
}

struct Preprocessor<'a> {
    wgsl: &'a Wgsl<'a>,
    imported: Vec<String>,
    /// Extensions of WGSL, which come before all other text.
    enabled: String,
    /// The constants that `#if` and `#repeat` may name: those of the host, and those that files declare as a
    /// number.
    numbers: Vec<(String, u32)>,
    text: String,
}

/// The name and value of `const NAME = NUMBERu;`.
fn number_constant(line: &str) -> Option<(String, u32)> {
    let (name, value) = line.strip_prefix("const ")?.strip_suffix(';')?.split_once(" = ")?;
    Some((name.to_owned(), value.strip_suffix('u')?.parse().ok()?))
}

/// A line of a file, with its number.
type Line<'a> = (usize, Cow<'a, str>);

impl Preprocessor<'_> {
    /// Appends a file, unless it is in the text already.
    fn import(&mut self, name: &str) -> Result<(), String> {
        let (path, text) = self.wgsl.find(name).ok_or_else(|| format!("there is no {name} to import"))?;
        if self.imported.iter().any(|known| known == path) {
            return Ok(());
        }
        self.imported.push(path.to_owned());
        let lines: Vec<Line> = (1..).zip(text.lines().map(Cow::from)).collect();
        self.append(path, &lines)
    }

    /// Appends lines of a file.
    fn append(&mut self, path: &str, lines: &[Line]) -> Result<(), String> {
        // For each #ifdef or #if around the current line, whether its text is taken.
        let mut conditions: Vec<bool> = Vec::new();
        let mut next = 0;
        while let Some((number, line)) = lines.get(next) {
            next += 1;
            let fault = |what: String| format!("{path}:{number}: {what}");
            let taken = conditions.iter().all(|&taken| taken);
            let Some(directive) = line.trim_start().strip_prefix('#') else {
                if taken {
                    self.append_line(line);
                }
                continue;
            };
            match directive.split_whitespace().collect::<Vec<_>>()[..] {
                ["import", imported] if taken => self.import(imported).map_err(fault)?,
                ["import", _] => {}
                ["ifdef", name] => conditions.push(self.switch(name).map_err(fault)?),
                ["ifndef", name] => conditions.push(!self.switch(name).map_err(fault)?),
                // In text that is not taken, constants may be unknown.
                ["if", _, _, _] if !taken => conditions.push(false),
                ["if", name, relation, limit] => {
                    let (value, limit) =
                        (self.number(name).map_err(fault)?, self.number(limit).map_err(fault)?);
                    conditions.push(match relation {
                        ">" => value > limit,
                        "==" => value == limit,
                        _ => return Err(fault(format!("expected > or ==, found {relation}"))),
                    });
                }
                ["else"] => match conditions.last_mut() {
                    Some(condition) => *condition = !*condition,
                    None => return Err(fault("#else without #ifdef or #if".to_owned())),
                },
                ["endif"] => {
                    conditions.pop().ok_or_else(|| fault("#endif without #ifdef or #if".to_owned()))?;
                }
                ["repeat", variable, ref bounds @ ..] => {
                    let length =
                        repeated(&lines[next..]).ok_or_else(|| fault("#repeat without #end".to_owned()))?;
                    let body = &lines[next..next + length];
                    next += length + 1;
                    if taken {
                        let range = self.range(bounds).map_err(fault)?;
                        self.repeat(path, &format!("${variable}"), range, body)?;
                    }
                }
                _ => {
                    let expected = "#import PATH, #ifdef NAME, #ifndef NAME, #if CONSTANT > NUMBER, \
                                    #if CONSTANT == NUMBER, #else, #endif, #repeat NAME COUNT, \
                                    #repeat NAME FIRST END or #end";
                    return Err(fault(format!("expected {expected}, found {line}")));
                }
            }
        }
        if conditions.is_empty() { Ok(()) } else { Err(format!("{path}: #ifdef or #if without #endif")) }
    }

    fn append_line(&mut self, line: &str) {
        let text = if line.starts_with("enable ") { &mut self.enabled } else { &mut self.text };
        text.push_str(line);
        text.push('\n');
        self.numbers.extend(number_constant(line));
    }

    /// Appends lines once for each number, which replaces `variable`.
    fn repeat(
        &mut self,
        path: &str,
        variable: &str,
        range: std::ops::Range<u32>,
        body: &[Line],
    ) -> Result<(), String> {
        for i in range {
            let with_number =
                |(number, line): &Line| (*number, line.replace(variable, &i.to_string()).into());
            let lines: Vec<Line> = body.iter().map(with_number).collect();
            self.append(path, &lines)?;
        }
        Ok(())
    }

    fn range(&self, bounds: &[&str]) -> Result<std::ops::Range<u32>, String> {
        match bounds {
            [count] => Ok(0..self.number(count)?),
            [first, end] => Ok(self.number(first)?..self.number(end)?),
            _ => Err("expected #repeat NAME COUNT or #repeat NAME FIRST END".to_owned()),
        }
    }

    /// The value of a number or of a constant.
    fn number(&self, text: &str) -> Result<u32, String> {
        if let Ok(number) = text.parse() {
            return Ok(number);
        }
        let known = self.numbers.iter().find(|(name, _)| name == text);
        known.map(|&(_, value)| value).ok_or_else(|| format!("{text} is no constant before this line"))
    }

    fn switch(&self, name: &str) -> Result<bool, String> {
        let known = self.wgsl.switches.iter().find(|(known, _)| known == name);
        known.map(|&(_, is_on)| is_on).ok_or_else(|| format!("{name} is no switch of this shader"))
    }
}

/// The number of lines before the `#end` of a `#repeat` that precedes them.
fn repeated(lines: &[Line]) -> Option<usize> {
    let mut depth = 1;
    lines.iter().position(|(_, line)| {
        let line = line.trim();
        depth += i32::from(line.starts_with("#repeat ")) - i32::from(line == "#end");
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processed(text: &str) -> Result<String, String> {
        let wgsl = Wgsl::new().file("a.wgsl", text).file("b.wgsl", "b\n").alias("either", "b.wgsl");
        let wgsl = wgsl.switch("ON", true).switch("OFF", false).constant("FOUR", 4);
        let text = wgsl.preprocess("a.wgsl").map_err(|error| error.to_string())?;
        Ok(text.strip_prefix("const FOUR: u32 = 4u;\n").expect("it comes first").to_owned())
    }

    #[test]
    fn wgsl_is_chosen_by_switches_and_constants() {
        assert_eq!(processed("#ifdef ON\nx\n#else\ny\n#endif").unwrap(), "x\n");
        assert_eq!(processed("#ifdef OFF\nx\n#if UNKNOWN > 1\nz\n#endif\n#else\ny\n#endif").unwrap(), "y\n");
        assert_eq!(processed("#if FOUR > 3\nx\n#endif\n#if FOUR == 3\ny\n#endif").unwrap(), "x\n");
        assert_eq!(processed("const TWO = 2u;\n#if TWO == 2\nx\n#endif").unwrap(), "const TWO = 2u;\nx\n");
    }

    #[test]
    fn a_wgsl_file_is_imported_once_by_its_path_or_an_alias() {
        assert_eq!(processed("#import b.wgsl\n#import either\nx").unwrap(), "b\nx\n");
    }

    #[test]
    fn wgsl_is_repeated_with_each_number() {
        assert_eq!(
            processed("#repeat i 1 3\nx$i\n#end\n#repeat i FOUR\n$i\n#end").unwrap(),
            "x1\nx2\n0\n1\n2\n3\n"
        );
        let nested = "#repeat i 2\n#repeat j 2\n$i$j\n#end\n#if $i == 1\nlast\n#endif\n#end";
        assert_eq!(processed(nested).unwrap(), "00\n01\n10\n11\nlast\n");
    }

    #[test]
    fn errors_of_wgsl_name_the_file_and_the_line() {
        let fails = |text: &str, error: &str| assert_eq!(processed(text).unwrap_err(), error);
        fails("x\n#import c.wgsl", "a.wgsl:2: there is no c.wgsl to import");
        fails("#ifdef SOON\n#endif", "a.wgsl:1: SOON is no switch of this shader");
        fails("#if SOON > 1\n#endif", "a.wgsl:1: SOON is no constant before this line");
        fails("#if FOUR < 1\n#endif", "a.wgsl:1: expected > or ==, found <");
        fails("#endif", "a.wgsl:1: #endif without #ifdef or #if");
        fails("#else", "a.wgsl:1: #else without #ifdef or #if");
        fails("#ifdef ON", "a.wgsl: #ifdef or #if without #endif");
        fails("#repeat i 2\nx", "a.wgsl:1: #repeat without #end");
        fails("#repeat i\n#end", "a.wgsl:1: expected #repeat NAME COUNT or #repeat NAME FIRST END");
        assert!(processed("#define X").unwrap_err().starts_with("a.wgsl:1: expected #import PATH"));
    }
}
