use std::sync::Arc;

use crate::Served;
use crate::catalog::Catalog;
use crate::catalog::status::ShardStatus;
use crate::tests::*;

/// Shards that are open, and the catalog that lists them.
struct Opened {
    catalog: Catalog,
    shards: Vec<Shard>,
}

impl Opened {
    fn of(data: &DataDir, partitions: &[u32]) -> Self {
        let mut opened = Self { catalog: Catalog::default(), shards: Vec::new() };
        for partition in partitions {
            opened.open(data, *partition);
        }
        opened
    }

    fn open(&mut self, data: &DataDir, partition: u32) {
        let shard = data.open_shard(&shard_id(partition)).unwrap();
        let served = Served { reader: shard.reader(), status: Arc::new(ShardStatus::default()) };
        self.catalog.insert(shard_id(partition), served);
        self.shards.push(shard);
    }

    fn take(&mut self, shard: usize, clients: &[&str]) {
        let events = clients.iter().map(|client| installed(client, "app", client, 1, "EU"));
        append(&mut self.shards[shard], events);
    }

    /// The torn tenants that a search finds now.
    fn find(&self) -> Vec<String> {
        let found = self.catalog.torn_now().unwrap().take_news();
        found.into_iter().map(|torn| torn.client.as_str().to_owned()).collect()
    }

    fn counts(&self) -> Vec<u64> {
        let all = self.catalog.all();
        all.iter().map(|(_, served)| served.status.freshness().split_tenants).collect()
    }
}

#[test]
fn torn_tenants_are_stored_with_the_data() {
    let ledger = Ledger::new();
    {
        let mut opened = Opened::of(&ledger.data, &[0, 1, 2]);
        opened.take(0, &["acme", "birch", "cedar"]);
        opened.take(1, &["acme", "dune"]);
        assert_eq!(opened.find(), ["acme"]);
        opened.take(2, &["cedar", "acme"]);
        assert_eq!(opened.find(), ["acme", "cedar"]);
        assert_eq!(opened.find(), [""; 0], "told once");
        assert_eq!(opened.counts(), [2, 1, 2]);
        opened.catalog.remember_torn(&ledger.data).unwrap();
    }
    let opened = Opened::of(&ledger.data, &[0, 1, 2]);
    assert_eq!(opened.counts(), [2, 1, 2], "before anything is looked at");
    let page = |after, limit| opened.catalog.torn().page(after, limit);
    let first = page(None, 1);
    assert_eq!(first[0].client, client("acme"));
    assert_eq!(first[0].shards, [0, 1, 2].map(shard_id));
    assert_eq!(page(Some(&first[0].client), 9)[0].shards, [0, 2].map(shard_id));
    assert_eq!(opened.catalog.torn().shards_of(&client("dune")), None);
    assert_eq!(opened.find(), [""; 0]);
}

#[test]
fn torn_tenant_lost_in_a_crash_is_found_again() {
    let ledger = Ledger::new();
    {
        let mut opened = Opened::of(&ledger.data, &[0, 1]);
        opened.take(0, &["acme"]);
        opened.take(1, &["acme"]);
        assert_eq!(opened.find(), ["acme"]);
    }
    let opened = Opened::of(&ledger.data, &[0, 1]);
    assert_eq!(opened.counts(), [0, 0]);
    assert_eq!(opened.find(), ["acme"]);
    assert_eq!(opened.counts(), [1, 1]);
}

/// A shard that does not open or opens later may have tenants of the others.
#[test]
fn reopened_shard_is_checked_for_torn_tenants() {
    let ledger = Ledger::new();
    let mut opened = Opened::of(&ledger.data, &[0, 1]);
    opened.take(1, &["acme", "birch"]);
    drop(opened);
    let mut opened = Opened::of(&ledger.data, &[0]);
    let many: Vec<String> = (0..11_000).map(|n| format!("tenant-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["acme"]).collect();
    opened.take(0, &many);
    assert_eq!(opened.find(), [""; 0]);
    opened.catalog.remember_torn(&ledger.data).unwrap();
    opened.open(&ledger.data, 1);
    assert_eq!(opened.find(), ["acme"]);
    drop(opened);
    let opened = Opened::of(&ledger.data, &[1, 0]);
    assert_eq!(opened.find(), ["acme"], "that one of them was away was not remembered as compared");
}
