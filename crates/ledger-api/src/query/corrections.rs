//! What changed in our answer: every correction of a tenant, with the answer before and after, and the event
//! that caused it.
//!
//! A correction stands in one of two places. A late event of the tenant has it among what it changed; a late
//! event of an app has it beside its record, by tenant. Both are walked together in order of position, so
//! that the last decision before each of them is known.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::vec;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Decision;
use ledger_core::tenant::Change;
use ledger_core::time::Timestamp;
use ledger_record::json::corrected::{Corrected, CorrectedJson};
use ledger_record::record::{Content, Record, Stream};
use ledger_store::{Cut, ReadError};
use serde::{Serialize, Serializer};

use super::answer::CorrectionsAnswer;
use super::error::QueryError;
use super::one::happened_by;
use super::shards::{Located, Moment, moments};
use super::{AsOf, Ledger, freshness};

/// A correction, as it stands in the log. Serialises with the event that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    record: Record,
    change: Change,
    before: Option<Decision>,
}

impl Serialize for Correction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { record, change, before } = self;
        let (Content::Event { event, .. }, Some(correction)) = (&record.content, change.correction) else {
            return Err(serde::ser::Error::custom("a correction without an event"));
        };
        let seq = matches!(record.stream, Stream::Tenant(_)).then_some(record.seq);
        CorrectedJson::of(Corrected {
            position: record.position,
            seq,
            recorded: record.recorded,
            event,
            change,
            correction,
            before: *before,
        })
        .serialize(serializer)
    }
}

impl Ledger {
    /// Corrections of a tenant's installations by the records from `from_position` on, in order. With an
    /// instant, those by events that had happened by then; with knowledge, those that were recorded by then.
    pub fn corrections(
        &self,
        client: &ClientKey,
        from_position: u64,
        limit: usize,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<CorrectionsAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = self.found(&moments, client)?;
        let cut = moment.snapshot.cut(client, as_of.known)?;
        let apps: Vec<AppKey> = row.tenant.installations.keys().cloned().collect();
        let mut beside = beside(moment, client, &apps, cut)?.into_iter().peekable();
        let mut walk = Walk { from_position, decisions: BTreeMap::new(), found: Vec::new() };
        let mut next_position = None;
        for record in moment.snapshot.records(&Stream::Tenant(client.clone()), 1)? {
            let record = record?;
            if !cut.knows(record.position, record.recorded) {
                break;
            }
            walk.take_before(&mut beside, record.position);
            if walk.found.len() >= limit {
                next_position = Some(record.position);
                break;
            }
            let Content::Event { outcome, .. } = &record.content else { continue };
            let changes = outcome.changes.clone();
            walk.take(&record, changes);
        }
        if next_position.is_none() {
            walk.take_before(&mut beside, u64::MAX);
        }
        walk.found.retain(|correction| happened_by(&correction.record, as_of.at));
        Ok(CorrectionsAnswer {
            corrections: walk.found,
            next_position,
            freshness: vec![freshness::of(moment, now)?],
        })
    }
}

/// What late events of the apps changed for the tenant, by position.
fn beside(
    moment: &Moment<'_>,
    client: &ClientKey,
    apps: &[AppKey],
    cut: Cut,
) -> Result<Vec<(Record, Vec<Change>)>, ReadError> {
    let mut found = Vec::new();
    for app in apps {
        for record in moment.snapshot.records(&Stream::App(app.clone()), 1)? {
            let record = record?;
            if !cut.knows(record.position, record.recorded) {
                break;
            }
            let late = matches!(&record.content, Content::Event { outcome, .. } if outcome.late);
            if !late {
                continue;
            }
            let first = moment.snapshot.corrections(record.position, Some(client))?.next().transpose()?;
            if let Some((_, changes)) = first.filter(|(of, _)| of == client) {
                found.push((record, changes));
            }
        }
    }
    found.sort_by_key(|(record, _)| record.position);
    Ok(found)
}

/// A walk along the positions.
struct Walk {
    from_position: u64,
    /// The last decision of each installation so far.
    decisions: BTreeMap<AppKey, Decision>,
    found: Vec<Correction>,
}

impl Walk {
    /// Takes those that stand beside the log and come before a position.
    fn take_before(&mut self, beside: &mut Peekable<vec::IntoIter<(Record, Vec<Change>)>>, position: u64) {
        while let Some((record, changes)) = beside.next_if(|(record, _)| record.position < position) {
            self.take(&record, changes);
        }
    }

    fn take(&mut self, record: &Record, changes: Vec<Change>) {
        for change in changes {
            let before = self.decisions.get(&change.app).copied();
            // A late record's own decision is the last one only if none came after it.
            let own = change.decision.filter(|own| before.is_none_or(|before| before.at <= own.at));
            let now = change.correction.map_or(own, |correction| correction.decision);
            self.decisions.extend(now.map(|now| (change.app.clone(), now)));
            if change.correction.is_some() && record.position >= self.from_position {
                self.found.push(Correction { record: record.clone(), change, before });
            }
        }
    }
}
