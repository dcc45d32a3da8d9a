//! Where seals go. The data alone decides, so every replica puts them in the same places.
//!
//! A seal is placed
//! - at a tick;
//! - before the first record whose recorded time falls in a later UTC minute than that of the last one;
//! - after [`LEAVES`] leaves without a seal.
//!
//! Only where something is unsealed: there are no empty seals. An import seals at its end, as at a tick.

use ledger_core::time::Timestamp;

/// So many leaves make a seal due.
pub const LEAVES: u64 = 4096;

const MINUTE_MS: i64 = 60_000;

/// How far the log is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealPlacement {
    unsealed: u64,
    last: Option<Timestamp>,
}

impl SealPlacement {
    /// Goes on with a log that has so many leaves after its last seal, the last recorded at that time.
    #[must_use]
    pub const fn resume(unsealed: u64, last: Option<Timestamp>) -> Self {
        Self { unsealed, last }
    }

    /// Whether a seal goes in before a record of that recorded time.
    #[must_use]
    pub fn is_due_before(&self, recorded: Timestamp) -> bool {
        let is_later = |last| minute(recorded) > minute(last);
        self.unsealed > 0 && self.last.is_some_and(is_later)
    }

    /// Takes in a record. Whether a seal goes in after it.
    pub fn record(&mut self, recorded: Timestamp) -> bool {
        self.unsealed += 1;
        self.last = Some(recorded);
        self.unsealed >= LEAVES
    }

    /// Whether a seal goes in at a tick, or at the end of an import.
    #[must_use]
    pub const fn is_due_at_tick(&self) -> bool {
        self.unsealed > 0
    }

    /// Takes in a seal.
    pub const fn sealed(&mut self) {
        self.unsealed = 0;
    }

    /// When the last record was recorded.
    #[must_use]
    pub const fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// How many leaves are not sealed.
    #[must_use]
    pub const fn unsealed(&self) -> u64 {
        self.unsealed
    }
}

const fn minute(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn nothing_unsealed_is_never_sealed() {
        let mut placement = SealPlacement::default();
        assert!(!placement.is_due_at_tick() && !placement.is_due_before(at(i64::MAX)));
        assert!(!placement.record(at(0)));
        assert!(placement.is_due_at_tick());
        placement.sealed();
        assert!(!placement.is_due_at_tick() && !placement.is_due_before(at(MINUTE_MS)));
    }

    #[test]
    fn a_later_minute_seals_the_one_before() {
        let mut placement = SealPlacement::default();
        placement.record(at(59_999));
        assert!(!placement.is_due_before(at(59_999)));
        assert!(placement.is_due_before(at(60_000)));
        // Before the epoch too, minutes begin where they begin.
        let placement = SealPlacement::resume(1, Some(at(-1)));
        assert!(placement.is_due_before(at(0)) && !placement.is_due_before(at(-1)));
    }

    #[test]
    fn so_many_leaves_make_a_seal_due() {
        let mut placement = SealPlacement::default();
        let due: Vec<u64> = (1..=2 * LEAVES)
            .filter(|_| {
                let due = placement.record(at(0));
                if due {
                    placement.sealed();
                }
                due
            })
            .collect();
        assert_eq!(due, [LEAVES, 2 * LEAVES]);
        assert_eq!(placement.unsealed(), 0);
    }

    #[test]
    fn a_log_that_goes_on_is_sealed_where_it_would_have_been() {
        let mut through = SealPlacement::default();
        for number in 0..5000 {
            let recorded = at(number * 7);
            let mut resumed = SealPlacement::resume(through.unsealed, through.last);
            assert_eq!(resumed.is_due_before(recorded), through.is_due_before(recorded));
            assert_eq!(resumed.record(recorded), through.record(recorded));
            if through.unsealed() >= LEAVES {
                through.sealed();
            }
        }
    }
}
