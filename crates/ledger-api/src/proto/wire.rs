//! The pieces of a message: keys, numbers, texts, what has its length in front, instants, any JSON.

use ledger_core::time::Timestamp;
use ledger_record::json::time::{FIRST, LAST};
use serde_json::{Map, Value as Json};

pub(super) const VARINT: u32 = 0;
pub(super) const FIXED_64: u32 = 1;
pub(super) const LENGTH_DELIMITED: u32 = 2;

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

pub(super) fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, (number << 3 | wire_type).into());
}

pub(super) fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    put_key(out, number, LENGTH_DELIMITED);
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Begins what has its length in front of it.
pub(super) fn begin_nested(out: &mut Vec<u8>, number: u32) -> usize {
    put_key(out, number, LENGTH_DELIMITED);
    out.push(0);
    out.len()
}

/// Writes the length of what began there. It has one byte unless that is not enough.
pub(super) fn end_nested(out: &mut Vec<u8>, begin: usize) {
    let length = out.len() - begin;
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out[begin - 1] = short;
        return;
    }
    let mut written = Vec::with_capacity(5);
    put_varint(&mut written, length as u64);
    out.splice(begin - 1..begin, written);
}

pub(super) fn put_instant(out: &mut Vec<u8>, number: u32, ms: i64) {
    let ms = Timestamp::from_millis(ms).clamp(FIRST, LAST).as_millis();
    let begin = begin_nested(out, number);
    let (seconds, nanos) = (ms.div_euclid(1000), ms.rem_euclid(1000) * 1_000_000);
    for (number, part) in [(1, seconds), (2, nanos)] {
        if part != 0 {
            put_key(out, number, VARINT);
            put_varint(out, part.cast_unsigned());
        }
    }
    end_nested(out, begin);
}

/// Any JSON as `google.protobuf.Value`, without the key in front.
pub(super) fn put_json(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Null => {
            put_key(out, 1, VARINT);
            put_varint(out, 0);
        }
        Json::Number(number) => {
            put_key(out, 2, FIXED_64);
            out.extend_from_slice(&number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        Json::String(text) => put_text(out, 3, text),
        Json::Bool(flag) => {
            put_key(out, 4, VARINT);
            put_varint(out, (*flag).into());
        }
        Json::Object(members) => {
            let begin = begin_nested(out, 5);
            put_members(out, members);
            end_nested(out, begin);
        }
        Json::Array(items) => {
            let list = begin_nested(out, 6);
            for item in items {
                let begin = begin_nested(out, 1);
                put_json(out, item);
                end_nested(out, begin);
            }
            end_nested(out, list);
        }
    }
}

/// The members of a `google.protobuf.Struct`.
pub(super) fn put_members(out: &mut Vec<u8>, members: &Map<String, Json>) {
    for (name, value) in members {
        let entry = begin_nested(out, 1);
        put_text(out, 1, name);
        let begin = begin_nested(out, 2);
        put_json(out, value);
        end_nested(out, begin);
        end_nested(out, entry);
    }
}
