//! Texts of others on a terminal. A site URL or a header can carry escape sequences that move the cursor, write
//! the title or turn the reading direction: shown as they are, they would make the terminal lie. So would two keys
//! that differ in what has no width, such as a zero-width space or a combining accent.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar as _;

/// The text with every sign escaped that does something instead of being seen, and blanks around it, which are
/// invisible in a table.
pub(crate) fn escape_control(text: &str) -> Cow<'_, str> {
    let seen = text.trim_matches(' ');
    if seen.len() == text.len() {
        return escaped(text, does_something);
    }
    let before = text.len() - text.trim_start_matches(' ').len();
    let blanks = |count: usize| "\\u{20}".repeat(count);
    let behind = text.len() - before - seen.len();
    Cow::Owned(format!("{}{}{}", blanks(before), escaped(seen, does_something), blanks(behind)))
}

/// The same for a text of several lines.
pub(crate) fn escape_control_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |sign| sign != '\n' && does_something(sign))
}

fn escaped(text: &str, is_to_be: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_to_be) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        if is_to_be(sign) {
            escaped.extend(sign.escape_default());
        } else {
            escaped.push(sign);
        }
    }
    Cow::Owned(escaped)
}

/// Control signs, what turns the reading direction, what has no width, and spaces that look like one.
fn does_something(sign: char) -> bool {
    let is_other_space = sign != ' ' && sign.is_whitespace();
    // Hangul fillers have a width, and show nothing.
    let is_filler = matches!(sign, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}');
    is_other_space || is_filler || sign.width().is_none_or(|width| width == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_is_shown_instead() {
        assert_eq!(escape_control("https://ü.example/a\\b"), "https://ü.example/a\\b");
        assert_eq!(
            escape_control("a\x1b]0;owned\x07\r\n\tb\u{9b}2J\u{202e}"),
            "a\\u{1b}]0;owned\\u{7}\\r\\n\\tb\\u{9b}2J\\u{202e}"
        );
        assert_eq!(escape_control_lines("a\n\x1bb"), "a\n\\u{1b}b");
        assert_eq!(escape_control("ac\u{200b}me\u{feff}\u{ad}"), "ac\\u{200b}me\\u{feff}\\u{ad}");
        assert_eq!((&*escape_control("cafe\u{301}"), &*escape_control("café")), ("cafe\\u{301}", "café"));
        assert_eq!(escape_control(" acme  x  "), "\\u{20}acme  x\\u{20}\\u{20}");
        assert_eq!((&*escape_control(" "), &*escape_control("")), ("\\u{20}", ""));
        assert_eq!(escape_control("a\u{a0}b\u{3164}東京"), "a\\u{a0}b\\u{3164}東京");
    }
}
