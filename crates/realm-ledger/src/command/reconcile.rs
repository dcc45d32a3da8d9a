//! `reconcile`: a partner's own list beside the ledger, with the evidence for whatever differs.

use std::collections::BTreeMap;

use ledger_api::ledger::RefusedTenant;
use ledger_api::problem::ProblemKind;
use ledger_api::query::{
    AsOf, AsOfAll, ExplainQuery, Filter, InstallationQuery, InstallationsQuery, Page, PreviewQuery,
};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use serde::Serialize;
use serde_json::Value;

use super::query::check_left_out;
use super::{Context, InputFile};
use crate::ask_error::NOT_FOUND;
use crate::backend::{Backend, FIRST_PAGE};
use crate::cli::ReconcileArgs;
use crate::output::{Column, Printer, items_at, raw, text_at};
use crate::partner_list::{self, AppNames, Key, ListedRealm, PartnerList, SkippedRows};
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::at("verdict", "/verdict"),
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("listed", "/listedRealm"),
    Column::at("line", "/line"),
    Column::at("pinned", "/pinnedRealm"),
    Column::at("since", "/pinnedSince"),
    Column::at("by", "/pinnedBy"),
    Column::at("seqs", "/seqs"),
    Column::at("data in", "/dataRealm"),
    Column::at("status", "/status"),
    Column::at("because", "/because"),
];

/// Codes of answers that leave open whether something is there.
const COULD_NOT_TELL: &[&str] = &[
    ProblemKind::TenantInTwoPartitions.code(),
    ProblemKind::NotReady.code(),
    ProblemKind::ShardHalted.code(),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Verdict {
    Agrees,
    Differs,
    /// Nothing is recorded of it.
    UnknownToLedger,
    /// It is recorded without a realm.
    RealmUnknown,
    /// The shard that could have it was not asked.
    CouldNotBeAsked,
    /// It is installed, and the list does not have it.
    UnknownToList,
}

/// A line of the answer: an installation in the list beside its state in the ledger.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComparedInstallation<'a> {
    verdict: Verdict,
    client_key: &'a ClientKey,
    app_key: &'a AppKey,
    listed_realm: Option<Realm>,
    line: Option<u64>,
    status: Option<&'a str>,
    pinned_realm: Option<&'a str>,
    pinned_since: Option<&'a str>,
    pinned_by: Option<&'a str>,
    data_realm: Option<&'a str>,
    /// The records that the pin cites; without a pin, those that the status cites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seqs: Vec<u64>,
    /// The code of why it could not be asked.
    because: Option<String>,
}

/// A comparison under way.
struct Reconciliation<'a> {
    backend: &'a Backend,
    as_of: AsOfAll,
    /// Agreements are printed too.
    all: bool,
    /// What the ledger did not name so far.
    list: BTreeMap<Key, ListedRealm>,
    counts: BTreeMap<Verdict, u64>,
    printer: Printer<'a>,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: ReconcileArgs) -> Result<Exit, Failure> {
    let ReconcileArgs { file, app, app_ids, all, as_of, target } = args;
    let names = AppNames { ids: app_ids.into_iter().collect(), only: app.clone() };
    let input = InputFile::new(file);
    let bar = context.reading_progress(&input);
    let text = context.open_text(&input, &bar)?;
    let read = partner_list::read(text, &names, &input.in_command());
    let PartnerList { list, taken_for, skipped } = read?;
    bar.finish_and_clear();
    if let Some((id, app)) = taken_for {
        context.report(&format!("app id {id}, the only one of the list, is taken for {app}"));
    }
    report_skipped(context, skipped);
    let backend = context.backend(&target)?;
    if let Some(app) = &app {
        check_app(&backend, app)?;
    }
    let (as_of, counts) = (as_of.to_query(), BTreeMap::new());
    let printer = context.printer(COLUMNS);
    let mut reconciliation = Reconciliation { backend: &backend, as_of, all, list, counts, printer };
    let left_out = reconciliation.compare_ledger(app)?;
    reconciliation.compare_rest()?;
    let Reconciliation { printer, counts, .. } = reconciliation;
    printer.finish()?;
    let count = |verdict| counts.get(&verdict).copied().unwrap_or_default();
    let summary = [
        (Verdict::Agrees, "agree", true),
        (Verdict::Differs, "differ", true),
        (Verdict::UnknownToLedger, "of the list unknown to the ledger", true),
        (Verdict::UnknownToList, "of the ledger not in the list", true),
        // What is rare is left out where there is none.
        (Verdict::RealmUnknown, "of unknown realm", false),
        (Verdict::CouldNotBeAsked, "could not be asked", false),
    ];
    let summary = summary.into_iter().filter(|(verdict, _, always)| *always || count(*verdict) > 0);
    let summary: Vec<String> =
        summary.map(|(verdict, what, _)| format!("{} {what}", count(verdict))).collect();
    context.report(&summary.join(", "));
    let exit = check_left_out(context, left_out)?;
    match count(Verdict::CouldNotBeAsked) {
        0 if count(Verdict::Differs) == 0 => Ok(exit),
        0 => Ok(Exit::Difference),
        not_asked => Err(Failure::new(format!(
            "{not_asked} of the list could not be asked: what is said of them says nothing about the ledger"
        ))
        .hint("ask the other servers of the group too, or a data directory that has every partition")),
    }
}

pub(super) fn report_skipped(context: &mut Context<'_, '_>, skipped: SkippedRows) {
    let SkippedRows { environment, no_place, no_event, other_app } = skipped;
    let reasons = [
        (environment, "of another environment than production"),
        (no_place, "that name no place"),
        (no_event, "that say nothing of a realm"),
        (other_app, "of another app"),
    ];
    let reasons = reasons.into_iter().filter(|(count, _)| *count > 0);
    let reasons: Vec<String> = reasons.map(|(count, reason)| format!("{count} {reason}")).collect();
    if !reasons.is_empty() {
        context.report(&format!("rows of the list left out: {}", reasons.join(", ")));
    }
}

impl Reconciliation<'_> {
    /// Compares every installation of the ledger with the list; returns the tenants that the ledger had to leave out.
    fn compare_ledger(&mut self, app: Option<AppKey>) -> Result<Vec<RefusedTenant>, Failure> {
        let filter = Filter { app, ..Filter::default() };
        let mut query = InstallationsQuery { filter, as_of: self.as_of, page: FIRST_PAGE };
        let mut left_out = Vec::new();
        loop {
            let answer = self.backend.ask(&query)?;
            for state in &answer.installations {
                self.compare(&serde_json::from_str(state.get())?)?;
            }
            left_out.extend(answer.refused);
            query.page.cursor = answer.next_cursor;
            if query.page.cursor.is_none() {
                return Ok(left_out);
            }
        }
    }

    /// Compares one installation and takes it off the list. Without a realm on either side there is nothing to compare.
    fn compare(&mut self, state: &Value) -> Result<(), Failure> {
        let key = (ClientKey::new(text_at(state, "/clientKey"))?, AppKey::new(text_at(state, "/appKey"))?);
        let listed = self.list.remove(&key);
        let pinned = Realm::parse(&text_at(state, "/pinnedRealm")).ok();
        let is_installed = text_at(state, "/status") == "INSTALLED";
        let verdict = match (listed, pinned) {
            (Some(listed), Some(pinned)) if listed.realm == pinned => Verdict::Agrees,
            (Some(_), Some(_)) => Verdict::Differs,
            (Some(_), None) => Verdict::RealmUnknown,
            (None, Some(_)) if is_installed => Verdict::UnknownToList,
            (None, _) => return Ok(()),
        };
        *self.counts.entry(verdict).or_default() += 1;
        // A list that still has what is uninstalled agrees about the realm only.
        if verdict == Verdict::Agrees && is_installed && !self.all {
            return Ok(());
        }
        let seqs = evidence(self.backend, self.as_of.into(), key.clone())?;
        self.print(verdict, &key, listed, state, seqs, None)
    }

    /// Asks for each installation that the ledger did not name: its list may not have had every tenant.
    fn compare_rest(&mut self) -> Result<(), Failure> {
        for (key, listed) in std::mem::take(&mut self.list) {
            let (client, app) = key.clone();
            let query = InstallationQuery { client, app, as_of: self.as_of.into() };
            let because = match self.backend.ask(&query) {
                // It came while the list was read.
                Ok(answer) => {
                    self.list.insert(key, listed);
                    self.compare(&serde_json::from_str(answer.installation.get())?)?;
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
            self.print(verdict, &key, Some(listed), &Value::Null, Vec::new(), because)?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        verdict: Verdict,
        (client_key, app_key): &Key,
        listed: Option<ListedRealm>,
        state: &Value,
        seqs: Vec<u64>,
        because: Option<String>,
    ) -> Result<(), Failure> {
        let text = |name| state.get(name).and_then(Value::as_str);
        let compared = ComparedInstallation {
            verdict,
            client_key,
            app_key,
            listed_realm: listed.map(|listed| listed.realm),
            line: listed.map(|listed| listed.line),
            status: text("status"),
            pinned_realm: text("pinnedRealm"),
            pinned_since: text("pinnedSince"),
            pinned_by: text("pinnedBy"),
            data_realm: text("dataRealm"),
            seqs,
            because,
        };
        Ok(self.printer.item(&raw(&compared)?)?)
    }
}

/// Refuses a mistyped app, of which everything in the list would be unknown. An app is known where it is installed or
/// can be installed, for any tenant; where no answer tells that, the verdict of each line does.
fn check_app(backend: &Backend, app: &AppKey) -> Result<(), Failure> {
    let filter = Filter { app: Some(app.clone()), ..Filter::default() };
    let page = Page { cursor: None, limit: Some(1) };
    let listed = backend.ask(&InstallationsQuery { filter, as_of: AsOfAll::default(), page })?;
    if !(listed.installations.is_empty() && listed.refused.is_empty()) {
        return Ok(());
    }
    let (client, as_of) = (ClientKey::new("-")?, AsOf::default());
    match backend.ask(&PreviewQuery { client, app: app.clone(), product_realm: None, as_of }) {
        Err(error) if matches!(error.code(), Some(NOT_FOUND) | None) => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The records that a pin cites; without a pin, those of the first statement that cites any.
fn evidence(backend: &Backend, as_of: AsOf, (client, app): Key) -> Result<Vec<u64>, Failure> {
    let answer = backend.ask(&ExplainQuery { client, app, as_of })?;
    let explanation: Value = serde_json::from_str(answer.explanation.get())?;
    let sentences = items_at(&explanation, "/sentences");
    let pinned = sentences.iter().find(|sentence| text_at(sentence, "/fact/kind") == "pinned");
    let cited = pinned.or_else(|| sentences.iter().find(|sentence| !items_at(sentence, "/seqs").is_empty()));
    Ok(cited.map_or(&[][..], |cited| items_at(cited, "/seqs")).iter().filter_map(Value::as_u64).collect())
}
