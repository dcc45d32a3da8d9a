//! Web tokens (JWT) over the socket: signed by OpenSSL, and wrong in every way that has a name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger_api::access::{Access, AccessOptions, IssuerOptions, SigningAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::filled::{Filled, installed};
use crate::http::Server;
use crate::openssl::{KeyKind, TokenSigner, base64url, openssl};

const ISSUER: &str = "https://id.example.com";
const STATE: &str = "/v1/tenants/acme.atlassian.net/apps/com.granted.app";

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "realm-ledger", "sub": "support@example.com", "exp": seconds_from_now(60),
        "scope": "openid read", "apps": ["com.granted.app"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

struct Guarded {
    server: Server,
    _filled: Filled,
    _keys: TempDir,
}

impl Guarded {
    fn by(signers: &[&TokenSigner], algorithms: &[SigningAlgorithm]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let path = keys.path().join("keys.json");
        // A symmetric key is never one of an issuer.
        let mut all: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        all.push(json!({"kty": "oct", "k": base64url("secret"), "kid": "shared"}));
        std::fs::write(&path, json!({ "keys": all }).to_string()).unwrap();
        let issuers = vec![IssuerOptions {
            issuer: ISSUER.to_owned(),
            audience: "realm-ledger".to_owned(),
            jwks: path.to_string_lossy().into_owned(),
            algorithms: algorithms.to_vec(),
            scopes_claim: "scope".to_owned(),
            apps_claim: "apps".to_owned(),
            leeway: Duration::from_secs(5),
        }];
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
            assert!(!body.contains(&token[..20]), "{body}");
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
        assert_eq!(guarded.ask("/v1/tenants/acme.atlassian.net/log", &token).0, 403);
    }
    let signer = &signers[1];
    let listed = signer.token(&with("scope", json!(["audit", "read"])));
    assert_eq!(guarded.ask("/v1/tenants/acme.atlassian.net/log", &listed).0, 200);
    assert_eq!(guarded.ask(STATE, &signer.token(&with("aud", json!(["other", "realm-ledger"])))).0, 200);
    assert_eq!(guarded.ask(STATE, &signer.token(&with("apps", json!("*")))).0, 200);
    assert_eq!(guarded.ask(STATE, &signer.token(&without("apps"))).0, 404, "no claim grants nothing");
    assert_eq!(guarded.ask(STATE, &signer.token(&without("scope"))).0, 403);
    assert_eq!(
        guarded.ask(STATE, &signer.token(&with("exp", json!(seconds_from_now(-3))))).0,
        200,
        "within the leeway"
    );
}

#[test]
fn tokens_that_are_wrong_in_a_claim_are_refused() {
    let signer = TokenSigner::new(KeyKind::P256, "a");
    let guarded = Guarded::by(&[&signer], &SigningAlgorithm::ALL);
    let wrong = [
        (with("exp", json!(seconds_from_now(-30))), "has expired"),
        (with("nbf", json!(seconds_from_now(60))), "not good yet"),
        (with("aud", json!("other")), "another audience"),
        (with("iss", json!("https://evil.example.com")), "issuer of the token is not named"),
        (with("iss", json!([ISSUER])), "names no issuer"),
        (without("iss"), "names no issuer"),
        (without("aud"), "lacks exp, iss or aud"),
        (without("exp"), "lacks exp, iss or aud"),
    ];
    for (claims, reason) in wrong {
        guarded.refused(&signer.token(&claims), reason);
    }
}

#[test]
fn tokens_that_are_wrong_in_their_signature_are_refused() {
    let (signer, thief) = (TokenSigner::new(KeyKind::P256, "a"), TokenSigner::new(KeyKind::P256, "a"));
    let rsa = TokenSigner::new(KeyKind::Rsa, "r");
    let guarded = Guarded::by(&[&signer, &rsa], &[SigningAlgorithm::Es256]);
    guarded.refused(&thief.token(&claims()), "signature of the token is not that of its issuer");
    let good = signer.token(&claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let forged = format!(
        "{}.{}.{signature}",
        message.split('.').next().unwrap(),
        base64url(with("apps", json!("*")).to_string())
    );
    guarded.refused(&forged, "signature of the token is not that of its issuer");
    guarded.refused(&format!("{message}."), "signature of the token is not that of its issuer");
    let none = base64url(json!({"alg": "none", "typ": "JWT"}).to_string());
    guarded.refused(
        &format!("{none}.{}.", message.split('.').nth(1).unwrap()),
        "not of a kind that is taken here",
    );
    // The public key as a shared secret.
    for header in [json!({"alg": "HS256", "kid": "a"}), json!({"alg": "HS256", "kid": "shared"})] {
        let message = format!("{}.{}", base64url(header.to_string()), message.split('.').nth(1).unwrap());
        for key in [signer.public(), b"secret".to_vec()] {
            let line = format!("dgst -sha256 -mac HMAC -macopt hexkey:{} -binary", hex::encode(key));
            let mac = openssl(std::path::Path::new("."), &line, message.as_bytes());
            guarded.refused(
                &format!("{message}.{}", base64url(mac)),
                "an algorithm that its issuer does not use",
            );
        }
    }
    guarded.refused(&rsa.token(&claims()), "an algorithm that its issuer does not use");
    let mut header = signer.header();
    (header["crit"], header["exotic"]) = (json!(["exotic"]), json!(1));
    guarded.refused(&signer.signed(&header, &claims()), "not one that can be taken");
    let mut header = signer.header();
    header["kid"] = json!("b");
    guarded.refused(&signer.signed(&header, &claims()), "the key that signed the token is not known");
    // A key of the sender's own is not looked at.
    (header["kid"], header["jwk"]) = (json!("a"), thief.jwk());
    guarded.refused(&thief.signed(&header, &claims()), "signature of the token is not that of its issuer");
}

#[test]
fn issuer_without_keys_is_refused_at_the_start() {
    let refused = |jwks: &str| {
        let issuers = vec![IssuerOptions {
            issuer: ISSUER.to_owned(),
            audience: "realm-ledger".to_owned(),
            jwks: jwks.to_owned(),
            algorithms: vec![SigningAlgorithm::Es256],
            scopes_claim: "scope".to_owned(),
            apps_claim: "apps".to_owned(),
            leeway: Duration::ZERO,
        }];
        let refused = Access::new(&AccessOptions { issuers, ..AccessOptions::default() }).unwrap_err();
        std::error::Error::source(&refused).unwrap().to_string()
    };
    assert!(refused("nothing-there.json").contains("could not be read"));
    assert!(refused("http://id.example.com/keys").contains("no https URL"));
}
