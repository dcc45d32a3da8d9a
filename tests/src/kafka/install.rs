//! Where the broker's jars are, and a formatted log directory to copy.
//!
//! `tests/run` copies the jars into `<cache>/kafka-<hash of tests/kafka/pom.xml>`, where `<cache>` is
//! `$XDG_CACHE_HOME/realm-ledger` (`~/.cache/realm-ledger`). The directory appears whole or not at all.
//!
//! Formatting takes a Java process and a second, so it is done once per installation: the result is kept
//! beside the jars, and each broker starts from a copy with a cluster id of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::scratch::{self, cache};

const POM: &[u8] = include_bytes!("../../kafka/pom.xml");

/// The placeholder for the cluster id in the formatted directory.
const CLUSTER_ID_OF_THE_FORMAT: &str = "AAAAAAAAQACAAAAAAAAAAQ";

pub(super) struct Installation {
    directory: PathBuf,
}

impl Installation {
    pub(super) fn locate() -> Self {
        let directory = cache().join(format!("kafka-{}", &hex::encode(Sha256::digest(POM))[..12]));
        assert!(
            directory.is_dir(),
            "the jars of the test broker are not in {}: run tests/run once, it fetches them; \
             or name a running broker in {}",
            directory.display(),
            super::GIVEN_BROKER,
        );
        Self { directory }
    }

    pub(super) fn class_path(&self) -> String {
        format!("{}/*", self.directory.display())
    }

    /// Creates `target` as the log directory of a new cluster.
    pub(super) fn format(&self, target: &Path, cluster_id: &str) {
        copy_tree(&self.formatted(), target);
        let identity = target.join("meta.properties");
        let text = fs::read_to_string(&identity).expect("meta.properties of the formatted directory");
        fs::write(&identity, text.replace(CLUSTER_ID_OF_THE_FORMAT, cluster_id))
            .expect("write meta.properties");
    }

    fn formatted(&self) -> PathBuf {
        let kept = self.directory.join("formatted");
        if !kept.is_dir() {
            let scratch = scratch::directory();
            self.run_format(scratch.path());
            let fresh = self.directory.join(format!("formatted-{}", super::unique_name("new")));
            copy_tree(&scratch.path().join("logs"), &fresh);
            if fs::rename(&fresh, &kept).is_err() {
                // Another test process was first; both results are equal.
                fs::remove_dir_all(&fresh).expect("remove a formatted directory made twice");
            }
        }
        kept
    }

    fn run_format(&self, scratch: &Path) {
        let properties = scratch.join("server.properties");
        let logs = scratch.join("logs");
        fs::write(&properties, server_properties(&logs, 9092, 9093, &[])).expect("write server.properties");
        let output = Command::new("java")
            .args(["-cp", &self.class_path(), "kafka.tools.StorageTool", "format"])
            .args(["-t", CLUSTER_ID_OF_THE_FORMAT, "-c"])
            .arg(&properties)
            .output()
            .expect("start java: is a Java runtime of version 17 or newer installed?");
        assert!(output.status.success(), "cannot format the broker's log directory: {output:?}");
    }
}

/// The settings of one node that is broker and controller; `extra` overrides them. A killed broker may rejoin only
/// after its old session ends, hence the short one.
pub(super) fn server_properties(
    logs: &Path,
    port: u16,
    controller_port: u16,
    extra: &[(&str, &str)],
) -> String {
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         broker.heartbeat.interval.ms=500\n\
         broker.session.timeout.ms=3000\n\
         group.initial.rebalance.delay.ms=0\n\
         log.retention.check.interval.ms=1000\n\
         log.retention.ms=-1\n\
         offsets.topic.num.partitions=4\n\
         offsets.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n",
        logs.display()
    );
    for (name, value) in extra {
        text.extend([name, "=", value, "\n"]);
    }
    text
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create a directory of the broker");
    for entry in fs::read_dir(from).expect("read the formatted directory") {
        let entry = entry.expect("an entry of the formatted directory");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy a file of the formatted directory");
        }
    }
}
