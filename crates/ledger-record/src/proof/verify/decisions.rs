//! Step 8: the rules and realms in the lines follow from the records.
//!
//! A line tells what the ledger said when it appended the record, so the records are taken in again in the
//! order of the log, those of the apps among them.

use std::collections::BTreeMap;

use ledger_core::event::{Body, Event};
use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;
use ledger_core::refold::Refold;
use ledger_core::state::{Installation, Rule};
use ledger_core::tenant::Tenant;
use ledger_core::timeline::AppTimelines;

use super::{Fault, Inconclusive, Refusal, VerifiedRecord};
use crate::proof::line::RecordLeaf;
use crate::proof::payload::Opened;
use crate::record::RULES;

/// The tenant that follows from the records, if that could be checked; a refusal when a decision does not follow.
pub(super) fn check(
    records: &[VerifiedRecord],
    apps: &[(AppKey, Vec<VerifiedRecord>)],
) -> Result<Option<Tenant>, Refusal> {
    let all = || records.iter().chain(apps.iter().flat_map(|(_, shown)| shown));
    let has_section = |app: &AppKey| apps.iter().any(|(shown, _)| shown == app);
    let is_whole = all().all(|shown| shown.opened.is_some())
        && records.iter().filter_map(|shown| shown.leaf.app.as_ref()).all(has_section);
    if !is_whole {
        return Ok(None);
    }
    let ordered: BTreeMap<u64, (&RecordLeaf, &Opened)> =
        all().filter_map(|shown| Some((shown.index, (&shown.leaf, shown.opened.as_ref()?)))).collect();
    let mut replay = Replay::default();
    for (leaf, opened) in ordered.into_values() {
        if opened.rules != RULES {
            return Err(Inconclusive::UnknownRules(opened.rules).into());
        }
        let expected = replay.take_in(leaf.seq, opened);
        if expected != (leaf.rule, leaf.pinned_realm) {
            return Err(Fault::Decision { seq: leaf.seq }.into());
        }
    }
    Ok(Some(replay.tenant))
}

#[derive(Default)]
struct Replay<'a> {
    tenant: Tenant,
    apps: AppTimelines,
    history: Refold<&'a Event>,
}

impl<'a> Replay<'a> {
    /// The rule and the realm that the record's line must show.
    fn take_in(&mut self, seq: u64, opened: &'a Opened) -> (Option<Rule>, Option<Realm>) {
        let event = &opened.event;
        if let Body::App { app, fact } = &event.body {
            let before = self.tenant.looked_up_since(app, event.time).then(|| self.apps.clone());
            self.apps.insert(app, event.time, event.id.clone(), fact);
            if let Some(before) = before {
                self.history.correct(&mut self.tenant, (app, event.time), &before, &self.apps);
            }
            return (None, None);
        }
        let outcome = self.history.append(&mut self.tenant, seq, event, &self.apps);
        let Body::Installation { app, .. } = &event.body else { return (None, None) };
        let own = outcome.changes.iter().find(|change| change.app == *app);
        let rule = own.and_then(|change| change.decision).map(|decision| decision.rule);
        (rule, self.tenant.installations.get(app).and_then(Installation::pinned_realm))
    }
}
