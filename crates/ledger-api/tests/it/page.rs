//! The page over a socket: its files, with the headers that guard them.

use ledger_api::http::Options;

use crate::filled::Filled;
use crate::http::Server;

/// The whole answer as text, status line and headers first.
fn raw(server: &Server, path: &str, headers: &str) -> String {
    server.raw(&format!("GET {path} HTTP/1.1\r\nhost: localhost{headers}"))
}

#[test]
fn page_loads_from_this_server_only_and_once() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    for (path, media_type) in [("/", "text/html"), ("/page/main.js", "text/javascript")] {
        let answer = raw(&server, path, "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let wanted = [
            format!("content-type: {media_type}; charset=utf-8"),
            "content-security-policy: default-src 'self';".to_owned(),
            "x-content-type-options: nosniff".to_owned(),
            "referrer-policy: no-referrer".to_owned(),
        ];
        for header in wanted {
            assert!(answer.contains(&header), "{header}: {answer}");
        }
        let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let again = raw(&server, path, &format!("\r\nif-none-match: {tag}"));
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    }
}

#[test]
fn page_that_is_turned_off_is_no_route() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options { page: false, ..Options::default() });
    for path in ["/", "/page/main.js"] {
        assert!(raw(&server, path, "").contains("no-such-route"), "{path}");
    }
}
