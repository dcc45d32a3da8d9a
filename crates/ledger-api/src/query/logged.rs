//! Records as they are shown.

use ledger_record::json::record::{QuarantineJson, RecordJson};
use ledger_record::record::Record;
use ledger_store::ShardId;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

/// A recorded event. Serialises as a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged(pub Record);

/// A refused message, and the shard whose quarantine has it: that and its seq name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which shard.
    pub shard: ShardId,
    /// The refusal.
    pub record: Record,
}

#[derive(Serialize)]
struct ItemJson<'a> {
    topic: &'a str,
    partition: u32,
    #[serde(rename = "")]
    refused: QuarantineJson<'a>,
}

impl Serialize for Logged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = RecordJson::of(&self.0);
        json.ok_or_else(|| S::Error::custom("a refusal in a tenant's log"))?.serialize(serializer)
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refused = QuarantineJson::of(&self.record);
        let refused = refused.ok_or_else(|| S::Error::custom("an event in quarantine"))?;
        let Self { shard, .. } = self;
        ItemJson { topic: &shard.topic, partition: shard.partition, refused }.serialize(serializer)
    }
}
