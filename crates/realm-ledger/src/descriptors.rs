//! File descriptors: what the process may open, and how they are divided.
//!
//! | for | how many |
//! | --- | --- |
//! | the process, Kafka's clients | [`BESIDE`] |
//! | each partition | `store.open_files_per_shard` and [`DESCRIPTORS_BESIDE_TABLES`] |
//! | HTTP | `http.connections` |
//!
//! The soft limit, 1,024 on most systems, is raised to the hard one. Where that is not enough for all, HTTP gets a
//! quarter at most and the partitions share the rest, so that connections never take what a shard needs to go on.

use ledger_store::{DESCRIPTORS_BESIDE_TABLES, DataDir, OPEN_FILES_LEAST};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::Failure;
use crate::config::Config;

/// Standard streams, sockets to the brokers of some clients, files that are open for a moment.
const BESIDE: u32 = 256;

/// What Linux lets a process open that has no limit (`fs.nr_open`).
const UNLIMITED: u64 = 1 << 20;

/// The limit of the process does not do.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process may open {granted} files and needs {needed}: {BESIDE} for itself and Kafka, {} for each of \
     {partitions} partitions, {connections} for HTTP",
    DESCRIPTORS_BESIDE_TABLES + OPEN_FILES_LEAST
)]
struct TooFewDescriptors {
    granted: u32,
    needed: u32,
    partitions: u32,
    connections: u32,
}

/// How the descriptors of a server are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Division {
    connections: usize,
    /// Of all shards together.
    shards: u32,
}

/// Raises the soft limit as far as the system lets it; returns what the process may open then.
pub(crate) fn raise() -> u32 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = maximum.or(Some(UNLIMITED));
    let granted = match setrlimit(Resource::Nofile, Rlimit { current: most, maximum }) {
        Ok(()) => most,
        Err(_) => current,
    };
    granted.and_then(|granted| u32::try_from(granted).ok()).unwrap_or(u32::MAX)
}

/// The configuration of a server that opens no more than it may.
pub(crate) fn fit(config: &Config) -> Result<Config, Failure> {
    let partitions = DataDir::partitions_at(&config.data_dir)?;
    let division = divide(raise(), config, partitions).map_err(|error| {
        Failure::from(error).hint(
            "raise the hard limit: LimitNOFILE= of the systemd unit, --ulimit nofile= of the container, or ulimit -Hn",
        )
    })?;
    let mut config = config.clone();
    config.http.options.connections = division.connections;
    config.store.descriptors = Some(division.shards);
    Ok(config)
}

/// Divides what the process may open. `partitions` are those that are known; more may be learnt from Kafka later.
fn divide(granted: u32, config: &Config, partitions: usize) -> Result<Division, TooFewDescriptors> {
    let partitions = u32::try_from(partitions.max(1)).unwrap_or(u32::MAX);
    let wanted = u32::try_from(config.http.options.connections).unwrap_or(u32::MAX);
    let of_shards = |each: u32| partitions.saturating_mul(each.saturating_add(DESCRIPTORS_BESIDE_TABLES));
    let left = granted.saturating_sub(BESIDE);
    let is_enough = left.saturating_sub(wanted) >= of_shards(config.store.open_files_per_shard);
    let connections = if is_enough { wanted } else { wanted.min(granted / 4) };
    let shards = left.saturating_sub(connections);
    if shards < of_shards(OPEN_FILES_LEAST) {
        let needed = least(BESIDE.saturating_add(of_shards(OPEN_FILES_LEAST)), wanted);
        let connections = wanted.min(needed / 4);
        return Err(TooFewDescriptors { granted, needed, partitions, connections });
    }
    if is_enough {
        info!(granted, connections, shards, "open files");
    } else {
        warn!(
            granted,
            connections,
            shards,
            "the process may open few files: HTTP takes fewer connections, and shards keep fewer files open, than is \
             configured; raise the hard limit (LimitNOFILE=, ulimit -Hn)"
        );
    }
    Ok(Division { connections: connections as usize, shards })
}

/// The smallest limit that leaves so many beside what HTTP gets of it: a quarter, or what it wants.
fn least(beside: u32, wanted: u32) -> u32 {
    let with_a_quarter = u64::from(beside.saturating_sub(1)) * 4 / 3 + 1;
    u32::try_from(with_a_quarter).unwrap_or(u32::MAX).min(beside.saturating_add(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(granted: u32, partitions: usize) -> Result<(usize, u32), String> {
        let divided = divide(granted, &Config::default(), partitions);
        divided.map(|of| (of.connections, of.shards)).map_err(|error| error.to_string())
    }

    #[test]
    fn http_gets_what_is_configured_or_a_quarter_and_the_shards_the_rest() {
        assert_eq!(divided(65_536, 12), Ok((1024, 65_536 - 256 - 1024)));
        assert_eq!(divided(u32::MAX, 12), Ok((1024, u32::MAX - 256 - 1024)));
        assert_eq!(divided(1024, 1), Ok((256, 512)));
        assert_eq!(divided(1024, 6), Ok((256, 512)));
        let refused = divided(1024, 7).unwrap_err();
        assert!(refused.contains("1024 files and needs 1087"), "{refused}");
        assert!(refused.contains("80 for each of 7 partitions, 271 for HTTP"), "{refused}");
    }

    #[test]
    fn what_is_said_to_be_needed_is_enough_and_no_more_than_enough() {
        let mut config = Config::default();
        for connections in [0, 1, 100, 1024] {
            config.http.options.connections = connections;
            for partitions in [1, 2, 3, 7, 64] {
                let needed = divide(0, &config, partitions).unwrap_err().needed;
                assert!(divide(needed, &config, partitions).is_ok(), "{connections}, {partitions}: {needed}");
                assert!(
                    divide(needed - 1, &config, partitions).is_err(),
                    "{connections}, {partitions}: {needed}"
                );
            }
        }
    }
}
