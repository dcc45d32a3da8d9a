//! The grammar of the audit trail, and of what makes the ledger compare itself with its log.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::proof::note::VerifierKey;
use ledger_store::Partitioner;

use super::Place;
use super::parse::{self, unicode_path};

/// `prove`
#[derive(Debug, Args)]
pub struct Prove {
    /// The tenant
    #[arg(value_parser = parse::client_key)]
    pub client_key: ClientKey,
    /// Show what records of this app say, and of no other
    #[arg(long, value_name = "APP_KEY", value_parser = parse::app_key)]
    pub app: Option<AppKey>,
    /// Size of a checkpoint that the reader keeps: the bundle goes on from there
    #[arg(long, value_name = "SIZE")]
    pub pinned: Option<u64>,
    /// Partition whose log is asked [default: the one that has the tenant]
    #[arg(long, value_name = "N")]
    pub partition: Option<u32>,
    /// Topic of that partition, where several have it
    #[arg(long, value_name = "TOPIC", requires = "partition")]
    pub topic: Option<String>,
    /// Where the bundle is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `export`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("form").args(["tlog", "ndjson"]).required(true))]
pub struct Export {
    /// Every log as C2SP tiles, each in TOPIC/PARTITION of this directory
    #[arg(long, value_name = "DIR")]
    pub tlog: Option<PathBuf>,
    /// Every record as JSON, one a line, on standard output
    #[arg(long)]
    pub ndjson: bool,
    /// Where the ledger is kept (data_dir)
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["data_dir", "bundle", "tlog"]))]
pub struct Verify {
    /// Everything in this data directory [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// A bundle, as `prove` writes it; - is standard input
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// A whole log, as `export --tlog` writes it
    #[arg(long, value_name = "DIR")]
    pub tlog: Option<PathBuf>,
    /// The ledger's verifier key, NAME+ID+BASE64; again for each key that is trusted
    #[arg(long = "key", value_name = "VKEY", value_parser = VerifierKey::parse)]
    pub keys: Vec<VerifierKey>,
    /// A signed checkpoint that you kept: the log must go on from it
    #[arg(long, value_name = "FILE")]
    pub pinned: Option<PathBuf>,
    /// Whose history you asked for: a bundle of anyone else is refused
    #[arg(long, value_name = "CLIENT_KEY", value_parser = parse::client_key)]
    #[arg(requires = "bundle", conflicts_with_all = ["tlog", "data_dir"])]
    pub client: Option<ClientKey>,
}

/// `rebuild`
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Where the ledger is kept (data_dir); no server may run on it
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Only compare: what differs is left as it is
    #[arg(long)]
    pub check: bool,
}

/// `refill`
#[derive(Debug, Args)]
pub struct Refill {
    /// The old data directory; no server may run on it, and nothing in it is changed
    #[arg(long, value_name = "OLD", value_parser = unicode_path())]
    pub from: PathBuf,
    /// The new one, empty or not there yet (data_dir)
    #[arg(long, value_name = "NEW", value_parser = unicode_path())]
    pub data_dir: PathBuf,
    /// How the live producers place keys: murmur2, crc32 or fnv1a [default: as the old records from Kafka show]
    #[arg(long, value_name = "NAME", value_parser = parse::partitioner)]
    pub partitioner: Option<Partitioner>,
    /// What the new logs are named, in place of evidence.origin [default: as the old ones, and ~2]
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,
}

pub(super) const REFILL: &str = "\
Examples:
  realm-ledger refill --from /var/lib/realm-ledger --data-dir /var/lib/realm-ledger-2
  realm-ledger refill --from ledger --data-dir ledger-2 --partitioner crc32

The way back when tenants are torn between partitions, or when producers change their partitioner.
Stop the server of OLD first. The command verifies OLD, then carries its records over: each keeps
its recorded time and coordinates; states and decisions are derived again. NEW is verified too.
`serve --data-dir NEW` reads the topic on from the offsets of OLD. After an interrupted refill no
command opens NEW; the same refill starts over. --partitioner is needed where too few records came
from Kafka to tell how keys are placed, or a key that another partitioner placed halts a shard.

The new logs have another origin. Their first records name the old logs with size and root, and
`verify` shows them. Keep OLD, or its `export --tlog`, for partners with checkpoints of it. The
keys are copied to NEW.keys, unless evidence.keys_dir is set; give partners the new verifier keys
(`keys show`). Seals and signatures are not carried over. Published decisions are not published
again, also those of torn tenants, which came from half a history.";

pub(super) const PROVE: &str = "\
Examples:
  realm-ledger prove acme.atlassian.net -o acme.bundle
  realm-ledger prove acme.atlassian.net --app com.example.app --pinned 4097 -o acme.bundle
  realm-ledger prove acme.atlassian.net --url http://localhost:8080 -o acme.bundle

The bundle is as of the last seal, whose signature is waited for; the same checkpoint gives the same bytes. As of
an older checkpoint there is none: with --pinned it shows that the log goes on from that one. A server hands out
bundles of up to 16 MiB, some 10,000 records; a data directory gives them of any length. FILE appears whole.
Whoever has it checks it with `verify --bundle` and the verifier key (`keys show`), without this ledger. A tenant
that no partition has is absent from each: with several, name the one that it would be in. A data directory
needs the ledger secret.";

pub(super) const EXPORT: &str = "\
Examples:
  realm-ledger export --tlog mirror
  realm-ledger export --ndjson | gzip > records.ndjson.gz

Tiles hold leaf lines and hashes up to the last signed checkpoint, and no payloads: nothing personal. Tiles
that are full never change, so a later export into the same directory adds to it. NDJSON has everything that
is recorded, as `log` and `quarantine list` show it, with topic and partition.";

pub(super) const VERIFY: &str = "\
Examples:
  realm-ledger verify --data-dir /var/lib/realm-ledger
  realm-ledger verify --bundle acme.bundle --key \"$LEDGER_KEY\" --client acme.atlassian.net
  realm-ledger verify --bundle acme.bundle --key \"$LEDGER_KEY\" --pinned checkpoint-of-last-year.txt
  realm-ledger verify --tlog mirror/realm.lifecycle/7 --key \"$LEDGER_KEY\"

A bundle or an exported log needs no ledger, no network and no trust in whoever made it, only the key: get that
elsewhere. A data directory needs the ledger secret, and is read as of one moment, also beside a server; with
--key, what was signed last of each log that a key names must be signed by it.

A valid bundle shows the whole history of the client key that it names, or that there is none, up to its
checkpoint. Its realms are those that the rules make of the records where all that they rest on is shown
(decisionsFollow), else those that the ledger wrote into the log. In a valid log every line is chained to
the one before it of its stream, all maps of heads follow from the lines, and so does the root. In a valid
data directory the log is the one that the records make and that was signed, outcomes and states follow from
the records, and each offset is accounted for.

Exit 0: valid. Exit 3: invalid; the first fact that fails is named. Exit 1: cannot be judged, as a key, the
pinned checkpoint or a newer program is needed, or a data directory has tenants that are torn between partitions.";

pub(super) const REBUILD: &str = "\
Examples:
  realm-ledger rebuild --data-dir /var/lib/realm-ledger
  realm-ledger rebuild --check --data-dir /var/lib/realm-ledger

Exit 0: not a byte differed. Exit 3: some did; the report says which. They were mended from the log, or with
--check left as they are.";
