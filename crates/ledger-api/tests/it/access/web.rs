//! The rights of each owner as a web token, and tokens that nobody has.

use std::sync::LazyLock;
use std::time::Duration;

use ledger_api::access::{IssuerOptions, SigningAlgorithm};
use serde_json::json;
use tempfile::TempDir;

use super::{GRANTED, Owner};
use crate::filled::hour;
use crate::openssl::{KeyKind, TokenSigner, lasting_directory};
use crate::web_tokens::{claims, issuer as issuer_in, wrong_tokens};

/// Signs the tokens, and has its key in a directory.
static ISSUER: LazyLock<(TokenSigner, TempDir)> =
    LazyLock::new(|| (TokenSigner::new(KeyKind::Rsa, "a"), lasting_directory()));

static WRONG: LazyLock<Vec<(String, &str)>> = LazyLock::new(|| wrong_tokens(&ISSUER.0));

pub(super) fn issuer() -> IssuerOptions {
    static OPTIONS: LazyLock<IssuerOptions> =
        LazyLock::new(|| issuer_in(ISSUER.1.path(), &[&ISSUER.0], &SigningAlgorithm::ALL));
    OPTIONS.clone()
}

pub(super) fn token(owner: Owner) -> String {
    let (scope, apps) = match owner {
        Owner::All => ("operate", "*"),
        Owner::Reader => ("read", "*"),
        Owner::OneApp => ("operate", GRANTED),
        Owner::Auditor => ("audit", "*"),
        Owner::Expired | Owner::Nobody => panic!("it has no rights"),
    };
    let mut claims = claims();
    (claims["scope"], claims["apps"]) = (json!(scope), json!([apps]));
    ISSUER.0.token(&claims)
}

/// A token that is good for so long, as the issuer's clock may be off.
pub(super) fn token_good_for(time: Duration) -> String {
    let options = issuer();
    let mut claims = claims();
    let good_for = i64::try_from(time.as_secs()).unwrap() - i64::try_from(options.leeway.as_secs()).unwrap();
    claims["exp"] = json!(hour(100).as_millis() / 1000 + good_for);
    ISSUER.0.token(&claims)
}

/// Those that are wrong in one way.
pub(super) fn wrong() -> impl Iterator<Item = &'static str> {
    WRONG.iter().map(|(token, _)| &**token)
}
