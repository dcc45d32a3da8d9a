//! Secrets in JSON of any shape: in the text of a field, and in settings.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::redact::is_secret_name;
use crate::redact::text::plain;

/// How deep JSON inside the text of JSON is looked into; beyond, it is treated as running text.
const QUOTED_DEPTH_MAX: usize = 4;

/// Text that is JSON, without its secrets; none when it is no JSON object or list.
pub(crate) fn json_text(text: &str) -> Option<Cow<'_, str>> {
    in_text(text, QUOTED_DEPTH_MAX)
}

/// Removes the secrets; whether there were any.
pub(crate) fn json(json: &mut Value) -> bool {
    redact(json, QUOTED_DEPTH_MAX)
}

fn in_text(text: &str, depth_left: usize) -> Option<Cow<'_, str>> {
    let depth_left = depth_left.checked_sub(1)?;
    if !matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut json: Value = serde_json::from_str(text).ok()?;
    if !redact(&mut json, depth_left) {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(json.to_string()))
}

fn redact(json: &mut Value, depth_left: usize) -> bool {
    match json {
        Value::String(text) => {
            let redacted = in_text(text, depth_left).unwrap_or_else(|| plain(text));
            let Cow::Owned(redacted) = redacted else {
                return false;
            };
            *text = redacted;
            true
        }
        // `["Authorization", "…"]`: any item beside the name of a secret may be its value.
        Value::Array(items) if items.iter().any(names_a_secret) => {
            items.clear();
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| redact(item, depth_left) | any),
        // `{"name": "Authorization", "value": "…"}`, whatever the two are called.
        Value::Object(members) if members.values().any(names_a_secret) => {
            members.clear();
            true
        }
        Value::Object(members) => redact_members(members, depth_left),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The longest text that is taken for the name of a secret.
const NAME_MAX_BYTES: usize = 64;

fn names_a_secret(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let name = text.trim().trim_end_matches([':', '=']).trim_end();
        name.len() <= NAME_MAX_BYTES
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            && is_secret_name(name)
    })
}

fn redact_members(members: &mut Map<String, Value>, depth_left: usize) -> bool {
    let count = members.len();
    members.retain(|name, _| !is_secret_name(name));
    let mut any = members.len() != count;
    let tainted: Vec<String> =
        members.keys().filter(|name| matches!(plain(name), Cow::Owned(_))).cloned().collect();
    for name in tainted {
        if let Some(value) = members.remove(&name) {
            members.insert(plain(&name).into_owned(), value);
            any = true;
        }
    }
    members.values_mut().fold(any, |any, value| redact(value, depth_left) | any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_value_are_removed_however_they_are_laid_out() {
        for given in [
            r#"{"sharedSecret":"canary"}"#,
            r#"{"headers":[{"name":"x-shared-secret","value":"canary"}]}"#,
            r#"{"h":[{"k":"Authorization:","v":{"deep":["canary"]}}]}"#,
            r#"[["Authorization","Basic canary"],["Accept","*/*"]]"#,
            r#"["cookie","canary"]"#,
            r#"{"x":"{\"a\":[{\"key\":\"api_key\",\"n\":\"canary\"}]}"}"#,
            r#"{"Authorization: Basic canary":1}"#,
            r#"{"a":["Authorization: Basic canary"]}"#,
        ] {
            let once = json_text(given).unwrap().into_owned();
            assert!(!once.contains("canary"), "{given}: {once}");
            assert!(matches!(json_text(&once), Some(Cow::Borrowed(_))), "{given}: {once}");
        }
    }

    #[test]
    fn what_is_no_secret_is_left() {
        for given in [r#"{"name":"Accept","value":"*/*"}"#, r#"["renamed the secret santa app",1]"#, "{}"] {
            assert!(matches!(json_text(given), Some(Cow::Borrowed(_))), "{given}");
        }
    }
}
