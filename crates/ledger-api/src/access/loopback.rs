//! Names of this machine, which no name server can give to another one.

use std::net::IpAddr;

use axum::http::uri::Authority;

/// Whether a host, with or without a port, is this machine by its loopback interface.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = Authority::try_from(authority) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_address = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    // A user before the host belongs into no header, and hides the host from people.
    (is_address || host.eq_ignore_ascii_case("localhost")) && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_told_from_those_that_look_like_them() {
        for own in
            ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:80"]
        {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:80@evil.example",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
            "localhost:80/x",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
