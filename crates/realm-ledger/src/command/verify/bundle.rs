//! `verify --bundle`: one tenant's whole history, or that there is none.

use std::collections::BTreeMap;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_record::json::time::format_instant;
use ledger_record::proof::note::VerifierKey;
use ledger_record::proof::verify::{BundleFault, BundleRefusal, VerifiedBundle, verify};
use serde::Serialize;

use super::Verdict;
use crate::command::{Context, Input};
use crate::output::raw;
use crate::{Exit, Failure};

/// The bundle is true, and of somebody else.
#[derive(Debug, thiserror::Error)]
#[error("it tells of client key {found}, not of {asked}")]
struct OtherClient {
    found: ClientKey,
    asked: ClientKey,
}

/// What a valid bundle proves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    verdict: &'static str,
    client_key: String,
    records: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    installations: Vec<Installed>,
    decisions_follow: bool,
    origin: String,
    size: u64,
    root: String,
    complete_up_to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    goes_on_from_pinned: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Installed {
    app_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_realm: Option<String>,
    records: u64,
}

pub(super) fn run(
    context: &mut Context<'_, '_>,
    input: Input,
    keys: &[VerifierKey],
    pinned: Option<&str>,
    client: Option<ClientKey>,
) -> Result<Exit, Failure> {
    let bytes = input.read(context)?;
    let verified = judge(&bytes, keys, pinned)?;
    if let Some(asked) = client.filter(|asked| *asked != verified.client) {
        let fault = OtherClient { found: verified.client, asked };
        return Err(Verdict::Invalid { what: WHAT.to_owned(), fault }.into());
    }
    let report = Report::of(&verified, pinned.is_some());
    context.print_one(&raw(&report)?)?;
    context.say(&summary(&verified));
    Ok(Exit::Done)
}

const WHAT: &str = "the bundle";

fn judge(bytes: &[u8], keys: &[VerifierKey], pinned: Option<&str>) -> Result<VerifiedBundle, Failure> {
    let verdict = match std::str::from_utf8(bytes) {
        Ok(text) => verify(text, keys, pinned),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + String::from_utf8_lossy(good).matches('\n').count() as u64;
            Err(BundleFault::Malformed { line }.into())
        }
    };
    let what = WHAT.to_owned();
    verdict.map_err(|refusal| match refusal {
        BundleRefusal::Invalid(fault) => Verdict::Invalid { what, fault }.into(),
        BundleRefusal::Undecided(doubt) => Verdict::Undecided { what, doubt }.into(),
    })
}

impl Report {
    fn of(verified: &VerifiedBundle, pinned: bool) -> Self {
        let VerifiedBundle { client, checkpoint, seal, records, tenant, .. } = verified;
        let mut apps: BTreeMap<&AppKey, Installed> = BTreeMap::new();
        for shown in records {
            let Some(app) = &shown.leaf.app else { continue };
            let entry = apps.entry(app).or_insert_with(|| Installed {
                app_key: app.as_str().to_owned(),
                pinned_realm: None,
                records: 0,
            });
            entry.records += 1;
            // Of a history that can be folded the fold knows better: a late record changes what was said before.
            let realm = match tenant {
                Some(tenant) => tenant.installations.get(app).and_then(Installation::pinned_realm),
                None => shown.leaf.pinned_realm,
            };
            entry.pinned_realm = realm.map(|realm| realm.as_str().to_owned());
        }
        Self {
            verdict: "valid",
            client_key: client.as_str().to_owned(),
            records: records.len(),
            installations: apps.into_values().collect(),
            decisions_follow: verified.decisions_follow(),
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            root: checkpoint.root.to_text(),
            complete_up_to: format_instant(seal.recorded),
            goes_on_from_pinned: pinned.then_some(true),
        }
    }
}

fn summary(verified: &VerifiedBundle) -> String {
    let VerifiedBundle { client, checkpoint, records, .. } = verified;
    let whole = match records.len() {
        0 => format!("there is no record of {client}"),
        1 => format!("the one record is the whole history of {client}"),
        count => format!("the {count} records are the whole history of {client}"),
    };
    let decisions = if verified.decisions_follow() {
        "; the decisions follow from the records"
    } else {
        "; whether the decisions follow was not checked, as not all that they rest on is shown"
    };
    let decisions = if records.is_empty() { "" } else { decisions };
    format!("valid: {whole} in {} up to size {}{decisions}", checkpoint.origin, checkpoint.size)
}
