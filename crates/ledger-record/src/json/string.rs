//! Strings of JSON.

/// Appends text as a JSON string, with no escapes but those that it needs.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    let needs_escape = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\');
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly all text needs none, which is told of all bytes at once.
    let needs_some = rest.iter().fold(false, |so_far, byte| so_far | needs_escape(byte));
    while let Some(at) = needs_some.then(|| rest.iter().position(needs_escape)).flatten() {
        let (plain, [byte, after @ ..]) = rest.split_at(at) else { break };
        out.extend_from_slice(plain);
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(hex::encode([*byte]).as_bytes());
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
