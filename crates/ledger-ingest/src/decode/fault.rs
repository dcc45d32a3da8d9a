//! A second, slow reading of a message that was refused: where it is at fault, and what its bytes look like.
//!
//! Nearly every message decodes, so the first reading looks for nothing but the event. A rejection holds fixed text,
//! a place, and names of fields: never a value of the message.

use ledger_record::rejection::{Reason, Rejection};
use serde_json::Value;
use serde_json::error::Category;

use crate::decode::fields::known_field;
use crate::decode::refusal;

/// JSON that does not parse, or is no object. The words of `serde_json` about syntax hold no value.
pub(super) fn not_json(value: &[u8], error: &serde_json::Error) -> Rejection {
    match error.classify() {
        Category::Syntax | Category::Eof => match lone_surrogate(value, error) {
            Some(place) => refusal::described(format!("not JSON: a lone surrogate stands in {place}")),
            None => refusal::described(format!("not JSON: {error}")),
        },
        // What was read only in part.
        Category::Data | Category::Io => match serde_json::from_slice::<Value>(value) {
            Err(whole) if !whole.is_data() => not_json(value, &whole),
            _ => refusal::undecodable("not a JSON object"),
        },
    }
}

pub(super) fn not_utf8(error: std::str::Utf8Error) -> Rejection {
    refusal::described(format!("not UTF-8 from byte {} on", error.valid_up_to()))
}

/// The rejection, with what the message looks like instead.
pub(super) fn explain(value: &[u8], rejection: Rejection) -> Rejection {
    let looks_like = match rejection.reason {
        Reason::Undecodable => bytes_look_like(value).or_else(|| json_looks_like(value)),
        Reason::MissingField | Reason::UnsupportedType => json_looks_like(value),
        _ => None,
    };
    match looks_like {
        Some(shape) => {
            Rejection { detail: format!("{}; it looks like {shape}", rejection.detail), ..rejection }
        }
        None => rejection,
    }
}

fn bytes_look_like(value: &[u8]) -> Option<&'static str> {
    Some(match value {
        [0xef, 0xbb, 0xbf, ..] => "text with a byte order mark, which no JSON has",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{' | b'[' | b'"', 0, ..] | [0, b'{' | b'[' | b'"', ..] => {
            "text in UTF-16: send UTF-8"
        }
        [0x1f, 0x8b, ..] => "gzip: compress by compression.type of the producer, not the value",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd: compress by compression.type of the producer, not the value",
        [0, _, _, _, _, ..] => "the framing of a schema registry: use a serializer without one",
        _ => return None,
    })
}

fn json_looks_like(value: &[u8]) -> Option<&'static str> {
    Some(match serde_json::from_slice(value).ok()? {
        Value::String(text) if is_object(&text) => "JSON inside of a JSON string: serialize it once",
        Value::Array(_) => "a list: send each event as a message of its own",
        Value::Object(members) if ["schema", "payload"].iter().all(|name| members.contains_key(*name)) => {
            "an envelope of Kafka Connect: set schemas.enable=false of its converter"
        }
        Value::Object(members)
            if ["before", "after", "op"].iter().all(|name| members.contains_key(*name)) =>
        {
            "an envelope of Debezium: take the event out of it, as ExtractNewRecordState does"
        }
        Value::Object(members) if !members.contains_key("type") && members.contains_key("eventType") => {
            "a payload of Connect: send it as the data of a CloudEvent"
        }
        _ => return None,
    })
}

fn is_object(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(_)))
}

/// Whether a value is a JSON object with `specversion`, and so a structured `CloudEvent`, whatever its content type.
pub(super) fn is_cloud_event(value: &[u8]) -> bool {
    matches!(serde_json::from_slice(value), Ok(Value::Object(members)) if members.get("specversion").is_some_and(|version| !version.is_null()))
}

/// The JSON with the largest double in place of numbers beyond it, which the parser does not read; none when it has no
/// such number. No field takes a number of that size, so it is judged as any other that is too large.
pub(super) fn with_finite_numbers(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (mut finite, mut rest, mut found) = (String::with_capacity(text.len()), text, false);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => {
                let is_part = |sign: char| matches!(sign, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
                rest.find(|sign| !is_part(sign)).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match token.parse::<f64>() {
            Ok(number) if number.is_infinite() && !token.starts_with(|sign: char| sign.is_alphabetic()) => {
                found = true;
                finite.push_str(if number > 0.0 {
                    "1.7976931348623157e308"
                } else {
                    "-1.7976931348623157e308"
                });
            }
            _ => finite.push_str(token),
        }
    }
    found.then_some(finite)
}

/// The length of the string that a text begins with.
fn string_length(text: &str) -> usize {
    let mut escaped = true;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// How the parser words half of a sign without the other half.
const HALF_A_SIGN: [&str; 2] = ["lone leading surrogate in hex escape", "unexpected end of hex escape"];

/// Where the parser met a lone surrogate, in words; none if it met something else. That is an escape for half of a sign,
/// without the other half: no text in UTF-8 has it. Of a field that the ledger reads the name is reported, and of no other:
/// an unknown name may be a secret as much as a value.
fn lone_surrogate(value: &[u8], error: &serde_json::Error) -> Option<String> {
    let words = error.to_string();
    if !HALF_A_SIGN.iter().any(|half| words.starts_with(half)) {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let met = offset(text, error.line(), error.column());
    let (mut at, mut field) = (0, None);
    while at < text.len() {
        let rest = &text[at..];
        let quote = rest.find('"')?;
        let token = &rest[quote..][..string_length(&rest[quote..])];
        let (begin, end) = (at + quote, at + quote + token.len());
        // As far as the parser came, the text is JSON: there a colon follows names alone.
        let is_name = text[end..].trim_start().starts_with(':');
        let inner = token.trim_matches('"');
        if (begin..=end + 1).contains(&met) && has_lone(inner) {
            return Some(place(is_name, field, error));
        }
        if is_name {
            field = known_field(inner);
        }
        at = end;
    }
    None
}

fn place(is_name: bool, field: Option<&str>, error: &serde_json::Error) -> String {
    let place = match (is_name, field) {
        (true, _) => "a name".to_owned(),
        (false, Some(field)) => format!("the field {field}"),
        (false, None) => "a text".to_owned(),
    };
    format!("{place} at line {} column {}", error.line(), error.column())
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
    fn numbers_beyond_a_double_become_the_largest_one_and_nothing_else_changes() {
        let finite = |text: &str| with_finite_numbers(text.as_bytes());
        let all = r#" {"a":1e400,"b":"1e400 \" -1e999","c":[-1E+400,2.5],"infinity":null}"#;
        let expected = r#" {"a":1.7976931348623157e308,"b":"1e400 \" -1e999","c":[-1.7976931348623157e308,2.5],"infinity":null}"#;
        assert_eq!(finite(all).as_deref(), Some(expected));
        for untouched in ["{}", "", r#"{"a":1e308,"b":"1e400"}"#, r#"{"a":"1e400"#, "inf", "infinity"] {
            assert_eq!(finite(untouched), None, "{untouched}");
        }
    }

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
