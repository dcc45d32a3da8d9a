//! What is wrong with a configuration: every fault at once, each with its place.

use std::fmt;
use std::path::PathBuf;

use super::Origin;

/// One fault.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path} could not be read: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path}:{line}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting {key}{}", Suggestion(suggestion.as_deref()))]
    UnknownKey {
        /// Where it was given.
        origin: Origin,
        /// What was given.
        key: String,
        /// What was meant, perhaps.
        suggestion: Option<String>,
    },
    /// The value is none that the setting takes.
    #[error("{origin}: {key} is to be {expected}")]
    Invalid {
        /// Where it was given.
        origin: Origin,
        /// Which setting.
        key: String,
        /// What it takes.
        expected: &'static str,
    },
    /// What the Kafka client or the ledger does not allow.
    #[error("{origin}: {key}: {reason}")]
    Refused {
        /// Where it was given.
        origin: Origin,
        /// Which setting.
        key: String,
        /// Why.
        reason: ledger_ingest::kafka::OptionsError,
    },
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => f.write_str("; `realm-ledger config show` lists them all"),
        }
    }
}

/// All faults of a configuration; at least one.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration cannot be used: {one}"),
            many => {
                write!(f, "the configuration cannot be used, for {} reasons", many.len())?;
                many.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}
