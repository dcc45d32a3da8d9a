//! The one token of a call, and what its library says of a bad one.

use axum::http::{HeaderMap, Uri, header};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::limits::{ID_MAX_BYTES, LEEWAY};

/// A token as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Of Connect: `Authorization: JWT`, or `jwt` in the query.
    Connect(String),
    /// Of Forge: `Authorization: Bearer`.
    Forge(String),
}

/// The token of a call: there is exactly one.
pub(crate) fn find(headers: &HeaderMap, uri: &Uri) -> Result<Token, Refusal> {
    let mut found = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| Refusal::MalformedToken)?;
        let (scheme, token) = value.split_once(' ').ok_or(Refusal::MalformedToken)?;
        let token = token.trim().to_owned();
        found.push(match scheme.to_ascii_lowercase().as_str() {
            "jwt" => Token::Connect(token),
            "bearer" => Token::Forge(token),
            _ => return Err(Refusal::MalformedToken),
        });
    }
    let query = uri.query().unwrap_or_default();
    let parameters: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| Refusal::MalformedToken)?;
    found.extend(
        parameters.into_iter().filter(|(name, _)| name == "jwt").map(|(_, token)| Token::Connect(token)),
    );
    if found.len() > 1 {
        return Err(Refusal::TwoTokens);
    }
    found.pop().ok_or(Refusal::NoToken)
}

/// The id of the key that signed a token with RS256.
pub(super) fn key_id(token: &str) -> Result<String, Refusal> {
    let header = decode_header(token).map_err(|_| {
        // The library knows no `none`: to it that is no header.
        if names_algorithm(token, "none") { Refusal::WrongAlgorithm } else { Refusal::MalformedToken }
    })?;
    if header.alg != Algorithm::RS256 {
        return Err(Refusal::WrongAlgorithm);
    }
    header.kid.filter(|id| (1..=ID_MAX_BYTES).contains(&id.len())).ok_or(Refusal::BadKeyId)
}

fn names_algorithm(token: &str, name: &str) -> bool {
    use base64::Engine as _;
    let header = token.split('.').next().unwrap_or_default();
    let header = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: Option<serde_json::Value> = serde_json::from_slice(&header).ok();
    header.is_some_and(|header| header["alg"].as_str().is_some_and(|alg| alg.eq_ignore_ascii_case(name)))
}

/// The claims of a token that this key signed for one of these audiences.
pub(super) fn claims<C: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    audiences: &[impl ToString],
    issuer: Option<&str>,
) -> Result<C, Refusal> {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_audience(audiences);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    if let Some(issuer) = issuer {
        validation.set_issuer(&[issuer]);
    }
    decode(token, key, &validation).map(|token| token.claims).map_err(|error| refusal_of(&error))
}

fn refusal_of(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::InvalidSignature => Refusal::BadSignature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYetValid,
        ErrorKind::InvalidAudience => Refusal::WrongAudience,
        ErrorKind::InvalidIssuer => Refusal::WrongIssuer,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            Refusal::WrongAlgorithm
        }
        _ => Refusal::MalformedToken,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(headers: &[&'static str], uri: &'static str) -> Result<Token, Refusal> {
        let all = headers.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        all.for_each(|(name, value)| {
            headers.append(name, value);
        });
        find(&headers, &Uri::from_static(uri))
    }

    #[test]
    fn a_call_has_one_token_and_its_scheme_tells_whose() {
        let connect = || Ok(Token::Connect("a.b.c".to_owned()));
        assert_eq!(found(&["JWT a.b.c"], "/"), connect());
        assert_eq!(found(&["jwt  a.b.c "], "/"), connect());
        assert_eq!(found(&[], "/?x=1&jwt=a.b.c"), connect());
        assert_eq!(found(&["Bearer a.b.c"], "/"), Ok(Token::Forge("a.b.c".to_owned())));
        assert_eq!(found(&[], "/?x=1"), Err(Refusal::NoToken));
        for headers in [&["JWT a", "JWT a"][..], &["JWT a", "Bearer b"]] {
            assert_eq!(found(headers, "/"), Err(Refusal::TwoTokens));
        }
        assert_eq!(found(&["JWT a"], "/?jwt=a"), Err(Refusal::TwoTokens));
        assert_eq!(found(&[], "/?jwt=a&jwt=a"), Err(Refusal::TwoTokens));
        for other in ["Basic YTpi", "a.b.c", "JWT"] {
            assert_eq!(found(&[other], "/"), Err(Refusal::MalformedToken), "{other}");
        }
    }

    #[test]
    fn a_header_with_another_algorithm_is_refused_before_a_key_is_looked_for() {
        use base64::Engine as _;
        let of = |header: &str| {
            key_id(&format!("{}.e30.x", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(header)))
        };
        assert_eq!(of(r#"{"alg":"RS256","kid":"k"}"#), Ok("k".to_owned()));
        for alg in ["none", "None", "HS256", "RS512", "ES256"] {
            let refused = of(&format!(r#"{{"alg":"{alg}","kid":"k"}}"#));
            assert_eq!(refused, Err(Refusal::WrongAlgorithm), "{alg}");
        }
        assert_eq!(of(r#"{"alg":"RS256"}"#), Err(Refusal::BadKeyId));
        assert_eq!(of(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(201))), Err(Refusal::BadKeyId));
        for wrong in ["", "{", "[]", r#"{"kid":"k"}"#] {
            assert_eq!(of(wrong), Err(Refusal::MalformedToken), "{wrong}");
        }
    }
}
