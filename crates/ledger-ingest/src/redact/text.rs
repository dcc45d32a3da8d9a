//! Secrets in running text.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use ledger_record::token;

use crate::redact::{REMOVED, is_secret_name, quoted};

/// The text without secrets; borrowed, and so unchanged, when it holds none.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'['))
        && let Some(redacted) = quoted::json_text(text)
    {
        return redacted;
    }
    plain(text)
}

/// How often text is looked through again because something was removed: the text on both sides of a
/// secret can look like another one.
const PASSES_MAX: usize = 8;

/// As [`text()`], for text that is not looked at as JSON.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let mut kept = once(text);
    for _ in 1..PASSES_MAX {
        let Cow::Owned(before) = &kept else { break };
        let Cow::Owned(after) = once(before) else { break };
        kept = Cow::Owned(after);
    }
    kept
}

fn once(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut from = 0;
    while let Some(secret) = next_secret(text, from, Kinds::All) {
        kept.push_str(&text[from..secret.start]);
        kept.push_str(REMOVED);
        from = secret.end;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    if kept == text { Cow::Borrowed(text) } else { Cow::Owned(kept) }
}

/// Whether a key holds a secret by its shape. A name in it proves nothing, `password:reset:17` is a fine key;
/// only `Authorization` is a header and no key.
pub(crate) fn is_tainted_key(key: &str) -> bool {
    next_secret(key, 0, Kinds::ByShape).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    All,
    ByShape,
}

/// The bytes that tell of a secret's beginning; few of a text do. A web token begins two bytes before its `J`: the `e`
/// is in every other word; a token of the service likewise before its `_`.
const TELLING: [bool; 256] = {
    let mut telling = [false; 256];
    let bytes = b"bBjJ:=-_";
    let mut index = 0;
    while index < bytes.len() {
        telling[bytes[index] as usize] = true;
        index += 1;
    }
    telling
};

/// The first secret that begins at or after `from`. Ranges begin and end between characters: every byte
/// looked at is ASCII.
fn next_secret(text: &str, from: usize, kinds: Kinds) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // Up to here it is known that nothing is a web token: without it, a long run would be read anew from
    // each of its bytes.
    let mut no_web_token_until = from;
    let mut next = from;
    while let Some(step) = bytes[next..].iter().position(|byte| TELLING[usize::from(*byte)]) {
        let at = next + step;
        next = at + 1;
        let found = match bytes[at] {
            b'J' if bytes.get(no_web_token_until..at).is_some_and(|before| before.ends_with(b"ey")) => {
                match web_token(bytes, at - 2) {
                    WebToken::Found(range) => Some(range),
                    WebToken::NoneUntil(end) => {
                        no_web_token_until = end;
                        None
                    }
                }
            }
            b'b' | b'B' => after_scheme(bytes, at, b"bearer").or_else(|| basic_credentials(bytes, at)),
            b'j' | b'J' => after_scheme(bytes, at, b"jwt"),
            b':' | b'=' => user_part(bytes, at).or_else(|| named_value(text, at, kinds)),
            b'-' => pem_block(text, at),
            b'_' => at.checked_sub(2).and_then(|start| token::secret_at(bytes, start)),
            _ => None,
        };
        if let Some(range) = found.filter(|range| range.start >= from && !range.is_empty()) {
            return Some(range);
        }
    }
    None
}

enum WebToken {
    Found(Range<usize>),
    NoneUntil(usize),
}

/// What begins with `eyJ`.
fn web_token(bytes: &[u8], at: usize) -> WebToken {
    let end = at + run(&bytes[at..], |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='));
    // Three parts or more: signed tokens have three, encrypted ones five.
    let has_parts = bytes[at..end].split(|b| *b == b'.').nth(2).is_some();
    if has_parts { WebToken::Found(at..end) } else { WebToken::NoneUntil(end) }
}

fn after_scheme(bytes: &[u8], at: usize, word: &[u8]) -> Option<Range<usize>> {
    let rest = &bytes[at..];
    let inside_a_word = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
    if inside_a_word || rest.len() <= word.len() || !rest[..word.len()].eq_ignore_ascii_case(word) {
        return None;
    }
    let gap = run(&rest[word.len()..], |b| matches!(b, b' ' | b'\t' | b'+'));
    if gap == 0 {
        return None;
    }
    let start = at + word.len() + gap;
    let length =
        run(&bytes[start..], |b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b',' | b'&'));
    Some(start..start + length)
}

/// `Basic dXNlcjpwYXNzd29yZA==`. The word alone is too common to prove anything: what follows must be base 64
/// with a colon inside.
fn basic_credentials(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let range = after_scheme(bytes, at, b"basic")?;
    let encoded = run(&bytes[range.clone()], |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let credentials = BASE64_STANDARD_NO_PAD.decode(&bytes[range.start..range.start + encoded]).ok()?;
    credentials.contains(&b':').then_some(range)
}

/// `://user:password@` in a URL, seen from its colon.
fn user_part(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    if !bytes[at..].starts_with(b"://") {
        return None;
    }
    let start = at + 3;
    let authority = run(&bytes[start..], |b| {
        !b.is_ascii_whitespace() && !matches!(b, b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\')
    });
    let user = bytes[start..start + authority].iter().rposition(|b| *b == b'@')?;
    Some(start..start + user)
}

/// The value after `name=` or `name:`, seen from the sign between them, if the name is that of a secret.
fn named_value(text: &str, at: usize, kinds: Kinds) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let is_filler = |b: &u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\');
    let name_end = bytes[..at].iter().rposition(|b| !is_filler(b))? + 1;
    let name_start = bytes[..name_end].iter().rposition(|b| !is_name_byte(*b)).map_or(0, |before| before + 1);
    let name = &text[name_start..name_end];
    if name == "https" || name == "http" || !is_secret_name(name) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let is_authorization = lower.contains("authorization");
    if kinds == Kinds::ByShape && !is_authorization {
        return None;
    }
    let start = at + 1 + run(&bytes[at + 1..], |b| is_filler(&b));
    if matches!(bytes.get(start), Some(b'[' | b'{')) {
        // Where a list or object ends, only its writer knows.
        return Some(start..bytes.len());
    }
    let quote = bytes[at + 1..start].iter().copied().find(|b| matches!(b, b'"' | b'\''));
    let has_many_words = is_authorization || lower.contains("cookie");
    let length = run(&bytes[start..], |b| match quote {
        Some(quote) => b != quote && b != b'\\',
        None if has_many_words => !matches!(b, b'\n' | b'\r'),
        None => !b.is_ascii_whitespace() && !matches!(b, b'&' | b',' | b';' | b'"' | b'\'' | b'}' | b'#'),
    });
    Some(start..start + length)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn pem_block(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    if !rest.starts_with("-----BEGIN") {
        return None;
    }
    let end = rest.find("-----END").map_or(rest.len(), |footer| {
        let after = footer + "-----END".len();
        rest[after..].find("-----").map_or(rest.len(), |dashes| after + dashes + "-----".len())
    });
    Some(at..at + end)
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|b| !belongs(*b)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn removes_what_is_secret() {
        for (given, kept) in [
            ("Bearer abc.def", "Bearer ***"),
            ("called with bearer  xyz, twice", "called with bearer  ***, twice"),
            ("JWT eyJ0.eyJpc3Mi.c2ln", "JWT ***"),
            ("see eyJ0eXAi.eyJpc3Mi.c2lnbmF0dXJl.", "see ***"),
            ("xeyJ0.b.c y", "x*** y"),
            ("https://bob:pw@acme.example/x", "https://***@acme.example/x"),
            ("https://a.example/?x=1&jwt=abc&y=2", "https://a.example/?x=1&jwt=***&y=2"),
            ("Authorization: Basic dTpw cGE=", "Authorization: ***"),
            ("shared_secret = s3cr3t; rest", "shared_secret = ***; rest"),
            (r#"sent {"sharedSecret":"a b","x":1}"#, r#"sent {"sharedSecret":"***","x":1}"#),
            (r#"sent {\"sharedSecret\":\"ab\"}"#, r#"sent {\"sharedSecret\":\"***\"}"#),
            ("a -----BEGIN KEY-----\nx\n-----END KEY----- b", "a *** b"),
            ("-----BEGIN KEY-----\nx", "***"),
            ("sent Basic dXNlcjpwYXNzd29yZA==, twice", "sent Basic ***, twice"),
            (r#"got sharedSecret: ["a b", "c d"] back"#, "got sharedSecret: ***"),
            ("https://a.example/?sv=1&Signature=abc%3D&y=2", "https://a.example/?sv=1&Signature=***&y=2"),
        ] {
            assert_eq!(text(given), kept);
        }
    }

    #[test]
    fn leaves_what_is_not() {
        for given in [
            "",
            "renamed by ops, see TICKET-12: moved to EU",
            "https://acme.atlassian.net/wiki?a=b#c",
            "ari:cloud:ecosystem::installation/3f2f5e8a",
            "the forbearer is gone",
            "mail bob@example.com",
            r#"{"a": [1, 2.50]}"#,
            "eyJ is how they begin",
            "a basic subscription, see dGVzdA==",
        ] {
            assert!(matches!(text(given), Cow::Borrowed(same) if same == given), "{given}");
        }
    }

    #[test]
    fn keys_are_judged_by_shape_alone() {
        for key in [
            "eyJ0.eyJpc3Mi.c2ln",
            "JWT abc",
            "https://bob:pw@acme.example",
            "Authorization: Token x",
            "basic dXNlcjpwYXNzd29yZA",
        ] {
            assert!(is_tainted_key(key), "{key}");
        }
        for key in ["password:reset:17", "token=17", "jira:3f2f5e8a", "com.example.jwt", "a@b"] {
            assert!(!is_tainted_key(key), "{key}");
        }
    }

    #[test]
    fn tokens_of_the_service_are_secrets_in_texts_and_in_keys() {
        let token = token::new_token([7; 32]);
        for (given, kept) in [
            (format!("curl -H 'x: {token}' failed"), "curl -H 'x: rl_***' failed"),
            (format!("authorization: Bearer {token}"), "authorization: ***"),
            (format!("https://a.example/hooks/{token}/x"), "https://a.example/hooks/rl_***/x"),
            (
                format!(r#"{{"note":"{token}","{token}":["{token}"]}}"#),
                r#"{"note":"rl_***","rl_***":["rl_***"]}"#,
            ),
        ] {
            assert_eq!(text(&given), kept);
            assert!(matches!(text(kept), Cow::Borrowed(_)), "{kept}");
            assert!(is_tainted_key(&given) && !is_tainted_key("rl_***"), "{given}");
        }
        for given in [&token[..51], "rl_", "a_b_rl_c", "url_5d41402abc4b2a76b9719d911017c592"] {
            assert!(matches!(text(given), Cow::Borrowed(_)) && !is_tainted_key(given), "{given}");
        }
    }

    #[test]
    fn long_runs_take_no_time() {
        for run in ["eyJ", "rl_"] {
            assert!(matches!(text(&run.repeat(300_000)), Cow::Borrowed(_)), "{run}");
        }
    }

    #[test]
    fn text_that_is_json_is_redacted_as_json() {
        let given = r#" {"a":1,"shared\u0053ecret":"canary","b":["Bearer canary"]}"#;
        assert_eq!(text(given), r#"{"a":1,"b":["Bearer ***"]}"#);
    }

    proptest! {
        #[test]
        fn once_is_enough(given in r#"([ -~]|Bearer |jwt |token|secret|[:=@"\\&{}]|://|eyJ|\.|-----BEGIN|-----END|ü){0,24}"#) {
            let once = text(&given).into_owned();
            prop_assert_eq!(text(&once).into_owned(), once.clone());
        }
    }
}
