//! Parts of Python that templates use: `json.dumps`, `%`, and methods of strings that minijinja lacks.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::fmt::Write;

/// Deepest nesting of values in JSON; Python has a similar limit.
const DEPTH: usize = 200;

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// `tojson` of transformers: `json.dumps` without escapes for HTML. Keys keep their order.
#[expect(clippy::needless_pass_by_value, reason = "minijinja passes arguments by value")]
pub(super) fn to_json(
    value: &Value,
    ensure_ascii: Option<Value>,
    indent: Option<Value>,
    separators: Option<Value>,
    more: Kwargs,
) -> Result<String, Error> {
    let argument = |given: Option<Value>, name| match given {
        Some(value) => Ok(Some(value)),
        None => more.get::<Option<Value>>(name),
    };
    let ensure_ascii = argument(ensure_ascii, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let indent = argument(indent, "indent")?.filter(|value| !value.is_none());
    let separators = argument(separators, "separators")?.filter(|value| !value.is_none());
    let sort_keys = argument(None, "sort_keys")?.is_some_and(|value| value.is_true());
    more.assert_all_used()?;
    let indent = match indent {
        None => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(i64::try_from(indent)?.clamp(0, 64) as usize),
        }),
    };
    let [item, key] = match separators {
        None if indent.is_some() => [",".to_owned(), ": ".to_owned()],
        None => [", ".to_owned(), ": ".to_owned()],
        Some(pair) => {
            let texts: Vec<Value> = pair.try_iter()?.collect();
            match &texts[..] {
                [item, key] => [item.to_string(), key.to_string()],
                _ => return Err(refused("separators should be two texts")),
            }
        }
    };
    let style = Style { ensure_ascii, indent, item, key, sort_keys };
    let mut out = String::new();
    style.write(value, 0, &mut out)?;
    Ok(out)
}

/// A value from JSON. Keys keep their order.
pub(super) fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(x) => Value::from(*x),
        serde_json::Value::Number(x) => match (x.as_i64(), x.as_u64()) {
            (Some(x), _) => Value::from(x),
            (None, Some(x)) => Value::from(x),
            (None, None) => Value::from(x.as_f64()),
        },
        serde_json::Value::String(x) => Value::from(x.as_str()),
        serde_json::Value::Array(x) => x.iter().map(from_json).collect(),
        serde_json::Value::Object(x) => {
            Value::from_pairs(x.iter().map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}

/// The style of JSON.
struct Style {
    ensure_ascii: bool,
    /// The indent of a level, if each item gets a line.
    indent: Option<String>,
    /// The separator of items.
    item: String,
    /// The separator of a key and its value.
    key: String,
    sort_keys: bool,
}

impl Style {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(refused("a value that is nested too deep for JSON"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.write_text(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_items(['[', ']'], &items, depth, out, |item, out| {
                    self.write(item, depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.write_items(['{', '}'], &keys, depth, out, |key, out| {
                    self.write_key(key, out)?;
                    out.push_str(&self.key);
                    self.write(&value.get_item(key)?, depth + 1, out)
                })?;
            }
            kind => return Err(refused(format!("{kind} is nothing that JSON has"))),
        }
        Ok(())
    }

    fn write_items(
        &self,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        out: &mut String,
        write: impl Fn(&Value, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        let new_line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent.as_ref().filter(|_| !items.is_empty()) {
                out.push('\n');
                (0..depth).for_each(|_| out.push_str(indent));
            }
        };
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.item);
            }
            new_line(depth + 1, out);
            write(item, out)?;
        }
        new_line(depth, out);
        out.push(close);
        Ok(())
    }

    fn write_key(&self, key: &Value, out: &mut String) -> Result<(), Error> {
        let text = match key.kind() {
            ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
            ValueKind::None => "null".to_owned(),
            ValueKind::Bool => key.is_true().to_string(),
            ValueKind::Number => number(key),
            kind => return Err(refused(format!("{kind} is no key that JSON has"))),
        };
        self.write_text(&text, out);
        Ok(())
    }

    fn write_text(&self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{C}' => out.push_str("\\f"),
                c if u32::from(c) < 0x20 || self.ensure_ascii && !matches!(c, ' '..='~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// A number as Python's `json.dumps` writes it.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(x) = f64::try_from(value.clone()) else { return value.to_string() };
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..=15 => {
            let text = x.to_string();
            if text.contains('.') { text } else { text + ".0" }
        }
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// Python's `a % b`: the remainder, with the sign of `b`; if `a` is a string, `a` formatted with the values
/// of `b`.
pub(super) fn modulo(state: &mut State, a: &Value, b: &Value) -> Result<Value, Error> {
    if a.as_str().is_some() {
        let mut arguments = vec![a.clone()];
        if b.is_tuple() {
            arguments.extend(b.try_iter()?);
        } else if b.kind() == ValueKind::Map {
            let keys = b.try_iter()?.filter_map(|key| key.as_str().map(str::to_owned));
            let named =
                keys.map(|key| Ok((key.clone(), b.get_attr(&key)?))).collect::<Result<Vec<_>, Error>>()?;
            arguments.push(Kwargs::from_iter(named).into());
        } else {
            arguments.push(b.clone());
        }
        return state.apply_filter("format", &arguments);
    }
    if let (Ok(a), Ok(b)) = (i64::try_from(a.clone()), i64::try_from(b.clone())) {
        let rest =
            a.checked_rem(b).ok_or_else(|| refused("a division by 0, or a number that is too large"))?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    match (f64::try_from(a.clone()), f64::try_from(b.clone())) {
        (Ok(_), Ok(0.0)) => Err(refused("a division by 0")),
        (Ok(a), Ok(b)) => {
            let rest = a % b;
            Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
        }
        _ => Err(refused(format!("{} % {} is not defined", a.kind(), b.kind()))),
    }
}

/// A method of a value that minijinja lacks.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args);
    };
    let three = |parts: [&str; 3]| Value::from(Tuple::from(parts.map(Value::from).to_vec()));
    match name {
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            if separator.is_empty() {
                return Err(refused("an empty separator"));
            }
            let is_first = name == "partition";
            let found = if is_first { text.find(separator) } else { text.rfind(separator) };
            Ok(match found {
                Some(at) => three([&text[..at], separator, &text[at + separator.len()..]]),
                None if is_first => three([text, "", ""]),
                None => three(["", "", text]),
            })
        }
        "rsplit" => {
            let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
            let separator = separator.map_or_else(|| named.get("sep"), |separator| Ok(Some(separator)))?;
            let most = most.map_or_else(|| named.get("maxsplit"), |most| Ok(Some(most)))?;
            named.assert_all_used()?;
            let most = most.and_then(|most| usize::try_from(most).ok());
            let separator = separator.filter(|separator: &Value| !separator.is_none());
            rsplit(text, separator.as_ref().and_then(Value::as_str), most)
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            Ok(Value::from(sign.to_owned() + &padding('0', width, text)? + digits))
        }
        "ljust" | "rjust" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            let padding = padding(fill.unwrap_or(' '), width, text)?;
            Ok(Value::from(if name == "ljust" { text.to_owned() + &padding } else { padding + text }))
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// The padding that makes `text` `width` characters wide.
fn padding(fill: char, width: usize, text: &str) -> Result<String, Error> {
    const MOST: usize = 1 << 16;
    if width > MOST {
        return Err(refused(format!("a width of {width}, more than {MOST}")));
    }
    Ok(std::iter::repeat_n(fill, width.saturating_sub(text.chars().count())).collect())
}

/// Python's `rsplit`, with at most `most` splits.
fn rsplit(text: &str, separator: Option<&str>, most: Option<usize>) -> Result<Value, Error> {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = text;
    match separator {
        Some("") => return Err(refused("an empty separator")),
        Some(separator) => {
            while most.is_none_or(|most| parts.len() < most)
                && let Some((before, after)) = rest.rsplit_once(separator)
            {
                parts.push(after);
                rest = before;
            }
            parts.push(rest);
        }
        None => {
            rest = rest.trim_end();
            while most.is_none_or(|most| parts.len() < most)
                && let Some(at) = rest.rfind(char::is_whitespace)
            {
                let after = &rest[at..];
                parts.push(after.trim_start());
                rest = rest[..at].trim_end();
            }
            if !rest.trim_start().is_empty() {
                // The rest keeps its leading space only if the splits are used up.
                let is_all = most.is_none_or(|most| parts.len() < most);
                parts.push(if is_all { rest.trim_start() } else { rest });
            }
        }
    }
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}
