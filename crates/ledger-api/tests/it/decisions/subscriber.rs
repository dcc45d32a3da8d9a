//! A client of a subscription, and what the log says it should have received.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use ledger_api::decisions::{
    DecisionFilter, DecisionItem, Decisions, DecisionsEnd, DecisionsFrom, Subscription,
};
use ledger_record::json;
use ledger_record::json::notice::{NoticeScope, PublishingShard, notices};
use ledger_record::record::Content;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::filled::{Filled, TOPIC};

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Takes items one by one, and remembers the notices.
pub(crate) struct Subscriber<'r> {
    runtime: &'r Runtime,
    subscription: Subscription,
    received: Vec<String>,
    end: Option<DecisionsEnd>,
}

impl<'r> Subscriber<'r> {
    pub(crate) fn start(
        runtime: &'r Runtime,
        decisions: &Decisions,
        from: DecisionsFrom,
        filter: DecisionFilter,
    ) -> Self {
        let subscription = runtime.block_on(async { decisions.subscribe(from, filter).await }).unwrap();
        Self { runtime, subscription, received: Vec::new(), end: None }
    }

    /// Another one, from the cursor of this one as text.
    pub(crate) fn resumed(&self, decisions: &Decisions, filter: DecisionFilter) -> Self {
        Self::start(self.runtime, decisions, self.cursor().parse().unwrap(), filter)
    }

    pub(crate) fn cursor(&self) -> String {
        self.subscription.cursor().to_string()
    }

    /// The next item that is neither a notice nor the end; those are remembered. None: nothing more came in time.
    pub(crate) fn item(&mut self, within: Duration) -> Option<DecisionItem> {
        loop {
            match self.next(within)? {
                DecisionItem::Notice(_) | DecisionItem::End(_) => {}
                item => return Some(item),
            }
        }
    }

    fn next(&mut self, within: Duration) -> Option<DecisionItem> {
        let subscription = &mut self.subscription;
        let next = poll_fn(|context| Pin::new(&mut *subscription).poll_next(context));
        let item = self.runtime.block_on(async { tokio::time::timeout(within, next).await }).ok()??;
        match &item {
            DecisionItem::Notice(notice) => {
                self.received.push(String::from_utf8(notice.text.to_vec()).unwrap());
            }
            DecisionItem::End(end) => self.end = Some(end.clone()),
            DecisionItem::Heartbeat | DecisionItem::Shard(_) => {}
        }
        Some(item)
    }

    /// Takes so many notices, unless they do not come; returns how many came.
    pub(crate) fn take(&mut self, count: usize) -> usize {
        self.take_within(count, Duration::from_secs(20))
    }

    pub(crate) fn take_within(&mut self, count: usize, within: Duration) -> usize {
        let before = self.had();
        while self.had() < before + count {
            if self.next(within).is_none() {
                break;
            }
        }
        self.had() - before
    }

    pub(crate) fn had(&self) -> usize {
        self.received.len()
    }

    pub(crate) fn end(&self) -> Option<DecisionsEnd> {
        self.end.clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.received.clone()
    }

    /// Of one shard.
    pub(crate) fn texts_of(&self, partition: usize) -> Vec<String> {
        let source = format!(r#""source":"/realm-ledger/{TOPIC}/{partition}""#);
        self.received.iter().filter(|text| text.contains(&source)).cloned().collect()
    }
}

/// Every notice of every shard, with the position of its record, in the order of the log.
pub(crate) struct Log(BTreeMap<usize, Vec<(u64, String)>>);

impl Log {
    pub(crate) fn of(filled: &Filled) -> Self {
        let of_shard = |(partition, (_, reader)): (usize, (_, ledger_store::Reader))| {
            let (snapshot, mut all) = (reader.snapshot(), Vec::new());
            let shard = PublishingShard { topic: TOPIC, partition: u32::try_from(partition).unwrap() };
            for record in snapshot.records_from(0).unwrap().map(Result::unwrap) {
                let Content::Event { event, outcome, .. } = &record.content else { continue };
                let of_client: Vec<_> = match event.client() {
                    Some(client) => vec![(client.clone(), outcome.changes.clone())],
                    None => {
                        snapshot.corrections(record.position, None).unwrap().map(Result::unwrap).collect()
                    }
                };
                for (client, changes) in &of_client {
                    for change in changes {
                        let made = notices(NoticeScope::Changes, shard, &record, event, client, change);
                        all.extend(made.map(|notice| (record.position, json::to_string(&notice).unwrap())));
                    }
                }
            }
            (partition, all)
        };
        Self(filled.readers().into_iter().enumerate().map(of_shard).collect())
    }

    pub(crate) fn texts(&self, partition: usize) -> Vec<String> {
        self.since(partition, 0)
    }

    /// Of the records from a position on.
    pub(crate) fn since(&self, partition: usize, position: u64) -> Vec<String> {
        let of_shard = self.0[&partition].iter();
        of_shard.filter(|(of, _)| *of >= position).map(|(_, text)| text.clone()).collect()
    }
}

/// Whether a notice passes, by its JSON.
pub(crate) fn passes(filter: &DecisionFilter, text: &str) -> bool {
    let notice: Value = serde_json::from_str(text).unwrap();
    let (data, decision) = (&notice["data"], &notice["data"]["decision"]);
    let DecisionFilter { app, rule, moved, divergent, corrections, grants } = filter;
    grants.apps().is_none_or(|apps| apps.iter().any(|app| data["appKey"] == app.as_str()))
        && app.as_ref().is_none_or(|app| data["appKey"] == app.as_str())
        && rule.is_none_or(|rule| decision["rule"] == rule.as_str())
        && moved.is_none_or(|moved| decision["moved"] == moved)
        && divergent.is_none_or(|divergent| decision["divergent"] == divergent)
        && corrections.is_none_or(|wanted| (notice["type"] == "realmledger.correction") == wanted)
}
