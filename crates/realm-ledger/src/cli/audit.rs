//! The grammar of the audit trail.

use std::path::PathBuf;

use clap::Args;
use ledger_core::ids::ClientKey;
use ledger_record::proof::note::VerifierKey;

use super::parse;

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// A bundle; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "tlog")]
    pub bundle: Option<PathBuf>,
    /// A whole log, a directory of C2SP tiles
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    pub tlog: Option<PathBuf>,
    /// The ledger's verifier key, NAME+ID+BASE64; again for each key that is trusted
    #[arg(long = "key", value_name = "VKEY", value_parser = VerifierKey::parse)]
    pub keys: Vec<VerifierKey>,
    /// A signed checkpoint that you kept: the log must go on from it
    #[arg(long, value_name = "FILE")]
    pub pinned: Option<PathBuf>,
    /// Whose history you asked for: a bundle of anyone else is refused
    #[arg(long, value_name = "CLIENT_KEY", value_parser = parse::client_key, conflicts_with = "tlog")]
    pub client: Option<ClientKey>,
}

pub(super) const VERIFY: &str = "\
Examples:
  realm-ledger verify --bundle acme.bundle --key \"$LEDGER_KEY\" --client acme.atlassian.net
  realm-ledger verify --bundle acme.bundle --key \"$LEDGER_KEY\" --pinned checkpoint-of-last-year.txt
  realm-ledger verify --tlog mirror/realm.lifecycle/7 --key \"$LEDGER_KEY\"

Needs no ledger, no network and no trust in whoever made what is checked, only the key: get that elsewhere.

A valid bundle shows the whole history of the client key that it names, or that there is none, up to its
checkpoint. Its realms are those that the rules make of the records where all that they rest on is shown
(decisionsFollow), else those that the ledger wrote into the log. In a valid log every line is chained to
the one before it of its stream, all maps of heads follow from the lines, and so does the root.

Exit 0: valid. Exit 3: invalid; the first fact that fails is named. Exit 1: cannot be judged, as a key, the
pinned checkpoint or a newer program is needed.";
