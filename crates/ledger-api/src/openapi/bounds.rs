//! What the value of a parameter may be, beyond its kind. A test asks the server for what lies beyond.

use ledger_core::limits::KEY_MAX_BYTES;
use ledger_record::json::INTEGER_MAX;
use serde_json::{Value, json};

use crate::limits::{LIST_DEFAULT, LIST_MAX};

/// The bounds as members of a schema, and what is to be said of them in words. A limit bounds a page, and not what is sent
/// line by line.
pub(super) fn of(name: &str, in_lines: bool) -> (Value, String) {
    match name {
        "limit" if in_lines => {
            let of_page = format!("As JSON 1 to {LIST_MAX}, and {LIST_DEFAULT} unless given");
            (
                json!({ "minimum": 1, "maximum": INTEGER_MAX }),
                format!("{of_page}; line by line any number, and all unless given."),
            )
        }
        "limit" => (json!({ "minimum": 1, "maximum": LIST_MAX, "default": LIST_DEFAULT }), String::new()),
        "fromSeq" => (json!({ "minimum": 1, "maximum": INTEGER_MAX, "default": 1 }), String::new()),
        "fromPosition" | "minPosition" | "knownSeq" | "pinned" | "seq" => {
            (json!({ "maximum": INTEGER_MAX }), String::new())
        }
        "partition" => (json!({ "maximum": u32::MAX }), String::new()),
        "clientKey" | "appKey" | "id" => {
            (json!({ "minLength": 1, "maxLength": KEY_MAX_BYTES }), String::new())
        }
        _ => (Value::Null, String::new()),
    }
}
