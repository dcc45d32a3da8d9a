//! Every bound of the gateway, in one place. Units stand last in the names.

use std::time::Duration;

/// Longest body of a hook: the longest message that the ledger takes.
pub const HOOK_MAX_BYTES: usize = 1024 * 1024;

/// Longest answer of an app.
pub const ANSWER_MAX_BYTES: u64 = 1024 * 1024;

/// Bodies of hooks that are open at a time, all together: beyond them the answer is 503. In KiB, as they are reserved.
pub const OPEN_BODIES_KIB: usize = 64 * 1024;

/// Hooks that are answered at a time. Each that is forwarded takes a thread.
pub const HOOKS_AT_A_TIME: usize = 512;

/// Connections to the listener of hooks.
pub const CONNECTIONS_MAX: usize = 1024;

/// How long an app may take to answer: as long as Forge waits for a remote at most.
pub const FORWARD_TIMEOUT: Duration = Duration::from_secs(25);

/// How long a connection to the app may take.
pub const FORWARD_CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// A connection to the app that was idle for so long is not used again: Node closes them after 5 s.
pub const FORWARD_IDLE: Duration = Duration::from_secs(2);

/// How far the clock of a signer may be off.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// How long the id of a token is remembered.
pub const REPLAY_MEMORY: Duration = Duration::from_mins(2);

/// Ids of tokens that are remembered: far more than come in that time.
pub const TOKEN_IDS_MAX: usize = 200_000;

/// Longest id of a token or of a key.
pub const ID_MAX_BYTES: usize = 200;

/// Keys that signed installs, kept by their id.
pub const INSTALL_KEYS_MAX: usize = 64;

/// Longest key of a key server.
pub const INSTALL_KEY_MAX_BYTES: u64 = 16 * 1024;

/// How long a key server may take.
pub const KEY_TIMEOUT: Duration = Duration::from_secs(3);

/// Unknown keys that are asked for in a minute: whoever makes key ids up must not make us ask for each.
pub const KEY_REQUESTS_A_MINUTE: usize = 30;

/// Labels of isolated clouds whose keys are kept.
pub const ISOLATED_CLOUDS_MAX: usize = 16;

/// Installations whose traffic is remembered.
pub const SIGHTINGS_MAX: usize = 200_000;

/// How long the ledger may take to tell which installations have an id.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Questions of this kind that wait at a time.
pub const LOOKUPS_AT_A_TIME: usize = 8;
