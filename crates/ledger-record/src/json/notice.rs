//! Decisions and corrections as they are published: `CloudEvents` 1.0 in structured JSON.
//!
//! Every change by a tenant's record gives a `realmledger.decision`, and where it has a correction a
//! `realmledger.correction` besides. A change that is a correction and nothing else gives the correction
//! only; so do the changes by late app-level events, which decide nothing themselves. [`NoticeScope::Decisions`] leaves
//! out the decisions of records that decided nothing: the others, and the corrections, are the same notices.
//!
//! `source` names the shard, and `id` where the record came from, with app, client and kind. Both are derived from the
//! record alone, so a notice that is sent again is the same, byte for byte; and `id` is the same when the record was
//! carried over into another log, where its position is another one.

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::{AnomalyCode, Decision};
use ledger_core::tenant::{Change, Summary};
use ledger_core::time::Timestamp;
use serde::Serialize;

use crate::record::{Coordinates, Record};

/// The shard that publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishingShard<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
}

/// Which notices there are of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeScope {
    /// All.
    Changes,
    /// What an install handler waits for: the decisions that were made, and their corrections.
    Decisions,
}

/// A decision or a correction.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionEventJson<'a> {
    /// `1.0`.
    pub specversion: &'static str,
    /// Stays the same however often it is delivered.
    pub id: String,
    /// The shard.
    pub source: String,
    /// `realmledger.decision` or `realmledger.correction`.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// The client key; also the key of the message.
    pub subject: &'a str,
    /// Event time of the record.
    pub time: Timestamp,
    /// `application/json`.
    pub datacontenttype: &'static str,
    /// What it says.
    pub data: NoticeJson<'a>,
}

/// What a notice says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticeJson<'a> {
    /// The tenant.
    pub client_key: &'a ClientKey,
    /// The app.
    pub app_key: &'a AppKey,
    /// The record that it rests on.
    pub record: RecordRefJson<'a>,
    /// The short state before.
    pub before: Option<&'a Summary>,
    /// The short state after.
    pub after: &'a Summary,
    /// The decision that the record made; of a correction, the last decision as it stands now.
    pub decision: Option<Decision>,
    /// The anomalies that the record raised.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub anomalies: &'a [AnomalyCode],
    /// Of a correction: the first record whose outcome changed.
    pub first_seq: Option<u64>,
    /// Of a correction: how many records' outcomes changed.
    pub count: Option<u64>,
}

/// Where the record is, named as a line of the log names it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RecordRefJson<'a> {
    /// Its seq in the tenant's log, or for an app-level event in the app's.
    pub seq: u64,
    /// Its position in the shard.
    pub position: u64,
    /// Where it came from.
    pub source: &'a Coordinates,
}

impl DecisionEventJson<'_> {
    /// Whether it corrects what was reported before.
    #[must_use]
    pub const fn is_correction(&self) -> bool {
        self.data.first_seq.is_some()
    }
}

const DECISION: &str = "decision";
const CORRECTION: &str = "correction";

/// The notices of one change: by a record of the tenant, or a correction by a late app-level one.
pub fn notices<'a>(
    scope: NoticeScope,
    shard: PublishingShard<'_>,
    record: &'a Record,
    event: &'a Event,
    client: &'a ClientKey,
    change: &'a Change,
) -> impl Iterator<Item = DecisionEventJson<'a>> {
    let context = NoticeContext { record, event, client, change };
    let has_decision = match scope {
        NoticeScope::Changes => is_own(change),
        NoticeScope::Decisions => change.decision.is_some(),
    };
    let decision = (event.client().is_some() && has_decision).then(|| context.decision(shard));
    let correction = context.correction(shard);
    decision.into_iter().chain(correction)
}

/// Whether there is more to tell than a correction.
fn is_own(change: &Change) -> bool {
    change.correction.is_none()
        || change.decision.is_some()
        || !change.anomalies.is_empty()
        || change.before.as_ref() != Some(&change.after)
}

#[derive(Clone, Copy)]
struct NoticeContext<'a> {
    record: &'a Record,
    event: &'a Event,
    client: &'a ClientKey,
    change: &'a Change,
}

impl<'a> NoticeContext<'a> {
    fn decision(self, shard: PublishingShard<'_>) -> DecisionEventJson<'a> {
        let change = self.change;
        let data = NoticeJson { decision: change.decision, anomalies: &change.anomalies, ..self.data() };
        self.notice(shard, DECISION, "realmledger.decision", data)
    }

    fn correction(self, shard: PublishingShard<'_>) -> Option<DecisionEventJson<'a>> {
        let correction = self.change.correction?;
        let data = NoticeJson {
            decision: correction.decision,
            first_seq: Some(correction.first_seq),
            count: Some(correction.count),
            ..self.data()
        };
        Some(self.notice(shard, CORRECTION, "realmledger.correction", data))
    }

    fn notice(
        self,
        shard: PublishingShard<'_>,
        kind: &str,
        type_name: &'static str,
        data: NoticeJson<'a>,
    ) -> DecisionEventJson<'a> {
        let PublishingShard { topic, partition } = shard;
        DecisionEventJson {
            specversion: "1.0",
            // Of a tenant's record all changes have one client, of an app's all have one app, so no two of
            // one message read alike, whatever the keys hold.
            id: format!(
                "{from}/{app}/{client}/{kind}",
                from = self.record.source,
                app = self.change.app,
                client = self.client,
            ),
            source: format!("/realm-ledger/{topic}/{partition}"),
            type_name,
            subject: self.client.as_str(),
            time: self.event.time,
            datacontenttype: "application/json",
            data,
        }
    }

    fn data(self) -> NoticeJson<'a> {
        let Self { record, event: _, client, change } = self;
        NoticeJson {
            client_key: client,
            app_key: &change.app,
            record: RecordRefJson { seq: record.seq, position: record.position, source: &record.source },
            before: change.before.as_ref(),
            after: &change.after,
            decision: None,
            anomalies: &[],
            first_seq: None,
            count: None,
        }
    }
}
