//! Pass 2: the log by position, out of what the streams told. The leaves ([`Leaves`]), the references, offsets and
//! seals ([`Order`]), and the map that these say it of ([`Parts`]) rest on nothing of each other, and are gone through
//! side by side.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread;

use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::log::Sealing;
use ledger_record::proof::note::Checkpoint;

use crate::check::verify::leaves::Leaves;
use crate::check::verify::map::{AHEAD, Parts};
use crate::check::verify::offsets::Accounted;
use crate::check::verify::order::Order;
use crate::check::verify::sources::Sources;
use crate::check::verify::table::Table;
use crate::check::verify::{VerifyError, joined};
use crate::read::snapshot::Snapshot;

/// The log so far.
pub(super) struct LogPass<'s, 'a> {
    leaves: Leaves<'s, 'a>,
    order: Order<'s, 'a>,
    map: Parts,
}

/// What is wrong, and where.
pub(super) struct Broken {
    pub(super) position: u64,
    pub(super) error: VerifyError,
}

impl<'s, 'a> LogPass<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
        sources: &'s Sources,
    ) -> Result<Self, VerifyError> {
        let leaves = Leaves::new(snapshot, secret, signed)?;
        Ok(Self { leaves, order: Order::new(snapshot, sources)?, map: Parts::default() })
    }

    /// Takes in the records of the table; `done` counts them.
    pub(super) fn take_in(&mut self, table: &Table, done: &AtomicU64) -> Result<(), VerifyError> {
        let Self { leaves, order, map } = self;
        let (says, said) = sync_channel(AHEAD);
        let ended = thread::scope(|scope| {
            let map = scope.spawn(move || map.follow(said));
            let leaves = scope.spawn(|| leaves.take_in(table, done));
            let order = order.take_in(table, &says);
            // The map ends when no more is said.
            drop(says);
            [joined(leaves), joined(map), order]
        });
        // What comes first in the log is told.
        let broken = ended.into_iter().filter_map(Result::err).min_by_key(|broken| broken.position);
        broken.map_or(Ok(()), |broken| Err(broken.error))
    }

    /// Closes the accounts; answers the tree, the seals, and what the accounts came to.
    pub(super) fn finish(self) -> Result<(Frontier, Sealing, Accounted), VerifyError> {
        let tree = self.leaves.finish()?;
        let (sealing, accounted) = self.order.finish()?;
        Ok((tree, sealing, accounted))
    }
}
