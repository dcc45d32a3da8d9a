//! A lone surrogate: an escape for half of a sign, without the other half. No text in UTF-8 has it, so the parser refuses
//! it, in words that do not say so.

use std::fmt::Write as _;

use crate::decode::fault::string_length;
use crate::redact;

/// Longest name that is told.
const NAME_MAX_SIGNS: usize = 48;

/// Where the parser met a lone surrogate, in words; none if it met something else. Of a name and of a field the name is
/// told, as it is written.
pub(super) fn at(value: &[u8], error: &serde_json::Error) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let met = offset(text, error.line(), error.column());
    let (mut at, mut field) = (0, None);
    while at < text.len() {
        let rest = &text[at..];
        let quote = rest.find('"')?;
        let token = &rest[quote..][..string_length(&rest[quote..])];
        let (begin, end) = (at + quote, at + quote + token.len());
        let is_name = text[end..].trim_start().starts_with(':');
        let inner = token.trim_matches('"');
        if (begin..=end + 1).contains(&met) && has_lone(inner) {
            return Some(place(is_name.then_some(inner), field, error));
        }
        if is_name {
            field = Some(inner);
        }
        at = end;
    }
    None
}

fn place(name: Option<&str>, field: Option<&str>, error: &serde_json::Error) -> String {
    let mut place = match (name, field) {
        (Some(name), _) => format!("the name {}", shown(name)),
        (None, Some(field)) => format!("the field {}", shown(field)),
        (None, None) => "a text".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = write!(place, " at line {} column {}", error.line(), error.column());
    place
}

fn shown(name: &str) -> String {
    redact::text(name).chars().take(NAME_MAX_SIGNS).collect()
}

/// Of a line and column as the parser counts them: from 1, and in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column
}

/// Whether the escapes of a string, as they are written, have a half without the other.
fn has_lone(escaped: &str) -> bool {
    let (mut rest, mut open) = (escaped, false);
    loop {
        let unit = rest.strip_prefix("\\u").and_then(|hex| u16::from_str_radix(hex.get(..4)?, 16).ok());
        match (open, unit) {
            (true, Some(0xdc00..=0xdfff)) => open = false,
            (true, _) | (false, Some(0xdc00..=0xdfff)) => return true,
            (false, Some(0xd800..=0xdbff)) => open = true,
            (false, _) => {}
        }
        let skipped = match (unit, rest.chars().next()) {
            (Some(_), _) => 6,
            // The sign behind it, too.
            (None, Some('\\')) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, Some(sign)) => sign.len_utf8(),
            (None, None) => return open,
        };
        rest = &rest[skipped..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_told_from_wholes() {
        for lone in [r"\ud800", r"a\ud83dz", r"\udc00", r"\ud83d\ud83d\ude00", r"\uD83D\n", r"\\\ud800"] {
            assert!(has_lone(lone), "{lone}");
        }
        for whole in ["", "a", r"\ud83d\ude00", r"\u00fc\n", r"\\ud800", r"\u12"] {
            assert!(!has_lone(whole), "{whole}");
        }
    }
}
