//! Every bound of the gateway, in one place. Units stand last in the names.

use std::time::Duration;

/// Longest body of a hook: the longest message that the ledger takes.
pub(crate) const HOOK_MAX_BYTES: usize = 1024 * 1024;

/// Longest event of a journal: a message has its headers and the frame of its batch beside it, within 1 MiB.
pub const EVENT_MAX_BYTES: usize = 1024 * 1024 - 64 * 1024;

/// Longest answer of an app.
pub(crate) const ANSWER_MAX_BYTES: u64 = 1024 * 1024;

/// Bodies of hooks that are open at a time, all together, by what has arrived of them: beyond them the answer is 503.
pub(crate) const OPEN_BODIES_BYTES: usize = 64 * 1024 * 1024;

/// So much of a body of what is always forwarded is read whatever else is open.
pub(crate) const ALWAYS_READ_BYTES: usize = 16 * 1024;

/// Hooks that are answered at a time. Each that is forwarded takes a thread.
pub(crate) const HOOKS_AT_A_TIME: usize = 512;

/// Of those, places that only what is always forwarded takes.
pub(crate) const HOOKS_ALWAYS_FORWARDED_AT_A_TIME: usize = 32;

/// Connections to the listener of hooks.
pub(crate) const CONNECTIONS_MAX: usize = 1024;

/// How long an app may take to answer: as long as Forge waits for a remote at most.
pub(crate) const FORWARD_TIMEOUT: Duration = Duration::from_secs(25);

/// How long a connection to the app may take.
pub(crate) const FORWARD_CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// A connection to the app that was idle for so long is not used again: Node closes them after 5 s.
pub(crate) const FORWARD_IDLE: Duration = Duration::from_secs(2);

/// How far the clock of a signer may be off.
pub(crate) const LEEWAY: Duration = Duration::from_secs(5);

/// How long the id of a token is remembered.
pub(crate) const REPLAY_MEMORY: Duration = Duration::from_mins(2);

/// Ids of tokens that are remembered: far more than come in that time.
pub(crate) const TOKEN_IDS_MAX: usize = 200_000;

/// Longest id of a token or of a key.
pub(crate) const ID_MAX_BYTES: usize = 200;

/// Keys that signed installs, kept by their id.
pub(crate) const INSTALL_KEYS_MAX: usize = 64;

/// Longest key of a key server.
pub(crate) const INSTALL_KEY_MAX_BYTES: u64 = 16 * 1024;

/// How long a key server may take.
pub(crate) const KEY_TIMEOUT: Duration = Duration::from_secs(3);

/// Keys that are asked for in a minute, and at a time: whoever makes key ids up must not make us ask for each.
pub(crate) const KEY_REQUESTS_A_MINUTE: usize = 300;
pub(crate) const KEY_REQUESTS_AT_A_TIME: usize = 8;

/// How long an id that no server knows is not asked for again, and how many of them are remembered.
pub(crate) const UNKNOWN_KEY_MEMORY: Duration = Duration::from_mins(1);
pub(crate) const UNKNOWN_KEYS_MAX: usize = 1_000;

/// Labels of isolated clouds whose keys are kept.
pub(crate) const ISOLATED_CLOUDS_MAX: usize = 16;

/// Installations whose traffic is remembered.
pub(crate) const SIGHTINGS_MAX: usize = 200_000;

/// How long the ledger may take to tell which installations have an id.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it is left alone after each time that it could not.
pub(crate) const LOOKUP_RESTS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::ZERO];

/// Installations that wait for it meanwhile.
pub(crate) const LOOKUPS_WAITING_MAX: usize = 1_000;

/// Questions of this kind that are asked at a time.
pub(crate) const LOOKUPS_AT_A_TIME: usize = 8;

/// A segment of the journal that has so many bytes is followed by a new one.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// So is one that is as old: what is kept for some days must end some day, however little comes.
pub(crate) const SEGMENT_AGE: Duration = Duration::from_hours(24);

/// How often it is tried to go on with a journal that could not be written.
pub(crate) const REOPEN_INTERVAL: Duration = Duration::from_secs(5);

/// Lines that wait for the writer thread; more senders wait for a place.
pub(crate) const QUEUED_LINES: usize = 4_096;

/// Bytes of those lines.
pub(crate) const QUEUED_BYTES: u32 = 32 * 1024 * 1024;

/// Bytes of one group commit, but for its last line.
pub(crate) const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// The longest line that is read: an event has at most 1 MiB, and its line little more.
pub(crate) const LINE_BYTES: u64 = 8 * 1024 * 1024;

/// Lines that no topic takes, all together: beyond them the journal waits for someone to look at them.
pub(crate) const UNPUBLISHED_BYTES: u64 = 64 * 1024 * 1024;

/// Lines that a reader takes before it notes how far it came.
pub(crate) const LINES_AT_ONCE: usize = 1_000;
