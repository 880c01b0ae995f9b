//! Values of metadata as text and as JSON.

use qmill::gguf::{Array, Value};
use serde_json::json;

/// The shown lengths of a string, of an array, and of a string in an array, unless `all`.
const STRING_CHARS: usize = 72;
const ARRAY_ELEMENTS: usize = 4;
const ELEMENT_CHARS: usize = 16;
/// The elements of an array in JSON, unless `all`. Strings are complete.
const JSON_ELEMENTS: usize = 16;

/// `u32`, or `string[1024]` for an array.
pub(super) fn type_text(value: &Value) -> String {
    match value {
        Value::Array(array) => format!("{}[{}]", array.element_type(), array.len()),
        _ => value.value_type().to_string(),
    }
}

/// One line without control characters. Long strings and arrays are shortened unless `all`.
pub(super) fn text(value: &Value, all: bool) -> String {
    let (elements, element_chars, chars) = if all {
        (usize::MAX, usize::MAX, usize::MAX)
    } else {
        (ARRAY_ELEMENTS, ELEMENT_CHARS, STRING_CHARS)
    };
    let Value::Array(array) = value else { return scalar_text(value, chars) };
    let mut shown: Vec<String> =
        array.iter().take(elements).map(|element| scalar_text(&element, element_chars)).collect();
    if array.len() > shown.len() as u64 {
        shown.push("…".to_owned());
    }
    format!("[{}]", shown.join(", "))
}

fn scalar_text(value: &Value, chars: usize) -> String {
    match value {
        Value::String(bytes) => string_text(bytes, chars),
        Value::F32(x) => format!("{x:?}"),
        Value::F64(x) => format!("{x:?}"),
        Value::Bool(x) => x.to_string(),
        Value::U64(x) => x.to_string(),
        _ => value.as_i64().map(|x| x.to_string()).unwrap_or_default(),
    }
}

/// Quoted and escaped as in Rust, `b"…"` if it is not UTF-8.
fn string_text(bytes: &[u8], chars: usize) -> String {
    let (quoted, is_cut) = if let Ok(text) = std::str::from_utf8(bytes) {
        let end = text.char_indices().nth(chars).map_or(text.len(), |(end, _)| end);
        (format!("{:?}", &text[..end]), end < text.len())
    } else {
        let end = bytes.len().min(chars);
        (format!("b\"{}\"", bytes[..end].escape_ascii()), end < bytes.len())
    };
    if is_cut { format!("{quoted}… ({} bytes)", bytes.len()) } else { quoted }
}

/// An object with the type and the value. An array has its length and its first elements, or `all`.
pub(super) fn json(value: &Value, all: bool) -> serde_json::Value {
    match value {
        Value::Array(array) => array_json(array, if all { usize::MAX } else { JSON_ELEMENTS }),
        _ => json!({ "type": value.value_type().name(), "value": scalar_json(value) }),
    }
}

fn array_json(array: &Array, elements: usize) -> serde_json::Value {
    let first: Vec<_> = array.iter().take(elements).map(|element| scalar_json(&element)).collect();
    json!({
        "type": "array",
        "element_type": array.element_type().name(),
        "length": array.len(),
        "value": first,
    })
}

/// JSON has no bytes and no infinity: a string that is not UTF-8 becomes `{"hex": …}`, a non-finite float its
/// name.
fn scalar_json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(bytes) => match value.as_str() {
            Some(text) => json!(text),
            None => json!({ "hex": hex(bytes) }),
        },
        Value::Bool(x) => json!(x),
        Value::U64(x) => json!(x),
        _ => match (value.as_f64(), value.as_i64()) {
            (Some(x), _) if x.is_finite() => json!(x),
            (Some(x), _) => json!(x.to_string()),
            (None, x) => json!(x),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_line_and_cut() {
        assert_eq!(text(&Value::from("a\u{1b}[2J\n\"é"), false), r#""a\u{1b}[2J\n\"é""#);
        assert_eq!(text(&Value::String(vec![b'a', 0xff, b'\n']), false), r#"b"a\xff\n""#);
        let long = Value::from("é".repeat(STRING_CHARS + 1).as_str());
        assert_eq!(text(&long, false), format!("\"{}\"… (146 bytes)", "é".repeat(STRING_CHARS)));
        assert_eq!(text(&long, true), format!("\"{}\"", "é".repeat(STRING_CHARS + 1)));
        assert_eq!(text(&Value::from(1e-5f32), false), "1e-5");
        assert_eq!(text(&Value::from(-3i8), false), "-3");
    }

    #[test]
    fn arrays_show_their_first_elements() {
        let array = |len: u32| Value::from(Array::from((0..len).collect::<Vec<_>>().as_slice()));
        assert_eq!(text(&array(4), false), "[0, 1, 2, 3]");
        assert_eq!(text(&array(5), false), "[0, 1, 2, 3, …]");
        assert_eq!(text(&array(5), true), "[0, 1, 2, 3, 4]");
        assert_eq!(type_text(&array(5)), "u32[5]");
        assert_eq!(json(&array(17), false)["value"].as_array().map(Vec::len), Some(16));
        assert_eq!(json(&array(17), true)["value"][16], 16);
    }

    #[test]
    fn json_keeps_every_number_and_byte() {
        for (value, expected) in [
            (Value::from(u64::MAX), json!(u64::MAX)),
            (Value::from(i64::MIN), json!(i64::MIN)),
            (Value::from(0.1f32), json!(f64::from(0.1f32))),
            (Value::from(f64::NEG_INFINITY), json!("-inf")),
            (Value::String(vec![0xff, 0x0a]), json!({ "hex": "ff0a" })),
            (Value::from(true), json!(true)),
        ] {
            assert_eq!(json(&value, false)["value"], expected);
        }
    }
}
