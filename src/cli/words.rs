//! Arguments from a known set: shell completions, and suggestions for a wrong argument.

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};
use qmill::FORMATS;
use qmill::mix::FILE_TYPES;
use std::error::Error as StdError;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::marker::PhantomData;
use std::path::Path;
use std::str::FromStr;

/// Words more similar than this are suggested.
const LIKELY: f64 = 0.75;

/// Parses by [`FromStr`]. Completions offer the words of `known`, and an error suggests the most similar one.
#[derive(Clone)]
pub(super) struct Words<T> {
    known: fn() -> Vec<&'static str>,
    parsed: PhantomData<fn() -> T>,
}

impl<T> Words<T> {
    pub(super) fn of(known: fn() -> Vec<&'static str>) -> Self {
        Self { known, parsed: PhantomData }
    }
}

impl<T> TypedValueParser for Words<T>
where
    T: FromStr<Err: Into<Box<dyn StdError + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let parse = |text: &str| text.parse::<T>();
        let error = match TypedValueParser::parse_ref(&parse, command, argument, value) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => error,
        };
        let Some(meant) = nearest(&value.to_string_lossy(), (self.known)()) else { return Err(error) };
        let mut suggesting = error;
        suggesting.insert(ContextKind::SuggestedValue, ContextValue::String(meant.to_owned()));
        if suggesting.kind() == ErrorKind::ValueValidation {
            let tip = format!("a similar value exists: '{meant}'").into();
            suggesting.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        Err(suggesting)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.known)().into_iter().map(PossibleValue::new)))
    }
}

/// Accepts any word. Completions offer those of the function.
#[derive(Clone)]
pub(super) struct Offering(pub(super) fn() -> Vec<&'static str>);

impl TypedValueParser for Offering {
    type Value = OsString;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<OsString, Error> {
        Ok(value.to_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// The names of file types.
pub(super) fn file_types() -> Vec<&'static str> {
    FILE_TYPES.iter().map(|info| info.name).collect()
}

/// The names of tensor formats.
pub(super) fn formats() -> Vec<&'static str> {
    FORMATS.iter().map(|info| info.name).collect()
}

/// The names of tensor formats, and `all`.
pub(super) fn formats_or_all() -> Vec<&'static str> {
    let mut words = formats();
    words.push("all");
    words
}

/// The values of `--device` besides numbers and names.
pub(super) fn devices() -> Vec<&'static str> {
    vec!["auto", "cpu", "gpu"]
}

/// The known word most similar to `wrong`, if one is similar enough, ignoring case and punctuation.
pub(super) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |word: &str| word.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
    let wrong = letters(wrong);
    let likeness = |word: &str| strsim::normalized_damerau_levenshtein(&wrong, &letters(word));
    let scored = known.into_iter().map(|word| (likeness(word), word));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= LIKELY).map(|(_, word)| word)
}

/// A hint to the file beside `missing` with the most similar name; empty if there is none.
pub(super) fn similar_file(missing: &Path) -> String {
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Some(wanted), Ok(entries)) = (missing.file_name(), fs::read_dir(folder)) else {
        return String::new();
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    let mut hint = String::new();
    if let Some(name) = nearest(&wanted.to_string_lossy(), names.iter().map(String::as_str)) {
        // Writing to a String cannot fail.
        let _ = write!(hint, "; did you mean {}?", missing.with_file_name(name).display());
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::{file_types, formats, nearest};

    #[test]
    fn the_nearest_word_is_found_and_far_ones_are_not() {
        assert_eq!(nearest("q4_k_n", file_types()), Some("Q4_K_M"));
        assert_eq!(nearest("Q4KM", file_types()), Some("Q4_K_M"));
        assert_eq!(nearest("iq4-xs", formats()), Some("IQ4_XS"));
        assert_eq!(nearest("banana", formats()), None);
    }
}
