//! What the first bytes of a file look like.
//!
//! A first line that is a JSON object decides: this is NDJSON, and faults are reported by line.
//! Else all that was read is looked at, and where at least half of the lines are objects, it is NDJSON still.

use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::{Deserializer, Value};

use crate::text::foreign::{self, FileKind, NotNdjson, SIGNATURES};
use crate::text::{BYTE_ORDER_MARK, LOOK_BYTES};

/// Members of every event; one that has none of them is none.
const EVENT_MEMBERS: [&str; 4] = ["id", "type", "time", "specversion"];

/// What a file looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looks {
    /// One JSON object a line; or nothing at all.
    Ndjson,
    /// Lines of fields, with this between them.
    Csv(char),
    /// Something else.
    Other(NotNdjson),
}

impl From<FileKind> for Looks {
    fn from(kind: FileKind) -> Self {
        Self::Other(kind.into())
    }
}

/// The first line that is not blank.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstLine<'a> {
    text: &'a [u8],
    /// It has a line end.
    pub(super) ended: bool,
}

/// What was read, without a byte order mark and blanks before the text.
fn without_lead(head: &[u8]) -> &[u8] {
    head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start()
}

pub(super) fn first_line(head: &[u8]) -> Option<FirstLine<'_>> {
    let text = without_lead(head);
    let end = text.iter().position(|byte| *byte == b'\n');
    (!text.is_empty()).then(|| FirstLine { text: &text[..end.unwrap_or(text.len())], ended: end.is_some() })
}

/// The first line is an event, or might be one: no more has to be looked at.
pub(super) fn begins_with_event(head: &[u8]) -> bool {
    first_line(head).is_some_and(|line| Shape::from_line(line.text) == Shape::Object)
}

/// Looks at the first bytes; fewer than [`LOOK_BYTES`] are the whole file, or end with its first line.
pub(super) fn look(head: &[u8]) -> Looks {
    let Some(first) = first_line(head) else { return Looks::Ndjson };
    match Shape::from_line(first.text) {
        // Without a line end it is a long line, or one that is cut off.
        Shape::Begun if first.ended => {}
        Shape::Object | Shape::Begun => {
            return envelope(first)
                .map_or(Looks::Ndjson, |member| Looks::Other(NotNdjson::envelope(&member)));
        }
        Shape::Other => {}
    }
    if let Some((_, kind)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        let is_xlsx = head.windows(19).any(|window| window == b"[Content_Types].xml");
        return if is_xlsx { foreign::XLSX } else { *kind }.into();
    }
    if head.get(257..262) == Some(b"ustar") {
        return foreign::TAR.into();
    }
    if let Some(kind) = wide(head).or_else(|| document(head)) {
        return kind.into();
    }
    if are_mostly_objects(head) {
        return Looks::Ndjson;
    }
    if head.contains(&0) {
        return foreign::ZEROS.into();
    }
    text(head, first)
}

/// Text of two or four bytes a character, with a byte order mark or without one.
fn wide(head: &[u8]) -> Option<FileKind> {
    match head {
        [0xff, 0xfe, 0, 0, ..] | [1..=255, 0, 0, 0, ..] => Some(foreign::UTF_32_LE),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=255, ..] => Some(foreign::UTF_32_BE),
        [0xff, 0xfe, ..] | [1..=255, 0, 1..=255, 0, ..] => Some(foreign::UTF_16_LE),
        [0xfe, 0xff, ..] | [0, 1..=255, 0, 1..=255, ..] => Some(foreign::UTF_16_BE),
        _ => None,
    }
}

/// Text in whose middle events may be, one a line.
fn document(head: &[u8]) -> Option<FileKind> {
    let lower = lower(head);
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_sql =
        begins(&["--", "/*", "insert ", "create ", "set ", "begin", "copy ", "pragma ", "drop ", "use "])
            && says(&["insert into", "create table", "copy "]);
    match lower.as_bytes() {
        _ if begins(&["<!doctype html", "<html"]) => Some(foreign::HTML),
        [b'<', ..] => Some(foreign::XML),
        _ if is_sql => Some(foreign::SQL),
        _ => None,
    }
}

/// The beginning of a text, in lower case.
fn lower(head: &[u8]) -> String {
    let text = without_lead(head);
    String::from_utf8_lossy(&text[..text.len().min(4096)]).to_ascii_lowercase()
}

fn are_mostly_objects(head: &[u8]) -> bool {
    let (mut lines, mut objects) = (0, 0);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let is_whole = line.ends_with(b"\n") || head.len() < LOOK_BYTES;
        if is_whole && !line.trim_ascii().is_empty() {
            lines += 1;
            objects += u32::from(Shape::from_line(line) == Shape::Object);
        }
    }
    objects > 0 && objects * 2 >= lines
}

/// Text whose first line is no JSON object.
fn text(head: &[u8], first: FirstLine<'_>) -> Looks {
    let text = without_lead(head);
    let line = String::from_utf8_lossy(first.text);
    let lower = lower(head);
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    let kind = match text {
        [b'[', ..] => foreign::ARRAY,
        [b'{', rest @ ..] if rest.trim_ascii_start().starts_with(b"'") => foreign::PYTHON,
        [b'{', ..] => objects(text, first),
        [b'"', ..] if serde_json::from_slice::<String>(first.text).is_ok() => foreign::STRINGS,
        [0x1e, ..] => foreign::SEQUENCE,
        _ if begins(&["data:", "event:", "retry:", ": "]) => foreign::EVENT_STREAM,
        _ if begins(&["---", "- ", "%yaml"]) => foreign::YAML,
        _ if has_object_behind(first.text) => foreign::PREFIXED,
        _ if is_binary(text) => foreign::BINARY,
        _ => match delimiter(&line) {
            Some(delimiter) => return Looks::Csv(delimiter),
            None => foreign::TEXT,
        },
    };
    kind.into()
}

/// Text that begins with a brace, whose first line is no object.
fn objects(text: &[u8], first: FirstLine<'_>) -> FileKind {
    let mut values = Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) if values.byte_offset() > first.text.len() => foreign::PRETTY,
        Some(Ok(_)) => match text[values.byte_offset()..].trim_ascii_start().first() {
            Some(b',') => foreign::COMMAS,
            _ if !first.ended && first.text.contains(&b'\r') => foreign::CARRIAGE_RETURNS,
            Some(b'{' | b'[') => foreign::SEVERAL_A_LINE,
            _ => foreign::TEXT,
        },
        Some(Err(error)) if error.classify() == Category::Eof => foreign::PRETTY,
        Some(Err(_)) | None => foreign::TEXT,
    }
}

/// A log line, or a key that a consumer printed before the value.
fn has_object_behind(line: &[u8]) -> bool {
    let brace = line.iter().position(|byte| *byte == b'{');
    brace.is_some_and(|brace| matches!(Shape::from_line(&line[brace..]), Shape::Object))
}

/// What is between the columns of a line: the most frequent of what may be, outside of quotes where it is there.
fn delimiter(line: &str) -> Option<char> {
    let count = |sign: char| {
        let outside = line.split('"').step_by(2).map(|part| part.matches(sign).count()).sum::<usize>();
        (outside, line.matches(sign).count())
    };
    let found = [',', ';', '\t', '|'].into_iter().filter(|sign| line.contains(*sign));
    // Of equals the first.
    found.rev().max_by_key(|sign| count(*sign))
}

/// A good part of it is no text.
fn is_binary(text: &[u8]) -> bool {
    let is_odd = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    std::str::from_utf8(&text[..text.len().min(512)]).is_err_and(|error| error.error_len().is_some())
        && text.iter().take(512).filter(is_odd).count() > 16
}

/// What a line is as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Object,
    /// The beginning of one.
    Begun,
    Other,
}

impl Shape {
    fn from_line(line: &[u8]) -> Self {
        if !line.trim_ascii_start().starts_with(b"{") {
            return Self::Other;
        }
        match serde_json::from_slice::<IgnoredAny>(line) {
            Ok(IgnoredAny) => Self::Object,
            Err(error) if error.classify() == Category::Eof => Self::Begun,
            Err(_) => Self::Other,
        }
    }
}

/// The name of the member in which an object that is no event holds an array of objects.
fn envelope(line: FirstLine<'_>) -> Option<String> {
    let is_of_events = |name: &str| EVENT_MEMBERS.contains(&name);
    if let Ok(Value::Object(members)) = serde_json::from_slice(line.text) {
        let holds_objects = |value: &Value| value.get(0).is_some_and(Value::is_object);
        return if members.keys().any(|name| is_of_events(name)) {
            None
        } else {
            members.into_iter().find(|(_, value)| holds_objects(value)).map(|(name, _)| name)
        };
    }
    // The end of a long line was not read: the first array of objects counts, and the text before it.
    let text = std::str::from_utf8(line.text.get(..LOOK_BYTES / 2)?).ok()?;
    let (before, _) = text.split_once('[').filter(|(_, items)| items.trim_start().starts_with('{'))?;
    let (before, name) =
        before.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?.rsplit_once('"')?;
    let says_event = EVENT_MEMBERS.iter().any(|name| before.contains(&format!("\"{name}\"")));
    (!says_event).then(|| name.to_owned())
}
