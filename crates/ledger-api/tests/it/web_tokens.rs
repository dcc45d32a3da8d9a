//! Web tokens (JWT) over the socket: signed by OpenSSL, and wrong in every way that has a name.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ledger_api::access::{Access, AccessOptions, IssuerOptions, KeySet, SigningAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::filled::{Filled, hour, installed};
use crate::http::Server;
use crate::openssl::{Authority, KeyKind, TokenSigner, base64url, openssl};

const ISSUER: &str = "https://id.example.com";
const STATE: &str = "/v1/tenants/acme.atlassian.net/apps/com.granted.app";
const LOG: &str = "/v1/tenants/acme.atlassian.net/log";

/// By the clock of the servers of these tests.
fn seconds_from_now(seconds: i64) -> i64 {
    hour(100).as_millis() / 1000 + seconds
}

/// The claims of a good token.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "realm-ledger", "sub": "support@example.com", "exp": seconds_from_now(60),
        "scope": "openid read", "apps": ["com.granted.app"],
    })
}

pub(crate) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// An issuer with these keys, in a directory.
pub(crate) fn issuer(
    directory: &Path,
    signers: &[&TokenSigner],
    algorithms: &[SigningAlgorithm],
) -> IssuerOptions {
    let path = directory.join("keys.json");
    // A symmetric key is never one of an issuer.
    let mut all: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    all.push(json!({"kty": "oct", "k": base64url("secret"), "kid": "shared"}));
    std::fs::write(&path, json!({ "keys": all }).to_string()).unwrap();
    issuer_at(&path.to_string_lossy(), algorithms)
}

fn issuer_at(jwks: &str, algorithms: &[SigningAlgorithm]) -> IssuerOptions {
    IssuerOptions {
        issuer: ISSUER.to_owned(),
        audience: "realm-ledger".to_owned(),
        jwks: jwks.to_owned(),
        ca: None,
        algorithms: algorithms.to_vec(),
        scopes_claim: "scope".to_owned(),
        apps_claim: "apps".to_owned(),
        leeway: Duration::from_secs(5),
    }
}

/// Tokens that are wrong in one way each, with what the refusal says of it. The signer is known to the issuer, for RS256.
pub(crate) fn wrong_tokens(signer: &TokenSigner) -> Vec<(String, &'static str)> {
    const NOT_SIGNED: &str = "signature of the token is not that of its issuer";
    let wrong_claims = [
        (with("exp", json!(seconds_from_now(-6))), "has expired"),
        (with("exp", json!("tomorrow")), "lacks exp, iss or aud"),
        (with("nbf", json!(seconds_from_now(60))), "not good yet"),
        (with("nbf", json!("now")), "nbf of the token is no time"),
        (with("aud", json!("other")), "another audience"),
        (with("iss", json!("https://evil.example.com")), "issuer of the token is not named"),
        (with("iss", json!([ISSUER])), "names no issuer"),
        (with("sub", json!("x".repeat(256))), "sub of the token is no name"),
        (with("sub", json!("two\nlines")), "sub of the token is no name"),
        (with("sub", json!(7)), "sub of the token is no name"),
        (with("sub", json!("x".repeat(255 - ISSUER.len()))), "together longer than a name may be"),
        (without("iss"), "names no issuer"),
        (without("aud"), "lacks exp, iss or aud"),
        (without("exp"), "lacks exp, iss or aud"),
    ];
    let mut tokens: Vec<_> =
        wrong_claims.into_iter().map(|(claims, reason)| (signer.token(&claims), reason)).collect();
    let thief = TokenSigner::new(KeyKind::Rsa, signer.id());
    tokens.push((thief.token(&claims()), NOT_SIGNED));
    // A key of the sender's own is not looked at.
    let mut header = signer.header();
    header["jwk"] = thief.jwk();
    tokens.push((thief.signed(&header, &claims()), NOT_SIGNED));
    let good = signer.token(&claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let more = base64url(with("apps", json!("*")).to_string());
    tokens.push((format!("{head}.{more}.{signature}"), NOT_SIGNED));
    tokens.push((format!("{message}."), NOT_SIGNED));
    let none = base64url(json!({"alg": "none", "typ": "JWT"}).to_string());
    tokens.push((format!("{none}.{body}."), "not of a kind that is taken here"));
    tokens.push((format!("{none}.{body}.{signature}"), "not of a kind that is taken here"));
    // The public key as a shared secret, in both of its forms, and the symmetric key of the set.
    let shared =
        [(signer.public(), signer.id()), (signer.public_pem(), signer.id()), (b"secret".to_vec(), "shared")];
    for (key, id) in shared {
        let header = base64url(json!({"alg": "HS256", "kid": id}).to_string());
        let message = format!("{header}.{body}");
        let line = format!("dgst -sha256 -mac HMAC -macopt hexkey:{} -binary", hex::encode(key));
        let mac = openssl(Path::new("."), &line, message.as_bytes());
        tokens.push((format!("{message}.{}", base64url(mac)), "an algorithm that its issuer does not use"));
    }
    let mut header = signer.header();
    (header["crit"], header["exotic"]) = (json!(["exotic"]), json!(1));
    tokens.push((signer.signed(&header, &claims()), "not one that can be taken"));
    let mut header = signer.header();
    header["kid"] = json!("b");
    tokens.push((signer.signed(&header, &claims()), "the key that signed the token is not known"));
    tokens
}

struct Guarded {
    server: Server,
    _filled: Filled,
    _keys: TempDir,
}

impl Guarded {
    fn by(signers: &[&TokenSigner], algorithms: &[SigningAlgorithm]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let issuers = vec![issuer(keys.path(), signers, algorithms)];
        let access = Access::new(&AccessOptions { issuers, ..AccessOptions::default() }).unwrap();
        let mut filled = Filled::with(1);
        for app in ["com.granted.app", "com.hidden.app"] {
            filled.publish(0, app, &["EU", "US"]);
            filled.take(0, 1, installed("acme.atlassian.net", app, "EU", "EU"));
        }
        let server = Server::guarded(&filled.ledger, access);
        Self { server, _filled: filled, _keys: keys }
    }

    fn ask(&self, path: &str, token: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.get(format!("http://{}{path}", self.server.address()));
        let mut answer = request.header("authorization", format!("Bearer {token}")).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    fn refused(&self, token: &str, reason: &str) {
        // Twice: a refusal is not kept for a good one either.
        for _ in 0..2 {
            let (status, body) = self.ask(STATE, token);
            assert_eq!(status, 401, "{reason}: {body}");
            assert!(body.contains(reason), "expected {reason}: {body}");
            assert!(token.split('.').all(|part| part.len() < 20 || !body.contains(&part[..20])), "{body}");
        }
    }
}

#[test]
fn tokens_of_every_algorithm_are_taken_with_their_scopes_and_apps() {
    let signers = [KeyKind::Rsa, KeyKind::P256, KeyKind::Ed25519]
        .map(|kind| TokenSigner::new(kind, &format!("{kind:?}")));
    let guarded = Guarded::by(&signers.each_ref(), &SigningAlgorithm::ALL);
    for signer in &signers {
        let token = signer.token(&claims());
        for _ in 0..2 {
            assert_eq!(guarded.ask(STATE, &token).0, 200, "{}", signer.algorithm());
        }
        let hidden = guarded.ask("/v1/tenants/acme.atlassian.net/apps/com.hidden.app", &token);
        assert_eq!(hidden.0, 404, "{}", hidden.1);
        assert_eq!(guarded.ask(LOG, &token).0, 403);
    }
    let signer = &signers[1];
    let status = |path: &str, claims: &Value| guarded.ask(path, &signer.token(claims)).0;
    assert_eq!(status(LOG, &with("scope", json!(["audit", "read"]))), 200);
    assert_eq!(status(STATE, &with("aud", json!(["other", "realm-ledger"]))), 200);
    assert_eq!(status(STATE, &with("apps", json!("*"))), 200);
    assert_eq!(status(STATE, &without("apps")), 404, "no claim grants nothing");
    assert_eq!(status(STATE, &without("scope")), 403);
    assert_eq!(status(STATE, &without("sub")), 200, "then it is the issuer who asks");
    assert_eq!(status(STATE, &with("exp", json!(seconds_from_now(-4)))), 200, "within the leeway");
    assert_eq!(status(STATE, &with("nbf", json!(seconds_from_now(4)))), 200, "within the leeway");
}

#[test]
fn tokens_that_are_wrong_in_one_way_are_refused_and_the_refusal_says_in_which() {
    let signer = TokenSigner::new(KeyKind::Rsa, "a");
    let guarded = Guarded::by(&[&signer], &SigningAlgorithm::ALL);
    for (token, reason) in wrong_tokens(&signer) {
        guarded.refused(&token, reason);
    }
    assert_eq!(guarded.ask(STATE, &signer.token(&claims())).0, 200, "the same without any of it");
}

#[test]
fn algorithm_that_an_issuer_does_not_use_is_refused_though_its_key_is_there() {
    let (signer, rsa) = (TokenSigner::new(KeyKind::P256, "a"), TokenSigner::new(KeyKind::Rsa, "r"));
    let guarded = Guarded::by(&[&signer, &rsa], &[SigningAlgorithm::Es256]);
    guarded.refused(&rsa.token(&claims()), "an algorithm that its issuer does not use");
    // A signature of RSA under the name of the curve.
    let header = json!({"alg": "ES256", "kid": "a"});
    guarded.refused(&rsa.signed(&header, &claims()), "signature of the token is not that of its issuer");
    assert_eq!(guarded.ask(STATE, &signer.token(&claims())).0, 200);
}

#[test]
fn issuer_without_keys_is_refused_at_the_start() {
    let refused = |jwks: &str| {
        let issuers = vec![issuer_at(jwks, &[SigningAlgorithm::Es256])];
        let refused = Access::new(&AccessOptions { issuers, ..AccessOptions::default() }).unwrap_err();
        std::error::Error::source(&refused).unwrap().to_string()
    };
    assert!(refused("nothing-there.json").contains("could not be read"));
    assert!(refused("http://id.example.com/keys").contains("no https URL"));
}

/// Keys served over TLS by OpenSSL.
struct KeysServer(Child, u16);

impl KeysServer {
    fn start(authority: &Authority) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-WWW", "-cert", "server.pem", "-key", "server.key", "-accept"]);
        command.arg(format!("127.0.0.1:{port}")).current_dir(authority.directory());
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child, port)
    }
}

impl Drop for KeysServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_of_a_server_with_a_private_authority_are_read_where_it_is_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server");
    let signer = TokenSigner::new(KeyKind::P256, "a");
    issuer(authority.directory(), &[&signer], &SigningAlgorithm::ALL);
    let keys = KeysServer::start(&authority);
    let url = format!("https://127.0.0.1:{}/keys.json", keys.1);
    let readings = |ca: Option<&Authority>| {
        let ca = ca.map(|authority| authority.path("ca.pem"));
        KeySet::by_authorities(&url, ca.as_deref()).unwrap().readings()
    };
    assert_eq!(readings(Some(&authority)), 1);
    assert_eq!([readings(None), readings(Some(&stranger))], [0, 0], "it is not trusted");
    let refused = |place: &str, ca: &str| {
        KeySet::by_authorities(place, Some(&authority.path(ca))).unwrap_err().to_string()
    };
    assert!(refused(&url, "server.key").contains("authorities of https"));
    assert!(refused("keys.json", "ca.pem").contains("is no https URL"));
}
