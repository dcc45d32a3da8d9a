//! The hash of a request that Connect puts into its tokens (`qsh`): SHA-256 of method, path and sorted query.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The hash of a request with this path below the base URL.
pub(super) fn query_hash(method: &str, path: &str, query: &str) -> String {
    let canonical =
        format!("{}&{}&{}", method.to_ascii_uppercase(), canonical_path(path), canonical_query(query));
    hex::encode(Sha256::digest(canonical.as_bytes()))
}

fn canonical_path(path: &str) -> String {
    let path = path.trim_matches('/').replace('&', "%26");
    format!("/{path}")
}

/// Without the token itself; the values of a name that is given several times are joined.
fn canonical_query(query: &str) -> String {
    let parameters: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut parameters: Vec<_> = parameters.into_iter().filter(|(name, _)| name != "jwt").collect();
    parameters.sort();
    let mut canonical = String::new();
    for (at, (name, value)) in parameters.iter().enumerate() {
        if at > 0 && parameters[at - 1].0 == *name {
            canonical.push(',');
        } else {
            canonical.extend((at > 0).then_some('&'));
            push_encoded(&mut canonical, name);
            canonical.push('=');
        }
        push_encoded(&mut canonical, value);
    }
    canonical
}

fn push_encoded(text: &mut String, plain: &str) {
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_node_library() {
        // By atlassian-jwt 2.0.3: createQueryStringHash(fromMethodAndUrl(method, url), false, "").
        let hashes = [
            ("post", "/installed", "", "4a2e1de8ca74e6cafe8862d332fa3ac7a8e51e692bc6d798ea4dfedc14948bf4"),
            ("POST", "/", "", "6dfb58321692d08d44565d1331846fc24e7dc08b33259d262f4eff79b21d8e05"),
            (
                "GET",
                "/migration/status",
                "migrationId=57500&jwt=x",
                "0df1216ffd2d9da8eb447fb72e58495fe0a042cb537f0db2d4740323ab1d6dd3",
            ),
            (
                "POST",
                "/a&b/",
                "b=2&a=1&b=1&jwt=x&c=%20+%21*%27()~&%C3%BC=%2F&empty",
                "941300ccac42ebf0d31c86f2d2a6ffd302e54718268ee0643120e272f9bbaecb",
            ),
        ];
        for (method, path, query, hash) in hashes {
            assert_eq!(query_hash(method, path, query), hash, "{path} {query}");
        }
    }

    #[test]
    fn queries_are_sorted_joined_and_encoded() {
        assert_eq!(canonical_query(""), "");
        assert_eq!(canonical_query("jwt=x"), "");
        assert_eq!(canonical_query("b=2&a=1&jwt=x&b=1"), "a=1&b=1,2");
        assert_eq!(canonical_query("%C3%BC=%2F&a=%20+!*'()~"), "a=%20%20%21%2A%27%28%29~&%C3%BC=%2F");
        assert_eq!(canonical_query("empty"), "empty=");
        assert_eq!(["", "/", "/a/", "/a&b"].map(canonical_path), ["/", "/", "/a", "/a%26b"]);
    }
}
