//! Whether a text is an absolute http or https URL.
//!
//! URLs are compared and published as they were written, so nothing is parsed or normalised: this only
//! refuses what could not be called. A browser's parser would be too kind: it repairs `http:host`, line
//! breaks and backslashes.

/// Scheme, `://`, a host, perhaps a port; no white space or control characters anywhere.
pub(super) fn is_absolute_http(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let Some(rest) = rest.strip_prefix("//") else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return false;
    }
    // Nearly all are plain ASCII, which is checked without reading characters.
    let is_refused = |byte| matches!(byte, 0..=b' ' | 0x7f | b'\\' | b'"' | b'<' | b'>');
    if rest.bytes().any(is_refused)
        || !rest.is_ascii() && rest.chars().any(|sign| sign.is_whitespace() || sign.is_control())
    {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    is_host_and_port(host_and_port)
}

fn is_host_and_port(text: &str) -> bool {
    if let Some(bracketed) = text.strip_prefix('[') {
        let Some((address, port)) = bracketed.split_once(']') else {
            return false;
        };
        let is_address =
            address.contains(':') && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
        return is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
    let is_name = host.bytes().all(is_plain)
        || host.chars().all(|sign| sign.is_alphanumeric() || u8::try_from(sign).is_ok_and(is_plain));
    is_name && host.chars().any(char::is_alphanumeric) && port.is_none_or(is_port)
}

/// The empty port is legal and means the scheme's own.
fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callable_urls_are_accepted() {
        for url in [
            "https://app.example.com",
            "HTTP://app.example.com:8080/a/b?x=1#y",
            "https://localhost",
            "http://127.0.0.1:3000",
            "http://[::1]:3000/",
            "https://bücher.example",
            "https://***@app.example.com/?token=***",
            "https://app_1.example.com:/",
        ] {
            assert!(is_absolute_http(url), "{url}");
        }
    }

    #[test]
    fn uncallable_urls_are_refused() {
        for url in [
            "",
            "app.example.com",
            "//app.example.com",
            "/path",
            "http:app.example.com",
            "https:/app.example.com",
            "https://",
            "https:///path",
            "https://?x",
            "https://:443",
            "https://.",
            "ftp://app.example.com",
            "javascript://app.example.com",
            " https://app.example.com",
            "https://app example.com",
            "https://app.example.com/a b",
            "https://app.example.com\n",
            "https://app.example.com\\x",
            "https://app.example.com:65536",
            "https://app.example.com:x",
            "https://{region}.example.com",
            "https://[::1",
            "https://[]/",
        ] {
            assert!(!is_absolute_http(url), "{url}");
        }
    }
}
