//! `reconcile`: a partner's own list beside the ledger, with the evidence for whatever differs.

use std::collections::BTreeMap;

use ledger_api::ledger::RefusedTenant;
use ledger_api::query::{
    AsOf, AsOfAll, ExplainQuery, Filter, InstallationQuery, InstallationsQuery, Page, PreviewQuery,
};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use serde::{Deserialize, Serialize};

use super::list::incomplete;
use super::{Context, Explanation, Input};
use crate::backend::{Backend, FIRST_PAGE, NOT_FOUND};
use crate::cli::Reconcile;
use crate::output::{Column, Printer, raw};
use crate::partner_list::{self, AppNames, Key, LeftOut, ListError, Listed, PartnerList};
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::of("verdict", "/verdict"),
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("listed", "/listedRealm"),
    Column::of("line", "/line"),
    Column::of("pinned", "/pinnedRealm"),
    Column::of("since", "/pinnedSince"),
    Column::of("by", "/pinnedBy"),
    Column::of("seqs", "/seqs"),
    Column::of("data in", "/dataRealm"),
    Column::of("status", "/status"),
    Column::of("because", "/because"),
];

/// Codes of answers that do not say that something is not there, only that nobody could tell.
const COULD_NOT_TELL: &[&str] = &["tenant-in-two-partitions", "not-ready", "shard-halted"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Verdict {
    Agrees,
    Differs,
    /// Nothing is recorded of it.
    UnknownToLedger,
    /// It is recorded, but nothing says where it is.
    RealmUnknown,
    /// Who was asked cannot know: nothing is said of it.
    CouldNotBeAsked,
    /// It is installed, and the list does not have it.
    UnknownToList,
}

/// A line of the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    verdict: Verdict,
    client_key: &'a str,
    app_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    listed_realm: Option<Realm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(rename = "")]
    held: Option<&'a Held>,
    /// The records that the pin rests on; without one, what it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seqs: Vec<u64>,
    /// The code of why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

/// As much of a state as is compared, and told as evidence.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    #[serde(skip_serializing)]
    client_key: String,
    #[serde(skip_serializing)]
    app_key: String,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_realm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_realm: Option<String>,
}

/// A comparison under way.
struct Comparison<'a> {
    backend: &'a Backend,
    as_of: AsOfAll,
    /// Agreements are printed too.
    all: bool,
    /// What was not met in the ledger so far.
    list: BTreeMap<Key, Listed>,
    counts: BTreeMap<Verdict, u64>,
    printer: Printer<'a>,
}

/// Parts of the list that nobody could be asked about.
#[derive(Debug, thiserror::Error)]
#[error("{count} of the list could not be asked: what is said of them says nothing about the ledger")]
struct NotAsked {
    count: u64,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Reconcile) -> Result<Exit, Failure> {
    let Reconcile { file, app, app_ids, all, as_of, place } = args;
    let names = AppNames { ids: app_ids.into_iter().collect(), only: app.clone() };
    let input = Input::of(file);
    let bar = context.reading_progress(&input);
    let text = context.open_text(&input, &bar)?;
    let PartnerList { list, taken_for, left_out } =
        partner_list::read(text, &names).map_err(|error| match error.remedy(&input.in_command()) {
            Some(remedy) => Failure::new(error).hint(remedy),
            None => Failure::new(error),
        })?;
    bar.finish_and_clear();
    if let Some((id, app)) = taken_for {
        context.say(&format!("app id {id}, the only one of the list, is taken for {app}"));
    }
    say_left_out(context, left_out);
    let backend = context.backend(&place)?;
    if let Some(app) = &app {
        known(&backend, app)?;
    }
    let (as_of, counts) = (as_of.asked(), BTreeMap::new());
    let printer = context.printer(COLUMNS);
    let mut comparison = Comparison { backend: &backend, as_of, all, list, counts, printer };
    let refused = comparison.walk(app)?;
    comparison.rest()?;
    let Comparison { printer, counts, .. } = comparison;
    printer.finish()?;
    let count = |verdict| counts.get(&verdict).copied().unwrap_or_default();
    let (differing, not_asked) = (count(Verdict::Differs), count(Verdict::CouldNotBeAsked));
    let counted = |verdict, what: &str| format!("{} {what}", count(verdict));
    let mut said = vec![
        counted(Verdict::Agrees, "agree"),
        counted(Verdict::Differs, "differ"),
        counted(Verdict::UnknownToLedger, "of the list unknown to the ledger"),
        counted(Verdict::UnknownToList, "of the ledger not in the list"),
    ];
    // Of what is rare, nothing is said where there is none.
    for (verdict, what) in
        [(Verdict::RealmUnknown, "of unknown realm"), (Verdict::CouldNotBeAsked, "could not be asked")]
    {
        said.extend((count(verdict) > 0).then(|| counted(verdict, what)));
    }
    context.say(&said.join(", "));
    let exit = incomplete(context, refused)?;
    if not_asked > 0 {
        let hint = "ask the other servers of the group too, or a data directory that has every partition";
        return Err(Failure::new(NotAsked { count: not_asked }).hint(hint));
    }
    Ok(if differing == 0 { exit } else { Exit::Difference })
}

fn say_left_out(context: &mut Context<'_, '_>, left_out: LeftOut) {
    let LeftOut { environment, no_place, other_app } = left_out;
    let reasons = [
        (environment, "of another environment than production"),
        (no_place, "that name no place"),
        (other_app, "of another app"),
    ];
    let reasons: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{count} {reason}"))
        .collect();
    if !reasons.is_empty() {
        context.say(&format!("rows of the list left out: {}", reasons.join(", ")));
    }
}

impl Comparison<'_> {
    /// Everything that the ledger has, beside the list; answers the tenants that it had to leave out.
    fn walk(&mut self, app: Option<AppKey>) -> Result<Vec<RefusedTenant>, Failure> {
        let filter = Filter { app, ..Filter::default() };
        let mut query = InstallationsQuery { filter, as_of: self.as_of, page: FIRST_PAGE };
        let mut refused = Vec::new();
        loop {
            let answer = self.backend.ask(&query)?;
            for state in &answer.installations {
                self.judge(&serde_json::from_str(state.get()).map_err(Failure::new)?)?;
            }
            refused.extend(answer.refused);
            query.page.cursor = answer.next_cursor;
            if query.page.cursor.is_none() {
                return Ok(refused);
            }
        }
    }

    /// What an installation is beside the list, and takes it off there; nothing where neither side says where
    /// it is.
    fn judge(&mut self, held: &Held) -> Result<(), Failure> {
        let client = ClientKey::new(held.client_key.as_str()).map_err(Failure::new)?;
        let app = AppKey::new(held.app_key.as_str()).map_err(Failure::new)?;
        let key = (client, app);
        let listed = self.list.remove(&key);
        let pinned = held.pinned_realm.as_deref().and_then(|realm| Realm::parse(realm).ok());
        let is_installed = held.status == "INSTALLED";
        let verdict = match (listed, pinned) {
            (Some(listed), Some(pinned)) if listed.realm == pinned => Verdict::Agrees,
            (Some(_), Some(_)) => Verdict::Differs,
            (Some(_), None) => Verdict::RealmUnknown,
            (None, Some(_)) if is_installed => Verdict::UnknownToList,
            (None, _) => return Ok(()),
        };
        *self.counts.entry(verdict).or_default() += 1;
        // A list that still has what is gone agrees about the realm only.
        if verdict == Verdict::Agrees && is_installed && !self.all {
            return Ok(());
        }
        let seqs = evidence(self.backend, self.as_of.into(), key.clone())?;
        self.print(verdict, &key, listed, Some(held), seqs, None)
    }

    /// What the ledger did not name: each is asked for, as who was asked may not have had every tenant.
    fn rest(&mut self) -> Result<(), Failure> {
        for (key, listed) in std::mem::take(&mut self.list) {
            let (client, app) = key.clone();
            let question = InstallationQuery { client, app, as_of: self.as_of.into() };
            let because = match self.backend.ask(&question) {
                // It came while the list was read.
                Ok(answer) => {
                    self.list.insert(key, listed);
                    self.judge(&serde_json::from_str(answer.installation.get()).map_err(Failure::new)?)?;
                    continue;
                }
                Err(error) => match error.code() {
                    Some(NOT_FOUND) => None,
                    Some(code) if COULD_NOT_TELL.contains(&code) => Some(code.to_owned()),
                    Some(_) | None => return Err(error.into()),
                },
            };
            let verdict = if because.is_some() { Verdict::CouldNotBeAsked } else { Verdict::UnknownToLedger };
            *self.counts.entry(verdict).or_default() += 1;
            self.print(verdict, &key, Some(listed), None, Vec::new(), because)?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        verdict: Verdict,
        (client, app): &Key,
        listed: Option<Listed>,
        held: Option<&Held>,
        seqs: Vec<u64>,
        because: Option<String>,
    ) -> Result<(), Failure> {
        let item = Item {
            verdict,
            client_key: client.as_str(),
            app_key: app.as_str(),
            listed_realm: listed.map(|listed| listed.realm),
            line: listed.map(|listed| listed.line),
            held,
            seqs,
            because,
        };
        Ok(self.printer.item(&raw(&item)?)?)
    }
}

/// A mistyped app is no app of which everything in the list is unknown. It is known where it is installed, or where it
/// can be installed, for whomever; where that cannot be told, each line of the list says so.
fn known(backend: &Backend, app: &AppKey) -> Result<(), Failure> {
    let filter = Filter { app: Some(app.clone()), ..Filter::default() };
    let page = Page { cursor: None, limit: Some(1) };
    let listed = backend.ask(&InstallationsQuery { filter, as_of: AsOfAll::default(), page })?;
    if !(listed.installations.is_empty() && listed.refused.is_empty()) {
        return Ok(());
    }
    let client = ClientKey::new("-").map_err(Failure::new)?;
    let as_of = AsOf::default();
    match backend.ask(&PreviewQuery { client, app: app.clone(), product_realm: None, as_of }) {
        Err(error) if error.code() == Some(NOT_FOUND) => Err(error.into()),
        Err(error) if error.code().is_none() => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The records that a pin rests on; where nothing says where it is, those that say what it is.
fn evidence(backend: &Backend, as_of: AsOf, (client, app): Key) -> Result<Vec<u64>, Failure> {
    let answer = backend.ask(&ExplainQuery { client, app, as_of })?;
    let Explanation { sentences } = serde_json::from_str(answer.explanation.get()).map_err(Failure::new)?;
    let pinned = sentences.iter().find(|sentence| sentence.fact.kind == "pinned");
    let telling = pinned.or_else(|| sentences.iter().find(|sentence| !sentence.seqs.is_empty()));
    Ok(telling.map(|sentence| sentence.seqs.clone()).unwrap_or_default())
}

impl From<ListError> for Failure {
    fn from(error: ListError) -> Self {
        Self::new(error)
    }
}
