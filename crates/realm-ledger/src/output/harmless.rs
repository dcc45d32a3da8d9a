//! Texts of others on a terminal. A site URL or a header can carry escape sequences that move the cursor, write
//! the title or turn the reading direction: shown as they are, they would make the terminal lie.

use std::borrow::Cow;

/// The text with every sign escaped that does something instead of being seen.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, does_something)
}

/// The same for a text of several lines.
pub(crate) fn harmless_lines(text: &str) -> Cow<'_, str> {
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

/// Control signs, line ends of Unicode, and what turns the reading direction.
fn does_something(sign: char) -> bool {
    let turns = matches!(sign, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || sign.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_is_shown_instead() {
        assert_eq!(harmless("https://ü.example/a\\b"), "https://ü.example/a\\b");
        assert_eq!(
            harmless("a\x1b]0;owned\x07\r\n\tb\u{9b}2J\u{202e}"),
            "a\\u{1b}]0;owned\\u{7}\\r\\n\\tb\\u{9b}2J\\u{202e}"
        );
        assert_eq!(harmless_lines("a\n\x1bb"), "a\n\\u{1b}b");
    }
}
