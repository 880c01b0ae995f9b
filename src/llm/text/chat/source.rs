//! Rewrites the parts of a template that Python's Jinja accepts and minijinja does not.
//!
//! - `{% generation %}…{% endgeneration %}`, by which transformers marks the assistant's text, becomes a
//!   `with` block, which has a scope of its own too;
//! - `a % b` becomes a call of [`MODULO`], since `a` may be a format string.

use std::ops::Range;

/// The function that computes `a % b`.
pub(super) const MODULO: &str = "__mod__";

/// Blocks of transformers, and their replacements.
const BLOCKS: [(&str, &str); 2] = [("generation", "with"), ("endgeneration", "endwith")];

/// Longer tags are not rewritten.
const MOST_TAG_BYTES: usize = 1 << 14;

/// Words that end an operand of an expression.
const KEYWORDS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "recursive"];
/// Statements with an expression after their first word.
const STATEMENTS: [&str; 9] = ["if", "elif", "set", "for", "do", "call", "filter", "with", "include"];

/// A lexeme of a tag, `{{ … }}` or `{% … %}`.
#[derive(Clone, Debug)]
struct Lexeme {
    kind: Kind,
    range: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Word,
    Number,
    Text,
    Sign,
}

/// The template for minijinja. Malformed parts stay as they are, so that minijinja reports them.
pub(super) fn translate(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((start, close)) = next_tag(rest) {
        out.push_str(&rest[..start]);
        let tag = &rest[start..];
        let end = if close == "#}" { tag.find(close).map(|end| end + 2) } else { tag_end(tag, close) };
        let Some(end) = end else {
            out.push_str(tag);
            return out;
        };
        rest = &tag[end..];
        let tag = &tag[..end];
        if close == "#}" {
            out.push_str(tag);
            continue;
        }
        let words = lexemes(tag);
        let is_only = |word: &str| words.len() == 1 && &tag[words[0].range.clone()] == word;
        if close == "%}" && is_only("raw") {
            let raw_end = raw_end(rest).unwrap_or(rest.len());
            out.push_str(tag);
            out.push_str(&rest[..raw_end]);
            rest = &rest[raw_end..];
        } else if let Some((_, instead)) = BLOCKS.iter().find(|(name, _)| close == "%}" && is_only(name)) {
            let range = words[0].range.clone();
            out.extend([&tag[..range.start], instead, &tag[range.end..]]);
        } else {
            out.push_str(&without_modulo(tag.to_owned(), close == "%}"));
        }
    }
    out.push_str(rest);
    out
}

/// The start of the next tag, and its closing delimiter.
fn next_tag(text: &str) -> Option<(usize, &'static str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find('{')?;
        let close = match text.as_bytes().get(start + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                from = start + 1;
                continue;
            }
        };
        return Some((start, close));
    }
}

/// The end of the tag at the start of `text`: after `close` outside of strings and brackets.
fn tag_end(text: &str, close: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 2;
    while at < text.len() {
        let rest = &text[at..];
        if depth == 0 && rest.starts_with(close) {
            return Some(at + close.len());
        }
        let byte = rest.as_bytes()[0];
        match byte {
            b'\'' | b'"' => at += text_length(rest)?,
            b'(' | b'[' | b'{' => (depth, at) = (depth + 1, at + 1),
            b')' | b']' | b'}' => (depth, at) = (depth.saturating_sub(1), at + 1),
            _ => at += 1,
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

/// Bytes of the string literal at the start of `text`.
fn text_length(text: &str) -> Option<usize> {
    let quote = text.as_bytes()[0];
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// The start of the block that ends raw text.
fn raw_end(text: &str) -> Option<usize> {
    text.match_indices("{%").map(|(at, _)| at).find(|&at| {
        let word = text[at + 2..].trim_start_matches(['-', '+']).trim_start();
        word.starts_with("endraw")
    })
}

/// The lexemes between the delimiters of a tag.
fn lexemes(tag: &str) -> Vec<Lexeme> {
    let mut found = Vec::new();
    let inner_end = tag.len() - 2;
    let inner_end =
        if inner_end > 2 && tag.as_bytes()[inner_end - 1] == b'-' { inner_end - 1 } else { inner_end };
    let mut at = if matches!(tag.as_bytes().get(2), Some(b'-' | b'+')) { 3 } else { 2 };
    while at < inner_end {
        let rest = &tag[at..inner_end];
        let first = rest.chars().next().unwrap_or_default();
        let run = |is_part: fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (kind, length) = match first {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '\'' | '"' => (Kind::Text, text_length(rest).unwrap_or(rest.len())),
            c if c.is_ascii_digit() => {
                (Kind::Number, run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'))
            }
            c if c.is_alphanumeric() || c == '_' => (Kind::Word, run(|c| c.is_alphanumeric() || c == '_')),
            _ if ["**", "//", "==", "!=", "<=", ">="].iter().any(|sign| rest.starts_with(sign)) => {
                (Kind::Sign, 2)
            }
            c => (Kind::Sign, c.len_utf8()),
        };
        found.push(Lexeme { kind, range: at..at + length });
        at += length;
    }
    found
}

/// Rewrites every `%` of a tag but those between a variable and a number, which minijinja computes.
///
/// Each `%` costs a pass over the tag, so tags longer than any that people write stay as they are.
fn without_modulo(mut tag: String, is_block: bool) -> String {
    if tag.len() > MOST_TAG_BYTES {
        return tag;
    }
    let mut passed = 0;
    loop {
        let words = lexemes(&tag);
        let is = |i: usize, sign: &str| {
            words.get(i).is_some_and(|word| word.kind != Kind::Text && &tag[word.range.clone()] == sign)
        };
        let Some(modulo) = (passed..words.len()).find(|&i| is(i, "%")) else { return tag };
        let (left, right) =
            (left_operand(&tag, &words, modulo, is_block), right_operand(&tag, &words, modulo + 1));
        let (Some(left), Some(right)) = (left, right) else { return tag };
        if left == modulo || right == modulo + 1 {
            return tag;
        }
        let is_number = right == modulo + 2 && words[modulo + 1].kind == Kind::Number;
        if is_number && words[left].kind != Kind::Text {
            passed = modulo + 1;
            continue;
        }
        let (start, sign, end) =
            (words[left].range.start, words[modulo].range.clone(), words[right - 1].range.end);
        let (a, b) = (tag[start..sign.start].trim_end(), tag[sign.end..end].trim_start());
        tag = format!("{}{MODULO}({a}, {b}){}", &tag[..start], &tag[end..]);
        passed = 0;
    }
}

/// The index of the first lexeme of the operand to the left of `end`: a chain of products, quotients and
/// remainders.
fn left_operand(tag: &str, words: &[Lexeme], end: usize, is_block: bool) -> Option<usize> {
    let text = |i: usize| &tag[words[i].range.clone()];
    let ends_operand = |i: usize| match words[i].kind {
        Kind::Word => !KEYWORDS.contains(&text(i)),
        Kind::Number | Kind::Text => true,
        Kind::Sign => matches!(text(i), ")" | "]" | "}"),
    };
    let mut at = end;
    while at > 0 {
        let before = at - 1;
        match (words[before].kind, text(before)) {
            (Kind::Sign, ")" | "]" | "}") => at = opening(tag, words, before)?,
            (Kind::Sign, "-" | "+") if before > 0 && ends_operand(before - 1) => break,
            (Kind::Word, word) if KEYWORDS.contains(&word) => break,
            (Kind::Word, word) if is_block && before == 0 && STATEMENTS.contains(&word) => break,
            (Kind::Word | Kind::Number | Kind::Text, _)
            | (Kind::Sign, "." | "|" | "*" | "/" | "//" | "**" | "%" | "-" | "+") => at = before,
            (Kind::Sign, _) => break,
        }
    }
    Some(at)
}

/// The index of the bracket that matches the one at `close`.
fn opening(tag: &str, words: &[Lexeme], close: usize) -> Option<usize> {
    let mut depth = 0usize;
    (0..=close).rev().find(|&i| {
        if words[i].kind == Kind::Sign {
            match &tag[words[i].range.clone()] {
                ")" | "]" | "}" => depth += 1,
                "(" | "[" | "{" => depth -= 1,
                _ => {}
            }
        }
        depth == 0
    })
}

/// The index after the operand that begins at `at`.
fn right_operand(tag: &str, words: &[Lexeme], at: usize) -> Option<usize> {
    let sign =
        |i: usize| words.get(i).filter(|word| word.kind == Kind::Sign).map(|word| &tag[word.range.clone()]);
    let after_primary = |mut at: usize| {
        while matches!(sign(at), Some("-" | "+")) {
            at += 1;
        }
        match sign(at) {
            Some("(" | "[" | "{") => Some(closing(tag, words, at)? + 1),
            None if at < words.len() => Some(at + 1),
            _ => None,
        }
    };
    let mut at = after_primary(at)?;
    loop {
        match sign(at) {
            Some("." | "|") => at += 2,
            Some("(" | "[") => at = closing(tag, words, at)? + 1,
            // The exponent is an operand, which may be a power too.
            Some("**") => at = after_primary(at + 1)?,
            _ => return (at <= words.len()).then_some(at),
        }
    }
}

/// The index of the bracket that matches the one at `open`.
fn closing(tag: &str, words: &[Lexeme], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    (open..words.len()).find(|&i| {
        if words[i].kind == Kind::Sign {
            match &tag[words[i].range.clone()] {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_are_rewritten() {
        for (template, expected) in [
            ("a{% generation %}b{%- endgeneration -%}", "a{% with %}b{%- endwith -%}"),
            (
                "{% raw %}{% generation %}{{ a % b }}{% endraw %}{{ a % b }}",
                "{% raw %}{% generation %}{{ a % b }}{% endraw %}{{ __mod__(a, b) }}",
            ),
            (
                "{# {% generation %} #}{{ '{% generation %}' }} 5 % 3",
                "{# {% generation %} #}{{ '{% generation %}' }} 5 % 3",
            ),
            ("{{ 'a%s' % x.y[0]|upper ~ 'b' }}", "{{ __mod__('a%s', x.y[0]|upper) ~ 'b' }}"),
            ("{%- if (loop.index0 % 2 == 0) != x %}", "{%- if (loop.index0 % 2 == 0) != x %}"),
            ("{% set x = a + b * c % d(e, f)[1] - g %}", "{% set x = a + __mod__(b * c, d(e, f)[1]) - g %}"),
            ("{{ a % b % -c }}", "{{ __mod__(__mod__(a, b), -c) }}"),
            (
                "{{ '%d' % 5 }}{{ {'a': {'b': x % y}} }}",
                "{{ __mod__('%d', 5) }}{{ {'a': {'b': __mod__(x, y)}} }}",
            ),
            (
                "{% if not -a % b %}{{ '\\'%' % ('é', \"%}\") }}",
                "{% if not __mod__(-a, b) %}{{ __mod__('\\'%', ('é', \"%}\")) }}",
            ),
            ("{{ a % b ** -c ** d.e + 1 }}", "{{ __mod__(a, b ** -c ** d.e) + 1 }}"),
            // Malformed.
            ("{{ a % }}{{ % b }}{{ 'a", "{{ a % }}{{ % b }}{{ 'a"),
            ("{% generation", "{% generation"),
            ("{{ (a % b }}", "{{ (a % b }}"),
            ("{{}}{%%}{%-%}{{-}}{", "{{}}{%%}{%-%}{{-}}{"),
        ] {
            assert_eq!(translate(template), expected);
        }
    }

    #[test]
    fn endless_expressions_take_neither_stack_nor_time() {
        for (part, count) in [(" ** b", 100_000), (" % b", 100_000), (" ** b", 2_000), (" % b", 2_000)] {
            let template = format!("{{{{ a % b{} }}}}", part.repeat(count));
            assert!(translate(&template).len() >= template.len());
        }
    }
}
