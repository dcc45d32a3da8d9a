//! What changed in our answer: every correction of a tenant, with the answer before and after, and the event
//! that caused it.
//!
//! A correction stands in one of two places. A late event of the tenant has it among what it changed; a late
//! event of an app has it beside its record, by tenant. Both are walked together in order of position, so
//! that the last decision before each of them is known.
//!
//! What was decided before a position follows only from what came before it, so the place where a page ended is
//! kept for a while, with the last decisions there: the next page goes on from it instead of from the beginning.
//!
//! A page ends between two records, so all corrections by one record are on one page: at most one for each
//! installation of the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Decision;
use ledger_core::tenant::{Change, Summary};
use ledger_core::time::Timestamp;
use ledger_record::record::{Content, Record, Stream};
use ledger_store::ReadError;
use serde::{Deserialize, Serialize, Serializer};

use super::cursor::page_limit;
use super::parameters::{or_zero, text};
use super::{AsOf, LineSink};
use crate::access::Grants;
use crate::ledger::{
    CacheKey, FreshnessJson, Located, PageBytes, QueryError, Reading, Seqs, ShardSnapshot, records_of,
};
use crate::limits::{LOG_DEFAULT, LOG_MAX};

/// Corrections of a tenant's installations, in order. With an instant, those by events that had happened by then; with
/// knowledge, those that were recorded by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectionsQuery {
    /// The tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// Those by records from this position on.
    #[serde(deserialize_with = "or_zero")]
    pub from_position: u64,
    /// About so many: those by one record are on one page.
    pub limit: Option<u64>,
    /// As of when.
    pub as_of: AsOf,
}

/// Corrections of a tenant, in order of the records that corrected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectionsPage<T = CorrectedAnswer> {
    /// Each with the answer before and after.
    pub corrections: Vec<T>,
    /// Where to go on; absent when nothing follows.
    pub next_position: Option<u64>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// A correction of an installation's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectedAnswer {
    /// Position of the record that corrected.
    position: u64,
    /// Its seq in the tenant's log; absent for an app-level event.
    seq: Option<u64>,
    /// When it was recorded: from then on the answer was another one.
    recorded_at: Timestamp,
    app_key: AppKey,
    /// The first record whose outcome changed.
    first_seq: u64,
    /// How many records' outcomes changed.
    count: u64,
    before: ShortAnswer,
    after: ShortAnswer,
    /// The event that was late, or the first observation of what had only been expected. Corrections by one record
    /// share it. Absent where it is about an app that is not seen.
    #[serde(serialize_with = "shared")]
    event: Option<Arc<Event>>,
}

/// The short state, absent where nothing was known of the installation, and the last decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ShortAnswer {
    #[serde(rename = "")]
    state: Option<Summary>,
    decision: Option<Decision>,
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn shared<S: Serializer>(event: &Option<Arc<Event>>, to: S) -> Result<S::Ok, S::Error> {
    event.as_deref().serialize(to)
}

impl CorrectionsQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<CorrectionsPage, QueryError> {
        let Self { client, from_position, limit, as_of } = self;
        let (from_position, limit) = (*from_position, page_limit(*limit, LOG_DEFAULT, LOG_MAX)?);
        let Located { shard, row } = reading.found(client, as_of.known)?;
        let cut = shard.snapshot.cut(client, as_of.known)?;
        let apps: Vec<AppKey> = row.tenant.installations.keys().cloned().collect();
        let resume = |position| CacheKey::Corrections(shard.id.clone(), client.clone(), position);
        let begun =
            reading.ledger.cache.get::<SoFar>(&resume(from_position)).as_deref().cloned().unwrap_or_default();
        let bytes = PageBytes::new(reading.ledger.page_bytes);
        let grants = &reading.ledger.grants;
        let mut walk = Walk { from_position, at: as_of.at, grants, so_far: begun, found: Vec::new(), bytes };
        let mut next_position = None;
        for record in records_of(shard, client, &apps, &walk.so_far.seqs)? {
            let record = record?;
            if !cut.knows(record.position, record.recorded) {
                break;
            }
            if walk.found.len() >= limit || walk.bytes.is_full() {
                next_position = Some(record.position);
                break;
            }
            reading.ledger.in_time()?;
            walk.so_far.seqs.insert(record.stream.clone(), record.seq + 1);
            walk.take(shard, client, record)?;
        }
        if let Some(next) = next_position {
            let so_far = Arc::new(walk.so_far);
            reading.ledger.cache.put(resume(next), Arc::clone(&so_far), so_far.bytes());
        }
        if walk.found.is_empty() && next_position.is_none() && from_position == 0 {
            reading.ready_in(shard.id)?;
        }
        Ok(CorrectionsPage {
            corrections: walk.found,
            next_position,
            freshness: vec![reading.freshness_of(shard)?],
        })
    }
}

/// What came before a position.
#[derive(Debug, Clone, Default)]
struct SoFar {
    seqs: Seqs,
    /// The last decision of each installation.
    decisions: BTreeMap<AppKey, Decision>,
}

impl SoFar {
    /// About: a key and what it has.
    fn bytes(&self) -> usize {
        512 * (self.seqs.len() + self.decisions.len())
    }
}

/// A walk along the positions.
struct Walk<'g> {
    from_position: u64,
    at: Option<Timestamp>,
    /// What is seen; what is kept for the next page is of all apps.
    grants: &'g Grants,
    so_far: SoFar,
    found: Vec<CorrectedAnswer>,
    bytes: PageBytes,
}

impl Walk<'_> {
    fn take(
        &mut self,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        record: Record,
    ) -> Result<(), ReadError> {
        let Record { position, recorded, stream, seq, content, .. } = record;
        let Content::Event { event, outcome, .. } = content else { return Ok(()) };
        let of_tenant = matches!(stream, Stream::Tenant(_));
        let changes = match (of_tenant, outcome.late) {
            (true, _) => outcome.changes,
            (false, true) => beside(shard, client, position)?,
            (false, false) => return Ok(()),
        };
        let is_asked_for = position >= self.from_position && self.at.is_none_or(|at| event.time <= at);
        let event = Some(event).filter(|event| event.app().is_none_or(|app| self.grants.has(app)));
        let event = event.map(Arc::new);
        for change in changes {
            let before = self.follow(&change);
            let is_shown = is_asked_for && self.grants.has(&change.app);
            let Some(correction) = change.correction.filter(|_| is_shown) else { continue };
            let corrected = CorrectedAnswer {
                position,
                seq: of_tenant.then_some(seq),
                recorded_at: recorded,
                app_key: change.app,
                first_seq: correction.first_seq,
                count: correction.count,
                before: ShortAnswer { state: change.before, decision: before },
                after: ShortAnswer { state: Some(change.after), decision: correction.decision },
                event: event.clone(),
            };
            self.bytes.add(&corrected);
            self.found.push(corrected);
        }
        Ok(())
    }

    /// Keeps the last decision, and answers the one before.
    fn follow(&mut self, change: &Change) -> Option<Decision> {
        let before = self.so_far.decisions.get(&change.app).copied();
        let now = match change.correction {
            Some(correction) => correction.decision,
            // A late record's own decision is the last one only if none came after it.
            None => match (before, change.decision) {
                (Some(before), Some(own)) if own.at < before.at => Some(before),
                (before, own) => own.or(before),
            },
        };
        match now {
            Some(now) => self.so_far.decisions.insert(change.app.clone(), now),
            None => self.so_far.decisions.remove(&change.app),
        };
        before
    }
}

/// What a late event of an app changed for the tenant.
fn beside(shard: &ShardSnapshot<'_>, client: &ClientKey, position: u64) -> Result<Vec<Change>, ReadError> {
    let first = shard.snapshot.corrections(position, Some(client))?.next().transpose()?;
    Ok(first.filter(|(of, _)| of == client).map(|(_, changes)| changes).unwrap_or_default())
}
