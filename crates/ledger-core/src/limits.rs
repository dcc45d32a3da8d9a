//! Every bound of the domain, in one place. Units stand last in the names.

/// Longest client key, app key, event id or migration id.
pub const KEY_MAX_BYTES: usize = 255;

/// Longest realm key (`[A-Z][A-Z0-9-]{1,15}`).
pub const REALM_MAX_BYTES: usize = 16;

/// Largest message that is taken in; anything above is rejected as `too-large`.
pub const MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// Longest persistence window or grace that a policy may set.
pub const POLICY_MAX_DAYS: u32 = 36_500;

/// Longest persistence that a descriptor may declare (RFC-22).
pub const DESCRIPTOR_MAX_DAYS: i64 = 30;

/// Persistence when a descriptor declares it without a valid length (RFC-22).
pub const DESCRIPTOR_DEFAULT_DAYS: u32 = 7;

/// How many anomalies a state keeps; the count goes on.
pub const ANOMALIES_KEPT: usize = 64;

/// Longest text that says how it is known that one installation goes on as another.
pub const EVIDENCE_MAX_BYTES: usize = 64;

/// The earliest event time that is taken, 2010-01-01T00:00:00Z: before it there were no apps, and programs write 0001
/// or 1970 for an instant that was never set.
pub const EARLIEST_MS: i64 = 1_262_304_000_000;

/// How far an event's time may lie ahead of its recorded time.
pub const FUTURE_MAX_MS: i64 = 24 * HOUR_MS;

/// Hooks of two regions cross within this time: an implied install, an overtaken uninstall.
pub const HOOKS_CROSS_MS: i64 = 5 * 60 * 1000;

/// Stragglers from the old region are expected this long after a commit or a rollback.
pub const STRAGGLER_MS: i64 = 24 * HOUR_MS;

/// How long a phase of a migration is given that names no end.
pub const MIGRATION_PHASE_MS: i64 = 24 * HOUR_MS;

/// A hook from the target is odd so long after the migration was due.
pub const MIGRATION_GRACE_MS: i64 = 24 * HOUR_MS;

/// One hour.
pub const HOUR_MS: i64 = 60 * 60 * 1000;

/// A day is exactly 24 hours.
pub const DAY_MS: i64 = 24 * HOUR_MS;
