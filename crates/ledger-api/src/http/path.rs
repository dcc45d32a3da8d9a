//! Keys in paths: percent-decoded, and checked.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use ledger_core::ids::{AppKey, ClientKey, InvalidKey};
use ledger_store::ShardId;

use super::problem::Problem;
use crate::problem::ProblemKind;

/// `{clientKey}`
pub(super) struct Client(pub(super) ClientKey);

/// `{clientKey}` and `{appKey}`
pub(super) struct ClientAndApp(pub(super) ClientKey, pub(super) AppKey);

/// `{topic}`, `{partition}` and `{seq}`
pub(super) struct ItemOf(pub(super) ShardId, pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(client) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|error| undecodable(&error))?;
        Ok(Self(ClientKey::new(client).map_err(|error| invalid("clientKey", error))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAndApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((client, app)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| undecodable(&error))?;
        let client = ClientKey::new(client).map_err(|error| invalid("clientKey", error))?;
        let app = AppKey::new(app).map_err(|error| invalid("appKey", error))?;
        Ok(Self(client, app))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ItemOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((topic, partition, seq)) =
            Path::<(String, String, String)>::from_request_parts(parts, state)
                .await
                .map_err(|error| undecodable(&error))?;
        let number = |name| Problem::with(ProblemKind::InvalidKey, name, "expected a whole number");
        let partition = partition.parse().map_err(|_| number("partition"))?;
        let seq = seq.parse().map_err(|_| number("seq"))?;
        Ok(Self(ShardId { topic, partition }, seq))
    }
}

fn invalid(name: &str, error: InvalidKey) -> Problem {
    Problem::with(ProblemKind::InvalidKey, name, error.to_string())
}

fn undecodable(rejection: &PathRejection) -> Problem {
    Problem::new(ProblemKind::InvalidKey, format!("the path cannot be read: {rejection}"))
}
