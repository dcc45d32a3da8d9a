//! What a store can fail by.

use std::path::PathBuf;

/// A request to a store did not do what it was to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The text names no place.
    #[error("{place} is no place in a store: {why}")]
    Place {
        /// As it was given.
        place: String,
        /// Why.
        why: String,
    },
    /// A variable that has to be set.
    #[error("{0} is not set; it has the credentials for the store")]
    NoCredentials(&'static str),
    /// The store does not answer.
    #[error("{store} cannot be reached for {object}")]
    Unreachable {
        /// Where.
        store: String,
        /// What for.
        object: String,
        /// Why; no URL is in it.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The store refuses.
    #[error("{store} answers {status} {code} for {object}")]
    Refused {
        /// Where.
        store: String,
        /// What for.
        object: String,
        /// The status over HTTP.
        status: u16,
        /// The code of the store.
        code: String,
    },
    /// What was answered is no list.
    #[error("{store} answers a list of objects that does not read: {why}")]
    List {
        /// Where.
        store: String,
        /// Why.
        why: String,
    },
    /// A file here.
    #[error("{path} could not be read or written", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A generation does not read.
    #[error("{generation} does not read as a generation")]
    Generation {
        /// Where.
        generation: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is none, or not this one.
    #[error("{store} has {what}")]
    NoGeneration {
        /// Where.
        store: String,
        /// What is there instead.
        what: String,
    },
    /// The store has backups of another ledger, or another backup of this number.
    #[error(
        "{store} has {what} of another ledger, or of another directory for backups; copy to a prefix of its own"
    )]
    Other {
        /// Where.
        store: String,
        /// What.
        what: String,
    },
}
