//! Pass 1: every stream of the log, chunks of tenants on as many threads as there are cores.
//!
//! The rows of the tenants say where a chunk of the log begins and ends, and are compared on the way. What the
//! second pass needs of a record goes into the [`Table`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{LedgerSecret, stream_id};
use ledger_record::record::{PriorLog, Stream};
use ledger_record::rows::AppRow;

use crate::check::verify::offsets::Sources;
use crate::check::verify::tenants::{TenantLog, TenantResult, TenantVerifier};
use crate::check::verify::{ShardFault, VerifyError, joined};
use crate::db::database::damaged;
use crate::db::decode;
use crate::db::options::VERIFY_TENANTS_AT_A_TIME;
use crate::db::scan::{Scan, everything};
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// What the streams say, of which no row of another stream is proof.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) tenants: u64,
    pub(super) refused: u64,
    pub(super) ahead_ms: u64,
    /// Recorded time of the last event.
    pub(super) recorded: Option<Timestamp>,
    pub(super) corrections: u64,
    /// The logs that this one takes the place of.
    pub(super) predecessors: Vec<PriorLog>,
    /// The rows of the apps as they follow from their records and the tenants.
    pub(super) apps: BTreeMap<AppKey, AppRow>,
    /// For each app-level event, by position: event time of the last event of its app's tenants before it.
    pub(super) latest: BTreeMap<u64, Timestamp>,
    /// The first thing that is wrong, and the number of its stream.
    fault: Option<(u32, ShardFault)>,
}

/// Tenants that stand together in the log.
struct TenantChunk {
    /// Number of the first tenant's stream.
    first: u32,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys of their records.
    records: Range<Vec<u8>>,
}

/// Where the next chunk begins.
struct TenantChunks<'a> {
    rows: Scan<'a>,
    /// Number of the next tenant's stream.
    next: u32,
    /// Key of the first record of the next chunk; none at the end.
    start: Option<Vec<u8>>,
    /// The row that was read to know where the last chunk ends.
    ahead: Option<(Vec<u8>, Vec<u8>)>,
}

pub(super) struct TenantSweep<'s, 'a> {
    verifier: TenantVerifier<'s, 'a>,
    chunks: Mutex<TenantChunks<'a>>,
    table: Mutex<Table>,
    found: Mutex<Totals>,
    done: &'s AtomicU64,
}

/// Walks over all streams, and fills the table.
pub(super) fn sweep(
    snapshot: &Snapshot<'_>,
    secret: &LedgerSecret,
    sources: &Sources,
    mut table: Table,
    done: &AtomicU64,
) -> Result<(Table, Totals), VerifyError> {
    let mut found = Totals::default();
    let verifier = TenantVerifier::new(snapshot, sources)?;
    let next = verifier.others(secret, &mut table, &mut found)?;
    let rows = snapshot.database.scan(Family::Tenants, everything(), snapshot.sweeping());
    let rows = rows.map_err(ReadError::from)?;
    let chunks = TenantChunks { rows, next, start: Some(decode::all_tenants().start), ahead: None };
    let sweep = TenantSweep {
        verifier,
        chunks: Mutex::new(chunks),
        table: Mutex::new(table),
        found: Mutex::new(found),
        done,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| sweep.work(TenantResult::new(secret)))).collect();
        workers.into_iter().map(joined).collect::<Result<Vec<()>, _>>()
    })?;
    let apps = sweep.verifier.apps(&lock(&sweep.found));
    let mut found = sweep.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    match apps {
        // Told once the log itself was found true, as what is wrong with a tenant.
        Err(VerifyError::Differs(fault)) => found.note(0, fault),
        apps => apps?,
    }
    Ok((sweep.table.into_inner().unwrap_or_else(PoisonError::into_inner), found))
}

impl Totals {
    /// Notes what is wrong with a stream; the one with the lowest number is told.
    pub(super) fn note(&mut self, stream: u32, fault: ShardFault) {
        if self.fault.as_ref().is_none_or(|(first, _)| stream < *first) {
            self.fault = Some((stream, fault));
        }
    }

    pub(super) fn fault(&mut self) -> Option<ShardFault> {
        self.fault.take().map(|(_, fault)| fault)
    }

    fn add(&mut self, stream: u32, result: &mut TenantResult) {
        self.tenants += 1;
        self.corrections += result.corrections;
        self.ahead_ms = self.ahead_ms.max(result.ahead_ms);
        self.recorded = self.recorded.max(result.recorded);
        for (app, latest) in result.apps.drain(..) {
            let row = self.apps.entry(app).or_default();
            row.installations += 1;
            row.latest = row.latest.max(latest);
        }
        for (position, latest) in result.latest.drain(..) {
            let known = self.latest.entry(position).or_insert(latest);
            *known = (*known).max(latest);
        }
        if let Some(fault) = result.fault.take() {
            self.note(stream, fault);
        }
    }
}

impl TenantSweep<'_, '_> {
    fn work(&self, mut result: TenantResult) -> Result<(), VerifyError> {
        loop {
            let chunk = lock(&self.chunks).next()?;
            let Some(chunk) = chunk else { return Ok(()) };
            self.chunk(&chunk, &mut result)?;
        }
    }

    fn chunk(&self, chunk: &TenantChunk, result: &mut TenantResult) -> Result<(), VerifyError> {
        let snapshot = self.verifier.snapshot;
        let mut scan = snapshot
            .database
            .scan(Family::Log, chunk.records.clone(), snapshot.sweeping())
            .map_err(ReadError::from)?;
        let mut rows = (chunk.first..).zip(&chunk.rows);
        let mut prefix = Vec::new();
        let mut stream = Stream::Rejected;
        let mut records = TenantLog::default();
        while let Some((key, value)) = scan.step().map_err(ReadError::from)? {
            if records.stream().is_none() || !is_of(key, &prefix) {
                self.tenant(&records, &mut rows, result)?;
                records.clear();
                stream = decode::log_key(key)?.stream;
                prefix = key::log::stream_prefix(&stream);
            }
            records.push(&stream, key, value)?;
        }
        self.tenant(&records, &mut rows, result)?;
        match rows.next() {
            None => Ok(()),
            Some((_, (client, _))) => Err(without_records(client)),
        }
    }

    /// Judges a tenant, whose row must be the next one.
    fn tenant<'r>(
        &self,
        records: &TenantLog,
        rows: &mut impl Iterator<Item = (u32, &'r (Vec<u8>, Vec<u8>))>,
        result: &mut TenantResult,
    ) -> Result<(), VerifyError> {
        let Some(stream @ Stream::Tenant(client)) = records.stream() else { return Ok(()) };
        let Some((number, (of, row))) = rows.next() else {
            return Err(ShardFault::State(client.clone()).into());
        };
        match of.as_slice().cmp(client.as_bytes()) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Less => return Err(without_records(of)),
            std::cmp::Ordering::Greater => return Err(ShardFault::State(client.clone()).into()),
        }
        let stream = NamedStream::new(stream);
        self.verifier.tenant(client, stream.id, records, row, result)?;
        {
            let mut table = lock(&self.table);
            table.name(number, stream);
            put_all(&mut table, number, result)?;
        }
        lock(&self.found).add(number, result);
        self.done.fetch_add(records.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Puts the records of a stream in their places: no two may share one.
pub(super) fn put_all(table: &mut Table, stream: u32, result: &mut TenantResult) -> Result<(), ReadError> {
    for (position, slot) in result.slots.drain(..) {
        if !table.put(position, Slot { stream, ..slot }) {
            return Err(damaged(Family::Positions, &key::position(position), Damage::Misplaced).into());
        }
    }
    Ok(())
}

/// Whether a key of the log is of the stream whose keys begin so.
fn is_of(key: &[u8], prefix: &[u8]) -> bool {
    key.len() == prefix.len() + 8 && key.starts_with(prefix)
}

fn without_records(client: &[u8]) -> VerifyError {
    match key::parse_tenant(client) {
        Ok(client) => ShardFault::State(client).into(),
        Err(error) => ReadError::from(damaged(Family::Tenants, client, error)).into(),
    }
}

impl TenantChunks<'_> {
    fn next(&mut self) -> Result<Option<TenantChunk>, ReadError> {
        let Some(start) = self.start.take() else { return Ok(None) };
        let first = self.next;
        let mut rows: Vec<_> = self.ahead.take().into_iter().collect();
        let mut end = None;
        while let Some((key, row)) = self.rows.step()? {
            let row = (key.to_vec(), row.to_vec());
            if rows.len() == VERIFY_TENANTS_AT_A_TIME {
                let client = key::parse_tenant(&row.0);
                let client: ClientKey = client.map_err(|error| damaged(Family::Tenants, &row.0, error))?;
                end = Some(key::log::stream_prefix(&Stream::Tenant(client)));
                self.ahead = Some(row);
                break;
            }
            rows.push(row);
        }
        self.next += u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.start.clone_from(&end);
        let end = end.unwrap_or_else(|| decode::all_tenants().end);
        Ok(Some(TenantChunk { first, rows, records: start..end }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is remembered of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Number of its stream.
    pub(super) stream: u32,
    /// Number of its source.
    pub(super) source: u16,
    /// Its leaf as it follows from the records.
    pub(super) leaf: LeafRow,
    pub(super) recorded: Timestamp,
    pub(super) offset: u64,
}

/// What the streams hold of the records of a range of positions: what the second pass compares and builds on.
#[derive(Debug)]
pub(super) struct Table {
    /// How many positions there are in all.
    size: u64,
    window: Range<u64>,
    /// Pieces of [`PIECE`] slots.
    slots: Vec<Vec<Option<Slot>>>,
    /// By number.
    streams: Vec<NamedStream>,
}

/// A stream that has a number.
#[derive(Debug, Clone, Default)]
pub(super) struct NamedStream {
    pub(super) id: Hash,
    /// What the keys of its records begin with.
    prefix: Box<[u8]>,
}

impl NamedStream {
    pub(super) fn new(stream: &Stream) -> Self {
        Self { id: stream_id(stream), prefix: key::log::stream_prefix(stream).into() }
    }

    pub(super) fn kind(&self) -> Option<u8> {
        self.prefix.first().copied()
    }

    /// Whether a key of the log is that of the stream's record with a seq.
    pub(super) fn is_record(&self, key: &[u8], seq: u64) -> bool {
        key.split_last_chunk() == Some((&*self.prefix, &seq.to_be_bytes()))
    }
}

/// To get so much memory from the system takes a while: pieces are made side by side.
const PIECE: usize = 1 << if cfg!(test) { 7 } else { 20 };

impl Table {
    pub(super) fn new(size: u64, window: Range<u64>) -> Self {
        let length = usize::try_from(window.end.saturating_sub(window.start)).unwrap_or(usize::MAX);
        let slots = thread::scope(|scope| {
            let pieces = (0..length).step_by(PIECE).map(|from| PIECE.min(length - from));
            let made: Vec<_> = pieces.map(|length| scope.spawn(move || vec![None; length])).collect();
            made.into_iter().map(joined).collect()
        });
        Self { size, window, slots, streams: Vec::new() }
    }

    pub(super) const fn window(&self) -> &Range<u64> {
        &self.window
    }

    /// Gives a stream its number.
    pub(super) fn name(&mut self, number: u32, stream: NamedStream) {
        let at = number as usize;
        if at >= self.streams.len() {
            self.streams.resize(at + 1, NamedStream::default());
        }
        self.streams[at] = stream;
    }

    /// The stream of a record that is here.
    pub(super) fn stream(&self, number: u32) -> &NamedStream {
        &self.streams[number as usize]
    }

    /// Puts a record in its place, if it is within the range; whether there is such a place, and it was free.
    pub(super) fn put(&mut self, position: u64, slot: Slot) -> bool {
        if !self.window.contains(&position) {
            return position < self.size;
        }
        let place = self.place(position).and_then(|(piece, at)| self.slots.get_mut(piece)?.get_mut(at));
        place.is_some_and(|place| place.replace(slot).is_none())
    }

    pub(super) fn get(&self, position: u64) -> Option<Slot> {
        let (piece, at) = self.place(position)?;
        *self.slots.get(piece)?.get(at)?
    }

    /// Piece, and place in it.
    fn place(&self, position: u64) -> Option<(usize, usize)> {
        let at = usize::try_from(position.checked_sub(self.window.start)?).ok()?;
        Some((at / PIECE, at % PIECE))
    }
}
