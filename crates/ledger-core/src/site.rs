//! The host of a site, as two of its URLs have it in common.

/// The host of a URL, or of a host that was typed: in small letters, without `www.`, port and all that follows. None
/// where nothing is left.
#[must_use]
pub fn site_host(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    // The colons of an address in brackets are its own.
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let host = host.trim().to_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host).trim_end_matches('.');
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_one_site_have_one_host() {
        for url in [
            "https://acme.atlassian.net",
            "https://ACME.atlassian.net/wiki/",
            "http://www.acme.atlassian.net:8080/jira?x=1#y",
            "acme.atlassian.net",
            "WWW.Acme.Atlassian.Net.",
            "https://user:word@acme.atlassian.net/",
        ] {
            assert_eq!(site_host(url).as_deref(), Some("acme.atlassian.net"), "{url}");
        }
        assert_eq!(site_host("https://[2001:DB8::1]:80/").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(site_host("https://größe.example/").as_deref(), Some("größe.example"));
    }

    #[test]
    fn what_has_no_host_has_none() {
        for text in ["", "https://", "https:///wiki", "/", "  ", "www."] {
            assert_eq!(site_host(text), None, "{text:?}");
        }
    }
}
