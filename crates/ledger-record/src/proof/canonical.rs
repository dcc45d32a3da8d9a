//! The one way in which lines of JSON are written that are hashed, and the refusal of every other way. (Payloads are
//! written in another one, see [`super::payload`].)
//!
//! Compact, in ASCII, fields in the order of their declaration. Strings have the shortest escapes: `\"`,
//! `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, else `\u00xx` for control characters; what is not ASCII is `\uxxxx`
//! with lower-case digits, as a surrogate pair above U+FFFF. It is what Python's `json.dumps` writes with
//! `separators=(",", ":")`.
//!
//! Nothing is ever canonicalised when it is checked: text is read, written again, and refused unless the two
//! are the same bytes. So unknown and repeated fields, another order, spaces, other escapes and other
//! spellings of numbers are refused without a list of them.

use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::{Formatter, Serializer};

use crate::hash::Hash;
use crate::json::INTEGER_MAX;

/// The text is not what would be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not written in the one form that is allowed")]
pub struct NotCanonical;

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all text is ASCII, which is faster seen than walked through.
        if fragment.bytes().all(|byte| byte <= b'~') {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| c > '~') {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            let mut units = [0; 2];
            for unit in chars.next().map_or(&[][..], |c| c.encode_utf16(&mut units)) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Writes a value. What is written here are structs, strings, integers and flags, which cannot fail.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = Vec::with_capacity(256);
    put(&mut out, value);
    text(out)
}

/// Appends a value as [`write()`] writes it.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = value.serialize(&mut Serializer::with_formatter(out, Ascii));
    // Half a text must never be hashed.
    assert!(written.is_ok(), "a value that JSON does not have");
}

/// Appends a string as [`write()`] writes it.
fn put_string(out: &mut Vec<u8>, text: &str) {
    let stands_for_itself = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    // Told of all bytes at once.
    if text.bytes().fold(true, |so_far, byte| so_far & stands_for_itself(byte)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        put(out, text);
    }
}

/// Appends an integer as [`write()`] writes it.
fn put_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// What a member of an object is.
pub(crate) enum Member<'a> {
    Natural(u64),
    Signed(i64),
    Text(&'a str),
    Hash(Hash),
}

/// Appends an object of these members as [`write()`] writes it. Their names need no escapes.
pub(crate) fn put_members(out: &mut Vec<u8>, members: &[(&str, Member<'_>)]) {
    for (number, (name, member)) in members.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match member {
            Member::Natural(number) => put_integer(out, *number),
            Member::Signed(number) => put_integer(out, *number),
            Member::Text(text) => put_string(out, text),
            Member::Hash(hash) => hash.put(out),
        }
    }
    out.push(b'}');
}

/// What was written is ASCII.
pub(crate) fn text(written: Vec<u8>) -> String {
    String::from_utf8(written).unwrap_or_default()
}

/// Reads a value that was written by [`write()`].
pub(crate) fn read<T: Serialize + DeserializeOwned>(text: &str) -> Result<T, NotCanonical> {
    let value: T = serde_json::from_str(text).map_err(|_| NotCanonical)?;
    if write(&value) == text { Ok(value) } else { Err(NotCanonical) }
}

/// An integer that every reader holds exactly.
pub(crate) fn is_exact(number: u64) -> bool {
    number <= INTEGER_MAX
}

/// A signed integer that every reader holds exactly.
pub(crate) fn is_exact_signed(number: i64) -> bool {
    is_exact(number.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_the_shortest_escapes() {
        let text = "a\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é\u{ffff}😀z".to_owned();
        let written = r#""a\"\\/\b\f\n\r\t\u0000\u001f\u007f\u00e9\uffff\ud83d\ude00z""#.to_owned();
        assert_eq!(write(&text), written);
        assert_eq!(read(&written), Ok(text));
        for text in ["", "plain text ~", "a\"b", "a\\b", "\u{7f}", "\u{1f}", "é"] {
            let mut out = b"before".to_vec();
            put_string(&mut out, text);
            assert_eq!(super::text(out), format!("before{}", write(text)));
        }
        for number in [i64::MIN, -1, 0, 12, i64::MAX] {
            let mut out = Vec::new();
            put_integer(&mut out, number);
            assert_eq!(super::text(out), write(&number));
        }
    }

    #[test]
    fn other_string_spellings_are_refused() {
        for text in [
            "\"\\u0041\"",
            "\"\\/\"",
            "\"é\"",
            "\"\\u00E9\"",
            " \"a\"",
            "\"a\"\n",
            "\"\u{7f}\"",
            "\"\\ud800\"",
        ] {
            assert_eq!(read::<String>(text), Err(NotCanonical), "{text}");
        }
        for text in ["01", "1.0", "-0", "1e2", "+1"] {
            assert_eq!(read::<i64>(text), Err(NotCanonical), "{text}");
        }
        assert_eq!(read::<i64>("-12"), Ok(-12));
    }
}
