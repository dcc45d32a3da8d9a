//! The routes under `/v1`: parameters in, a question, the answer out.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use ledger_core::time::Timestamp;
use ledger_store::Known;

use super::Api;
use super::params::{AS_OF, LIST, MIGRATIONS, Parameters};
use super::path::{Client, ClientAndApp, ItemOf};
use super::places::Cost;
use super::problem::Problem;
use super::stream::{self, LINES, wants_lines};
use crate::limits::{
    LIST_DEFAULT, LIST_MAX, LOG_DEFAULT, LOG_MAX, POSITION_WAIT, QUARANTINE_DEFAULT, QUARANTINE_MAX,
};
use crate::query::{AsOf, Filter, Ledger, Preview, QueryError};

pub(super) async fn installations(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &LIST)?;
    let filter = parameters.filter()?;
    list(&api, filter, &parameters, &headers).await
}

pub(super) async fn migrations(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &MIGRATIONS)?;
    let filter = parameters.migrations()?;
    list(&api, filter, &parameters, &headers).await
}

/// A list over installations: a page of it, or all of it in lines.
async fn list(
    api: &Api,
    filter: Filter,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (as_of, cursor) = (parameters.as_of()?, parameters.cursor()?);
    if wants_lines(headers) {
        let lines = parameters.lines()?;
        return api.stream(stream::Installations { filter, as_of, cursor, lines }).await;
    }
    let limit = parameters.limit(LIST_DEFAULT, LIST_MAX)?;
    api.ask(Cost::Page, move |ledger, now| ledger.installations(&filter, cursor.as_ref(), limit, as_of, now))
        .await
}

pub(super) async fn tenant(
    State(api): State<Api>,
    Client(client): Client,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &AS_OF)?;
    let (as_of, waits) = (parameters.as_of()?, MinPosition::of(&parameters)?);
    api.ask(waits.cost(as_of), move |ledger, now| {
        waits.wait(ledger, &client, now)?;
        ledger.tenant(&client, as_of, now)
    })
    .await
}

pub(super) async fn installation(
    State(api): State<Api>,
    ClientAndApp(client, app): ClientAndApp,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &AS_OF)?;
    let (as_of, waits) = (parameters.as_of()?, MinPosition::of(&parameters)?);
    api.ask(waits.cost(as_of), move |ledger, now| {
        waits.wait(ledger, &client, now)?;
        ledger.installation(&client, &app, as_of, now)
    })
    .await
}

pub(super) async fn log(
    State(api): State<Api>,
    Client(client): Client,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = ["fromSeq", "limit", "at", "knownAt", "knownSeq", "minPosition"];
    let parameters = Parameters::read(&uri, &known)?;
    let from_seq = parameters.number("fromSeq", 1)?.unwrap_or(1);
    let (as_of, waits) = (parameters.as_of()?, MinPosition::of(&parameters)?);
    if wants_lines(&headers) {
        let lines = parameters.lines()?;
        return api.stream(stream::Log { client, from_seq, as_of, lines, waits }).await;
    }
    let limit = parameters.limit(LOG_DEFAULT, LOG_MAX)?;
    api.ask(waits.cost_of_page(), move |ledger, now| {
        waits.wait(ledger, &client, now)?;
        ledger.log(&client, from_seq, limit, as_of, now)
    })
    .await
}

pub(super) async fn corrections(
    State(api): State<Api>,
    Client(client): Client,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = ["fromPosition", "limit", "at", "knownAt", "knownSeq", "minPosition"];
    let parameters = Parameters::read(&uri, &known)?;
    let from = parameters.number("fromPosition", 0)?.unwrap_or(0);
    let (as_of, waits) = (parameters.as_of()?, MinPosition::of(&parameters)?);
    let limit = parameters.limit(LOG_DEFAULT, LOG_MAX)?;
    api.ask(waits.cost_of_page(), move |ledger, now| {
        waits.wait(ledger, &client, now)?;
        ledger.corrections(&client, from, limit, as_of, now)
    })
    .await
}

pub(super) async fn explanation(
    State(api): State<Api>,
    ClientAndApp(client, app): ClientAndApp,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &AS_OF)?;
    let (as_of, waits) = (parameters.as_of()?, MinPosition::of(&parameters)?);
    api.ask(waits.cost_of_page(), move |ledger, now| {
        waits.wait(ledger, &client, now)?;
        ledger.explain(&client, &app, as_of, now)
    })
    .await
}

pub(super) async fn preview(
    State(api): State<Api>,
    ClientAndApp(client, app): ClientAndApp,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = ["productRealm", "at", "knownAt", "knownSeq", "minPosition"];
    let parameters = Parameters::read(&uri, &known)?;
    let waits = MinPosition::of(&parameters)?;
    let (product_realm, as_of) = (parameters.realm("productRealm")?, parameters.as_of()?);
    let asked = Preview { client, app, product_realm, as_of };
    api.ask(waits.cost(as_of), move |ledger, now| {
        waits.wait(ledger, &asked.client, now)?;
        ledger.preview(&asked, now)
    })
    .await
}

pub(super) async fn quarantine(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["reason", "cursor", "limit"])?;
    let (reason, cursor) = (parameters.reason()?, parameters.cursor()?);
    let limit = parameters.limit(QUARANTINE_DEFAULT, QUARANTINE_MAX)?;
    api.ask(Cost::Page, move |ledger, now| ledger.quarantine(reason, cursor.as_ref(), limit, now)).await
}

pub(super) async fn quarantine_item(
    State(api): State<Api>,
    ItemOf(shard, seq): ItemOf,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    api.ask(Cost::Little, move |ledger, now| ledger.quarantine_item(&shard, seq, now)).await
}

pub(super) async fn proof(
    State(api): State<Api>,
    Client(client): Client,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Parameters::read(&uri, &["appKey", "pinned", "topic", "partition"])?.proof(client)?;
    api.ask_text(LINES, move |ledger, now| ledger.proof(&asked, now)).await
}

pub(super) async fn checkpoints(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    api.ask(Cost::Little, |ledger, now| Ok(ledger.checkpoints(now))).await
}

/// `minPosition`: what the answer must include.
#[derive(Debug, Clone, Copy)]
pub(super) struct MinPosition(Option<u64>);

impl MinPosition {
    fn of(parameters: &Parameters) -> Result<Self, Problem> {
        parameters.number("minPosition", 0).map(Self)
    }

    /// What a question about one tenant costs: what it waits for, or folds anew, is not little.
    fn cost(self, as_of: AsOf) -> Cost {
        let is_now = as_of.at.is_none() && matches!(as_of.known, Known::All);
        if self.0.is_none() && is_now { Cost::Little } else { Cost::Much }
    }

    /// What waits keeps no thread from those that do not.
    fn cost_of_page(self) -> Cost {
        if self.0.is_none() { Cost::Page } else { Cost::Much }
    }

    pub(super) fn wait(
        self,
        ledger: &Ledger,
        client: &ledger_core::ids::ClientKey,
        now: Timestamp,
    ) -> Result<(), QueryError> {
        self.0.map_or(Ok(()), |position| ledger.await_position(client, position, POSITION_WAIT, now))
    }
}
