//! How each command is used, shown below its help.

pub(super) const SERVE: &str = "\
Examples:
  realm-ledger serve --config /etc/realm-ledger.toml
  realm-ledger serve --data-dir /var/lib/realm-ledger --brokers kafka:9092

SIGTERM and SIGINT drain: no more requests are taken, what was begun is written and published, exit 0. That takes no
longer than shutdown_timeout (25s), whatever Kafka does; what was given up for it is in the log.
A second signal ends at once with exit 1; nothing is lost, Kafka sends again what was not written.";
pub(super) const DEMO: &str = "\
Example:
  realm-ledger demo
  realm-ledger demo --tenants 2000 --listen 127.0.0.1:0

Ctrl-C ends it.";
pub(super) const IMPORT: &str = "\
Examples:
  realm-ledger import history.ndjson --check
  realm-ledger import history.ndjson --data-dir ledger
  realm-ledger import dump-by-tenant.ndjson.gz --sort --data-dir ledger
  xz -dc history.ndjson.xz | realm-ledger import - --source history --data-dir ledger

A second import of the same file appends nothing; one that was cut off, or a file that has grown, goes on
where it stopped. The same lines as gzip, as zstd or with a byte order mark are the same file; with --sort
they are the same file as the sorted one, and can grow by later lines only.

What is recorded stays for ever. So a file that is no NDJSON is refused before anything is written, with the
command that converts it, and more than 1 % refused lines (and at least 5) among the first 10,000 stop the
import before it records them. Fewer go to quarantine and do not fail the import.

A tenant stands in one partition, and its producers decide in which. So with more than one partition the import
must know how they place client keys: from --partitioner (kafka.partitioner), from what the data directory has of
the topic, or from the topic itself with --brokers, which tells a new data directory the number of partitions as well.
It is remembered with the data. When nothing tells, the import ends with exit code 1 before it writes anything.";
pub(super) const PUBLISH: &str = "\
Examples:
  realm-ledger publish events.ndjson --brokers kafka:9092
  echo '{\"id\":\"1\",\"type\":\"product-moved\",\"time\":\"2026-03-01T10:00:00Z\",\"clientKey\":\"acme\",\"productRealm\":\"US\"}' | realm-ledger publish -

Events of a tenant go to the partition of its client key, events of an app to every partition. A key is placed as
the other producers of the topic do: as --partitioner (kafka.partitioner) says, as the data directory remembers, as
the topic's newest keys show, or, when they are too few to tell, by murmur2, as Java's client does; what was taken
is said. Lines that are no events are told and not sent; then the exit code is 1.";
pub(super) const STATE: &str = "\
Examples:
  realm-ledger state
  realm-ledger state acme.atlassian.net
  realm-ledger state acme.atlassian.net com.example.app --at 2026-03-01T00:00:00Z
  realm-ledger state acme.atlassian.net --known-seq 4 --url http://localhost:8080

An installation that is not there, or was not at that instant, is exit code 1, as it is for `explain`. A tenant that
is known and had no installation then is an empty list.";
pub(super) const LOG: &str = "\
Examples:
  realm-ledger log acme.atlassian.net
  realm-ledger log acme.atlassian.net --known-at 2026-03-01T00:00:00Z
  realm-ledger log acme.atlassian.net --corrections
  realm-ledger log acme.atlassian.net --corrections --from-position 120000
  realm-ledger log acme.atlassian.net --from-seq 100 --limit 20 --format json";
pub(super) const EXPLAIN: &str = "\
Examples:
  realm-ledger explain acme.atlassian.net com.example.app
  realm-ledger explain acme.atlassian.net com.example.app --at 2026-03-01T00:00:00Z --format json";
pub(super) const PREVIEW: &str = "\
Examples:
  realm-ledger preview acme.atlassian.net com.example.app
  realm-ledger preview acme.atlassian.net com.example.app --product-realm US";
pub(super) const WINDOWS: &str = "\
Examples:
  realm-ledger windows
  realm-ledger windows --at 2026-03-01T00:00:00Z --known-at 2026-03-01T00:00:00Z
  realm-ledger windows --closing-before 2026-04-01T00:00:00Z";
pub(super) const DRIFT: &str = "\
Examples:
  realm-ledger drift
  realm-ledger drift --at 2026-03-01T00:00:00Z --url http://localhost:8080

Installations stay where they are pinned when their product moves; these would be elsewhere if they were new.";
pub(super) const SPLIT_BRAIN: &str = "\
Examples:
  realm-ledger split-brain
  realm-ledger split-brain --known-at 2026-03-01T00:00:00Z

Where data rests is known from data-located events. `reconcile` compares with a list of your own.";
pub(super) const ANOMALIES: &str = "\
Examples:
  realm-ledger anomalies
  realm-ledger anomalies --at 2026-03-01T00:00:00Z --format json";
pub(super) const MIGRATIONS: &str = "\
Examples:
  realm-ledger migrations
  realm-ledger migrations --overdue --url http://localhost:8080

A migration is due by its end time, else 24 hours after its phase began. The platform may never send a commit or a
rollback (an app that is down gets none), so look up at Atlassian what became of one that is overdue.";
pub(super) const COMPLETIONS: &str = "\
Examples:
  realm-ledger completions bash > /usr/share/bash-completion/completions/realm-ledger
  realm-ledger completions zsh > ~/.zfunc/_realm-ledger
  realm-ledger completions fish > ~/.config/fish/completions/realm-ledger.fish";
pub(super) const CONFIG_SHOW: &str = "\
Examples:
  realm-ledger config show
  REALM_LEDGER_KAFKA__BROKERS=kafka:9092 realm-ledger config show --config realm-ledger.toml";
pub(super) const CONFIG_CHECK: &str = "\
Example:
  realm-ledger config check --config /etc/realm-ledger.toml && systemctl restart realm-ledger";
pub(super) const TOPICS_CHECK: &str = "\
Example:
  realm-ledger topics check --brokers kafka:9092";
pub(super) const TOPICS_CREATE: &str = "\
Example:
  realm-ledger topics create --brokers kafka:9092 --partitions 12 --replication-factor 3";
pub(super) const QUARANTINE_LIST: &str = "\
Examples:
  realm-ledger quarantine list
  realm-ledger quarantine list --url http://localhost:8080 --format json";
pub(super) const QUARANTINE_SHOW: &str = "\
Example:
  realm-ledger quarantine show realm.lifecycle/3/17";
pub(super) const QUARANTINE_RETRY: &str = "\
Examples:
  realm-ledger quarantine retry realm.lifecycle/3/17 --brokers kafka:9092

The event is read again as it was kept, and takes the way of any other: for a ledger that Kafka feeds it is
sent to the lifecycle topic, so that every copy of the ledger gets it; for one that was only imported it is
recorded from a source called retry:ITEM. The refused record stays. What is still no event is not sent; what
is refused again is not recorded (exit code 1), and can be retried later.
What was kept as a digest only has no body to retry: correct it at its source, and `publish` or `import` it.";
