//! TLS over the socket, spoken by curl.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_api::access::{Access, AccessOptions, AccessScope, CertificateOptions, Grants};
use ledger_api::http::{Options, Tls, TlsOptions};
use sha2::{Digest as _, Sha256};

use crate::filled::{Filled, installed};
use crate::http::Server;
use crate::openssl::Authority;

const STATE: &str = "/v1/tenants/acme.atlassian.net";

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

/// Status and body; curl's own exit code where there is no answer.
fn curl(server: &Server, authority: &Path, more: &[&str]) -> Result<(String, String), i32> {
    let url = format!("https://{}{STATE}", server.address());
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "--cacert"])
        .arg(authority);
    let output = command.args(more).arg(url).output().expect("curl is needed: tests/run installs it");
    if !output.status.success() {
        return Err(output.status.code().unwrap_or_default());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    Ok((status.to_owned(), body.to_owned()))
}

#[test]
fn questions_are_answered_over_tls_and_not_without() {
    let authority = Authority::new();
    authority.sign("server");
    let (filled, tls) = (ledger(), Tls::new(options(&authority, None)).unwrap());
    let server = Server::with(&filled.ledger, Options::default(), |api| api.with_tls(Some(Arc::new(tls))));
    for more in [&[][..], &["--tlsv1.3"], &["--tls-max", "1.2"]] {
        let (status, body) = curl(&server, &authority.path("ca.pem"), more).unwrap();
        assert!(status == "200" && body.contains("\"appKey\":\"app\""), "{status} {body}");
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
    let (filled, tls) = (ledger(), Tls::new(options(&first, None)).unwrap());
    let server = Server::with(&filled.ledger, Options::default(), |api| api.with_tls(Some(Arc::new(tls))));
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
    let (filled, tls) = (ledger(), Tls::new(options(&authority, Some(&clients))).unwrap());
    let server = Server::with(&filled.ledger, Options::default(), |api| {
        api.with_tls(Some(Arc::new(tls))).with_access(Arc::new(access))
    });
    let ask = |of: Option<(&Authority, &str)>| {
        let files = of.map(|(authority, name)| {
            ["pem", "key"].map(|end| authority.path(&format!("{name}.{end}")).to_string_lossy().into_owned())
        });
        let more = files.iter().flat_map(|[pem, key]| ["--cert", pem, "--key", key]).collect::<Vec<_>>();
        curl(&server, &authority.path("ca.pem"), &more)
    };
    assert_eq!(ask(Some((&clients, "partner"))).unwrap().0, "200");
    let (status, body) = ask(Some((&clients, "unknown"))).unwrap();
    assert!(status == "401" && body.contains("the certificate is not known"), "{body}");
    assert_eq!(ask(None).unwrap().0, "401", "a client may leave it out, and needs a token then");
    assert!(ask(Some((&strangers, "partner"))).is_err(), "another authority's is refused in the handshake");
}

#[test]
fn client_that_does_not_shake_hands_is_closed_in_time() {
    let authority = Authority::new();
    authority.sign("server");
    let (filled, tls) = (ledger(), Tls::new(options(&authority, None)).unwrap());
    let deadlines = ledger_api::limits::Deadlines { head: Duration::from_millis(300), ..Default::default() };
    let server = Server::with(&filled.ledger, Options::default(), |api| {
        api.with_tls(Some(Arc::new(tls))).with_deadlines(deadlines)
    });
    let mut silent = std::net::TcpStream::connect(server.address()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let read = std::io::Read::read(&mut silent, &mut [0; 16]);
    assert_eq!(read.unwrap(), 0, "closed");
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
