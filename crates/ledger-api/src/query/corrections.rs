//! What changed in our answer: every correction of a tenant, with the answer before and after, and the event
//! that caused it.
//!
//! A correction stands in one of two places. A late event of the tenant has it among what it changed; a late
//! event of an app has it beside its record, by tenant. Both are walked together in order of position, so
//! that the last decision before each of them is known.
//!
//! A page ends between two records, so all corrections by one record are on one page: at most one for each
//! installation of the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Decision;
use ledger_core::tenant::Change;
use ledger_core::time::Timestamp;
use ledger_record::json::corrected::{Corrected, CorrectedJson};
use ledger_record::record::{Content, Record, Stream};
use ledger_store::ReadError;
use serde::{Serialize, Serializer};

use super::answer::CorrectionsAnswer;
use super::error::QueryError;
use super::merged::records_of;
use super::shards::{Located, Moment, moments};
use super::weight::Weight;
use super::{AsOf, Ledger, freshness};

/// A correction, as it stands in the log. Serialises with the event that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    cause: Cause,
    change: Change,
    before: Option<Decision>,
}

/// The record that corrected. Its corrections share the event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    position: u64,
    /// None for an app-level event.
    seq: Option<u64>,
    recorded: Timestamp,
    event: Arc<Event>,
}

impl Serialize for Correction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { cause, change, before } = self;
        let Some(correction) = change.correction else {
            return Err(serde::ser::Error::custom("a change that corrects nothing"));
        };
        CorrectedJson::of(Corrected {
            position: cause.position,
            seq: cause.seq,
            recorded: cause.recorded,
            event: &cause.event,
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
        let mut walk = Walk { from_position, at: as_of.at, ..Walk::default() };
        let mut next_position = None;
        for record in records_of(moment, client, &apps)? {
            let record = record?;
            if !cut.knows(record.position, record.recorded) {
                break;
            }
            if walk.found.len() >= limit || walk.weight.is_full() {
                next_position = Some(record.position);
                break;
            }
            self.in_time()?;
            walk.take(moment, client, record)?;
        }
        Ok(CorrectionsAnswer {
            corrections: walk.found,
            next_position,
            freshness: vec![freshness::of(moment, now)?],
        })
    }
}

/// A walk along the positions.
#[derive(Default)]
struct Walk {
    from_position: u64,
    at: Option<Timestamp>,
    /// The last decision of each installation so far.
    decisions: BTreeMap<AppKey, Decision>,
    found: Vec<Correction>,
    weight: Weight,
}

impl Walk {
    fn take(&mut self, moment: &Moment<'_>, client: &ClientKey, record: Record) -> Result<(), ReadError> {
        let Record { position, recorded, stream, seq, content, .. } = record;
        let Content::Event { event, outcome, .. } = content else { return Ok(()) };
        let of_tenant = matches!(stream, Stream::Tenant(_));
        let changes = match (of_tenant, outcome.late) {
            (true, _) => outcome.changes,
            (false, true) => beside(moment, client, position)?,
            (false, false) => return Ok(()),
        };
        let is_asked_for = position >= self.from_position && self.at.is_none_or(|at| event.time <= at);
        let seq = of_tenant.then_some(seq);
        let cause = Cause { position, seq, recorded, event: Arc::new(event) };
        for change in changes {
            let before = self.follow(&change);
            if change.correction.is_some() && is_asked_for {
                let correction = Correction { cause: cause.clone(), change, before };
                self.weight.add(&correction);
                self.found.push(correction);
            }
        }
        Ok(())
    }

    /// Keeps the last decision, and answers the one before.
    fn follow(&mut self, change: &Change) -> Option<Decision> {
        let before = self.decisions.get(&change.app).copied();
        let now = match change.correction {
            Some(correction) => correction.decision,
            // A late record's own decision is the last one only if none came after it.
            None => match (before, change.decision) {
                (Some(before), Some(own)) if own.at < before.at => Some(before),
                (before, own) => own.or(before),
            },
        };
        match now {
            Some(now) => self.decisions.insert(change.app.clone(), now),
            None => self.decisions.remove(&change.app),
        };
        before
    }
}

/// What a late event of an app changed for the tenant.
fn beside(moment: &Moment<'_>, client: &ClientKey, position: u64) -> Result<Vec<Change>, ReadError> {
    let first = moment.snapshot.corrections(position, Some(client))?.next().transpose()?;
    Ok(first.filter(|(of, _)| of == client).map(|(_, changes)| changes).unwrap_or_default())
}
