//! The real Kafka, without a container: the broker's jars, started by main class, one node in KRaft mode.
//!
//! - [`shared`]: one broker for the whole test binary, started by the first test that asks. Tests keep apart
//!   by topics of their own ([`unique_name`]). `REALM_LEDGER_TEST_KAFKA=host:port` uses that broker instead.
//! - [`Broker`]: one for a test that stops, kills or restarts it.
//! - [`Cluster`]: everything a test does to either: topics, producing, transactions, reading, deleting.
//!
//! The jars are named in `tests/kafka/pom.xml`; `tests/run` puts them into the cache directory
//! (`install` says where).

mod broker;
mod cluster;
mod foreign;
mod install;
mod message;
mod producing;

use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub use broker::Broker;
pub use cluster::{Cluster, Isolation};
pub use foreign::Client;
pub use message::{Message, Received};
pub use producing::Ending;

const GIVEN_BROKER: &str = "REALM_LEDGER_TEST_KAFKA";

/// The broker that all tests share. A `static` is never dropped: the kernel kills its process with this one.
pub fn shared() -> &'static Cluster {
    enum Shared {
        Given(Cluster),
        Own(Broker),
    }
    static SHARED: LazyLock<Shared> = LazyLock::new(|| match std::env::var(GIVEN_BROKER) {
        Ok(bootstrap) => Shared::Given(Cluster::at(bootstrap)),
        Err(_) => Shared::Own(Broker::start()),
    });
    match &*SHARED {
        Shared::Given(cluster) => cluster,
        Shared::Own(broker) => broker.cluster(),
    }
}

/// A name for a topic, group or transaction that no other test, and no earlier run, has used.
pub fn unique_name(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static RUN: LazyLock<String> = LazyLock::new(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:x}-{:x}", since_epoch.as_millis(), process::id())
    });
    format!("{stem}-{}-{}", *RUN, COUNT.fetch_add(1, Ordering::Relaxed))
}
