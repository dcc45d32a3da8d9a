//! TLS over the socket, spoken by curl and OpenSSL.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ledger_api::access::{Access, AccessOptions, AccessScope, CertificateOptions, ClientCertificate, Grants};
use ledger_api::http::{Api, Options, Tls, TlsOptions};
use ledger_api::limits::Deadlines;
use ledger_core::time::Timestamp;
use ledger_record::json::time::parse_instant;
use sha2::{Digest as _, Sha256};

use crate::filled::{Filled, installed};
use crate::http::Server;
use crate::load::{PATIENCE, SOON, long};
use crate::openssl::{Authority, openssl};

const STATE: &str = "/v1/tenants/acme.atlassian.net";

const STATE_REQUEST: &[u8] =
    b"GET /v1/tenants/acme.atlassian.net HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn options(authority: &Authority, client_ca: Option<&Authority>) -> TlsOptions {
    TlsOptions {
        certificate: authority.path("server.pem"),
        key: authority.path("server.key"),
        client_ca: client_ca.map(|authority| authority.path("ca.pem")),
    }
}

fn ledger() -> Filled {
    let mut filled = Filled::with(1);
    filled.publish(0, "app", &["EU", "US"]);
    filled.take(0, 1, installed("acme.atlassian.net", "app", "EU", "EU"));
    filled
}

fn secured(filled: &Filled, options: TlsOptions, change: impl FnOnce(Api) -> Api) -> Server {
    let tls = Tls::new(options).unwrap();
    Server::with(&filled.ledger, Options::default(), |api| change(api.with_tls(Some(Arc::new(tls)))))
}

/// Status, with the version of HTTP before it, and body; curl's own exit code where there is no answer.
fn curl(server: &Server, authority: &Path, more: &[&str]) -> Result<(String, String), i32> {
    asked(server, STATE, authority, more)
}

fn asked(server: &Server, path: &str, authority: &Path, more: &[&str]) -> Result<(String, String), i32> {
    let url = format!("https://{}{path}", server.address());
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--max-time", "20", "--write-out", "\n%{http_version} %{http_code}", "--cacert"])
        .arg(authority);
    let output = command
        .args(more)
        .arg(url)
        .output()
        .unwrap_or_else(|error| panic!("curl is needed, tests/run installs it: {error}"));
    if !output.status.success() {
        return Err(output.status.code().unwrap_or_default());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    Ok((status.to_owned(), body.to_owned()))
}

/// A client that shook hands, agreed on these protocols or named none, and sent this.
fn shaken(server: &Server, authority: &Authority, alpn: Option<&str>, sends: &[u8]) -> Child {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_quiet", "-verify_return_error", "-CAfile"]);
    command.arg(authority.path("ca.pem")).arg("-connect").arg(server.address().to_string());
    command.args(alpn.iter().flat_map(|names| ["-alpn", names]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("openssl is needed, tests/run installs it: {error}"));
    child.stdin.as_mut().unwrap().write_all(sends).unwrap();
    child
}

/// All that it reads until the server closes.
fn read_by(mut client: Child) -> String {
    let mut read = Vec::new();
    client.stdout.take().unwrap().read_to_end(&mut read).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn questions_are_answered_over_tls_and_not_without() {
    let authority = Authority::new();
    authority.sign("server");
    let filled = ledger();
    let server = secured(&filled, options(&authority, None), |api| api);
    let ways = [
        (&[][..], "2 200"),
        (&["--tlsv1.3"], "2 200"),
        (&["--tls-max", "1.2"], "2 200"),
        (&["--http1.1"], "1.1 200"),
        (&["--no-alpn"], "1.1 200"),
    ];
    for (more, expected) in ways {
        let (status, body) = curl(&server, &authority.path("ca.pem"), more).unwrap();
        assert!(status == expected && body.contains("\"appKey\":\"app\""), "{more:?}: {status} {body}");
    }
    assert!(curl(&server, &authority.path("ca.pem"), &["--tlsv1.0", "--tls-max", "1.1"]).is_err());
    let stranger = Authority::new();
    assert_eq!(curl(&server, &stranger.path("ca.pem"), &[]).unwrap_err(), 60, "it is not trusted");
    let plain = ureq::get(format!("http://{}{STATE}", server.address())).call();
    assert!(plain.is_err(), "{plain:?}");
}

#[test]
fn certificate_that_changes_is_served_without_a_restart() {
    let (first, second) = (Authority::new(), Authority::new());
    first.sign("server");
    second.sign("server");
    let filled = ledger();
    let server = secured(&filled, options(&first, None), |api| api);
    assert!(curl(&server, &first.path("ca.pem"), &[]).is_ok());
    // The key alone does not fit the certificate: what was there serves on.
    std::fs::copy(second.path("server.key"), first.path("server.key")).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    assert!(curl(&server, &first.path("ca.pem"), &[]).is_ok());
    std::fs::copy(second.path("server.pem"), first.path("server.pem")).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while curl(&server, &second.path("ca.pem"), &[]).is_err() {
        assert!(Instant::now() < until, "the new certificate is not served");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn client_certificate_names_a_principal_and_another_one_none() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    authority.sign("server");
    clients.sign("partner");
    clients.sign("unknown");
    strangers.sign("partner");
    let certificates = vec![CertificateOptions {
        name: "partner".to_owned(),
        sha256: Sha256::digest(clients.der("partner")).into(),
        scopes: [AccessScope::Read].into_iter().collect(),
        apps: Grants::All,
    }];
    let access = Access::new(&AccessOptions { certificates, ..AccessOptions::default() }).unwrap();
    let filled = ledger();
    let server =
        secured(&filled, options(&authority, Some(&clients)), |api| api.with_access(Arc::new(access)));
    let ask = |of: Option<(&Authority, &str)>| {
        let files = of.map(|(authority, name)| {
            ["pem", "key"].map(|end| authority.path(&format!("{name}.{end}")).to_string_lossy().into_owned())
        });
        let more = files.iter().flat_map(|[pem, key]| ["--cert", pem, "--key", key]).collect::<Vec<_>>();
        let answers = ["--http1.1", "--http2"].map(|version| {
            let more: Vec<_> = more.iter().copied().chain([version]).collect();
            curl(&server, &authority.path("ca.pem"), &more)
        });
        let [(one, body), (two, _)] = answers.into_iter().collect::<Result<Vec<_>, _>>()?.try_into().unwrap();
        assert_eq!(one.strip_prefix("1.1 "), two.strip_prefix("2 "), "{one}, {two}");
        Ok::<_, i32>((two, body))
    };
    assert_eq!(ask(Some((&clients, "partner"))).unwrap().0, "2 200");
    let (status, body) = ask(Some((&clients, "unknown"))).unwrap();
    assert!(status == "2 401" && body.contains("the certificate is not known"), "{body}");
    assert_eq!(ask(None).unwrap().0, "2 401", "a client may leave it out, and needs a token then");
    assert!(ask(Some((&strangers, "partner"))).is_err(), "another authority's is refused in the handshake");
}

/// Regression: a connection, or a session that was taken up again, was good for longer than its certificate.
#[test]
fn client_certificate_is_good_until_its_end_whenever_its_hands_were_shaken() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.sign("server");
    clients.sign("partner");
    let der = clients.der("partner");
    let end = openssl(clients.directory(), "x509 -in partner.pem -noout -enddate -dateopt iso_8601", b"");
    let end = String::from_utf8(end).unwrap().trim().replace("notAfter=", "").replace(' ', "T");
    let until = ClientCertificate::new(&der).until;
    assert_eq!(until, Timestamp::from_millis(parse_instant(&end).unwrap().as_millis() + 1000));
    let certificates = vec![CertificateOptions {
        name: "partner".to_owned(),
        sha256: Sha256::digest(&der).into(),
        scopes: [AccessScope::Read].into_iter().collect(),
        apps: Grants::All,
    }];
    let access = Access::new(&AccessOptions { certificates, ..AccessOptions::default() }).unwrap();
    let filled = ledger();
    let server = secured(&filled, options(&authority, Some(&clients)), |api| {
        api.with_access(Arc::new(access)).with_clock(|| Timestamp::from_millis(NOW.load(Ordering::SeqCst)))
    });
    let [pem, key] = ["pem", "key"].map(|end| clients.path(&format!("partner.{end}")));
    let more = ["--cert", pem.to_str().unwrap(), "--key", key.to_str().unwrap()];
    for (before_end, expected) in [(1, "2 200"), (0, "2 401")] {
        NOW.store(until.as_millis() - before_end, Ordering::SeqCst);
        let (status, body) = curl(&server, &authority.path("ca.pem"), &more).unwrap();
        assert!(status == expected && (before_end > 0 || body.contains("has expired")), "{status} {body}");
    }
}

#[test]
fn client_that_does_not_shake_hands_is_closed_in_time() {
    let authority = Authority::new();
    authority.sign("server");
    let filled = ledger();
    let deadlines = Deadlines { head: SOON, ..Default::default() };
    let server = secured(&filled, options(&authority, None), |api| api.with_deadlines(deadlines));
    for begins in [&b""[..], b"\x16\x03\x01\x02\x00\x01", STATE_REQUEST] {
        let mut silent = TcpStream::connect(server.address()).unwrap();
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        silent.write_all(begins).unwrap();
        let read = silent.read_to_end(&mut Vec::new());
        assert!(read.is_ok(), "closed: {read:?}");
    }
    assert!(curl(&server, &authority.path("ca.pem"), &[]).is_ok());
}

#[test]
fn client_that_agreed_on_one_protocol_and_speaks_another_gets_no_answer() {
    let authority = Authority::new();
    authority.sign("server");
    let filled = ledger();
    let server = secured(&filled, options(&authority, None), |api| api);
    let answer = |alpn| read_by(shaken(&server, &authority, alpn, STATE_REQUEST));
    assert!(answer(None).starts_with("HTTP/1.1 200"));
    assert!(answer(Some("http/1.1,h2")).is_empty(), "the server prefers HTTP/2");
    assert!(answer(Some("http/1.1")).starts_with("HTTP/1.1 200"));
    assert!(answer(Some("h2")).is_empty());
    assert!(answer(Some("spdy/1")).is_empty(), "no protocol in common");
}

#[test]
fn deadlines_behind_the_handshake_are_those_without_tls() {
    let authority = Authority::new();
    authority.sign("server");
    let filled = ledger();
    let deadlines = Deadlines { head: SOON, idle: SOON, ..Default::default() };
    let server = secured(&filled, options(&authority, None), |api| api.with_deadlines(deadlines));
    let begun = Instant::now();
    assert!(
        read_by(shaken(&server, &authority, None, b"GET /v1")).starts_with("HTTP/1.1 408"),
        "half a head"
    );
    for (alpn, sends) in
        [(None, &b""[..]), (Some("h2"), b""), (Some("h2"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]
    {
        let read = read_by(shaken(&server, &authority, alpn, sends));
        assert!(!read.contains("HTTP/1.1"), "closed without a word: {read}");
    }
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn client_that_does_not_read_over_tls_is_dropped() {
    let authority = Authority::new();
    authority.sign("server");
    let filled = long();
    let deadlines = Deadlines { unread: SOON, ..Default::default() };
    let tls = Tls::new(options(&authority, None)).unwrap();
    // One of the two places is for expensive questions.
    let options = Options { concurrent_requests: 2, ..Options::default() };
    let server = Server::with(&filled.ledger, options, |api| {
        api.with_tls(Some(Arc::new(tls))).with_deadlines(deadlines)
    });
    let log = b"GET /v1/tenants/acme/log HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n";
    let mut unread = shaken(&server, &authority, None, log);
    // With the first bytes of its answer it has its place.
    unread.stdout.as_mut().unwrap().read_exact(&mut [0; 16]).unwrap();
    let until = Instant::now() + PATIENCE;
    while asked(&server, "/v1/installations", &authority.path("ca.pem"), &[]).unwrap().0 != "2 200" {
        assert!(Instant::now() < until, "the place never came back");
    }
    assert!(!read_by(unread).contains("freshness"), "it was cut off");
}

#[test]
fn files_that_do_not_fit_are_refused_at_the_start() {
    let (one, other) = (Authority::new(), Authority::new());
    one.sign("server");
    other.sign("server");
    let reason = |options: TlsOptions| Tls::new(options).unwrap_err().to_string();
    let fit = options(&one, None);
    assert!(
        reason(TlsOptions { key: other.path("server.key"), ..fit.clone() })
            .contains("cannot be used together")
    );
    assert!(
        reason(TlsOptions { certificate: one.path("none.pem"), ..fit.clone() })
            .contains("cannot be read as PEM")
    );
    assert!(reason(TlsOptions { certificate: one.path("server.key"), ..fit }).contains("has no certificate"));
}
