//! The timelines of apps, kept decoded between questions.
//!
//! A timeline is needed for every state that is shown, and grows by a few records a month. Which records
//! belong to it in a snapshot is told by the app's row, so a kept timeline is used when it ends at the same
//! record, brought up when it ends earlier, and left alone when the snapshot is the older one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ledger_core::event::Body;
use ledger_core::ids::AppKey;
use ledger_core::timeline::AppTimeline;
use ledger_record::record::{Content, Stream};
use ledger_store::{ReadError, ShardId, Snapshot};

use crate::limits::TIMELINES_KEPT_PER_SHARD;

/// Timelines by shard and app.
#[derive(Debug, Default)]
pub(super) struct Timelines(RwLock<BTreeMap<ShardId, BTreeMap<AppKey, Kept>>>);

#[derive(Debug, Clone)]
struct Kept {
    /// The last record that is in it.
    seq: u64,
    timeline: Arc<AppTimeline>,
}

impl Timelines {
    /// The timeline of an app, as it is in the snapshot.
    pub(super) fn of(
        &self,
        shard: &ShardId,
        snapshot: &Snapshot<'_>,
        app: &AppKey,
    ) -> Result<Arc<AppTimeline>, ReadError> {
        let seq = snapshot.app(app)?.map_or(0, |row| row.seq);
        let kept = self.kept(shard, app).filter(|kept| kept.seq <= seq);
        if let Some(kept) = &kept
            && kept.seq == seq
        {
            return Ok(Arc::clone(&kept.timeline));
        }
        let (from, timeline) = kept.map_or((0, None), |kept| (kept.seq, Some(kept.timeline)));
        let mut timeline = timeline.map_or_else(AppTimeline::default, |kept| AppTimeline::clone(&kept));
        if from < seq {
            read_into(&mut timeline, snapshot, app, from + 1, seq)?;
        }
        let timeline = Arc::new(timeline);
        self.keep(shard, app, Kept { seq, timeline: Arc::clone(&timeline) });
        Ok(timeline)
    }

    fn kept(&self, shard: &ShardId, app: &AppKey) -> Option<Kept> {
        let shards = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shards.get(shard)?.get(app).cloned()
    }

    fn keep(&self, shard: &ShardId, app: &AppKey, kept: Kept) {
        let mut shards = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let apps = shards.entry(shard.clone()).or_default();
        if apps.get(app).is_some_and(|known| known.seq >= kept.seq) {
            return;
        }
        if apps.len() >= TIMELINES_KEPT_PER_SHARD {
            apps.clear();
        }
        apps.insert(app.clone(), kept);
    }
}

fn read_into(
    timeline: &mut AppTimeline,
    snapshot: &Snapshot<'_>,
    app: &AppKey,
    from_seq: u64,
    to_seq: u64,
) -> Result<(), ReadError> {
    for record in snapshot.records(&Stream::App(app.clone()), from_seq)? {
        let record = record?;
        if record.seq > to_seq {
            break;
        }
        if let Content::Event { event, .. } = record.content
            && let Body::App { fact, .. } = &event.body
        {
            timeline.insert(event.time, event.id.clone(), fact);
        }
    }
    Ok(())
}
