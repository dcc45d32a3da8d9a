//! The timelines of apps, kept decoded between questions.
//!
//! A timeline is needed for every state that is shown, and grows by a few records a month. Which records
//! belong to it in a snapshot follows from the app's row, so a kept timeline is used when it ends at the same
//! record, brought up when it ends earlier, and left alone when the snapshot is the older one.

use std::sync::Arc;

use ledger_core::event::Body;
use ledger_core::ids::AppKey;
use ledger_core::timeline::AppTimeline;
use ledger_record::json::record::RecordJson;
use ledger_record::record::{Content, Stream};
use ledger_store::{ReadError, ShardId, Snapshot};

use super::cache::{Cache, CacheKey};
use super::page_bytes::PageBytes;

#[derive(Debug, Clone, Default)]
struct KeptTimeline {
    /// The last record that is in it.
    seq: u64,
    /// Of its records.
    bytes: PageBytes,
    timeline: Arc<AppTimeline>,
}

/// The timeline of an app, as it is in the snapshot.
pub(super) fn timeline(
    cache: &Cache,
    shard: &ShardId,
    snapshot: &Snapshot<'_>,
    app: &AppKey,
) -> Result<Arc<AppTimeline>, ReadError> {
    let seq = snapshot.app(app)?.map_or(0, |row| row.seq);
    let key = CacheKey::Timeline(shard.clone(), app.clone());
    let kept = cache.get::<KeptTimeline>(&key);
    let is_newer = kept.as_ref().is_some_and(|kept| kept.seq > seq);
    let kept = kept.filter(|kept| kept.seq <= seq).unwrap_or_default();
    if kept.seq == seq {
        return Ok(Arc::clone(&kept.timeline));
    }
    let brought_up = Arc::new(bring_up(&kept, snapshot, app, seq)?);
    if !is_newer {
        cache.put(key, Arc::clone(&brought_up), brought_up.bytes.len());
    }
    Ok(Arc::clone(&brought_up.timeline))
}

fn bring_up(
    kept: &KeptTimeline,
    snapshot: &Snapshot<'_>,
    app: &AppKey,
    to_seq: u64,
) -> Result<KeptTimeline, ReadError> {
    let (mut timeline, mut bytes) = (AppTimeline::clone(&kept.timeline), kept.bytes);
    for record in snapshot.records(&Stream::App(app.clone()), kept.seq + 1)? {
        let record = record?;
        if record.seq > to_seq {
            break;
        }
        bytes.add(&RecordJson::of(&record));
        if let Content::Event { event, .. } = record.content
            && let Body::App { fact, .. } = &event.body
        {
            timeline.insert(event.time, event.id.clone(), fact);
        }
    }
    Ok(KeptTimeline { seq: to_seq, bytes, timeline: Arc::new(timeline) })
}
