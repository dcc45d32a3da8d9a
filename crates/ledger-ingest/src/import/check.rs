//! What an import would make of a file: everything is read, nothing is written.
//!
//! Lines are judged as an import into an empty ledger judges them. What is recorded already is not looked at, so
//! conflicts with it are found by the import only.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map};

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_record::rejection::{Reason, Rejection};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::decode::{Decoded, Incoming, to_native_json};
use crate::import::refusals::{JUDGED_LINES, RefusedKind, RefusedLines, are_too_many};
use crate::import::{ImportError, decode_line, future_limit};
use crate::text::{Line, LineError};

/// Ids that are compared with later ones, and tenants that are counted: about 150 MB.
pub(super) const REMEMBERED: usize = 2_000_000;

/// Apps and realms that are named.
const NAMED: usize = 1_000;

/// Lines that are named as an example.
const LINES_NAMED: usize = 5;

/// What is in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// All lines.
    pub lines: u64,
    /// Lines without a message.
    pub blank_lines: u64,
    /// Lines that would be recorded as events.
    pub events: u64,
    /// Lines that repeat an event.
    pub repeated: u64,
    /// Lines that would be refused.
    pub refused: u64,
    /// Why.
    pub refusals: Vec<RefusedKind>,
    /// Events by type.
    pub types: BTreeMap<String, u64>,
    /// Events by app.
    pub apps: NameCounts,
    /// Events by each realm that they name.
    pub realms: NameCounts,
    /// Tenants; at least so many, if `compared` is there.
    pub tenants: u64,
    /// Events whose ids were compared with those of later ones; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<u64>,
    /// The earliest recorded time (`recordedAt`, else `time`) of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_recorded: Option<Timestamp>,
    /// The latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_recorded: Option<Timestamp>,
    /// Events whose recorded time lies before that of an event above them.
    pub times_backwards: Backwards,
    /// The last line has no line end and is not complete JSON: an import would not take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_off_line: Option<u64>,
    /// Too many of the first lines are refused: an import would stop before it records anything.
    pub import_stops: bool,
}

/// How often each name occurs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NameCounts {
    counts: BTreeMap<String, u64>,
}

impl NameCounts {
    fn add(&mut self, name: &str) {
        let is_full = self.counts.len() >= NAMED && !self.counts.contains_key(name);
        *self.counts.entry(if is_full { "others" } else { name }.to_owned()).or_default() += 1;
    }
}

/// Recorded times that go back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backwards {
    /// How many events have one.
    pub count: u64,
    /// By how much at most.
    pub most_ms: i64,
    /// The first lines.
    pub first_lines: Vec<u64>,
}

/// What a line has to keep to.
#[derive(Debug, Clone, Copy)]
pub struct LineLimits {
    /// The clock of the import.
    pub now: Timestamp,
    /// The longest event, as native JSON.
    pub event_max_bytes: usize,
}

impl LineLimits {
    /// Those of every message: how long one may be is judged by the decoder.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now, event_max_bytes: usize::MAX }
    }

    /// When a line was recorded by its own word, and its event, also as native JSON; none: a tick.
    pub(super) fn judge(&self, line: &[u8]) -> (Option<Timestamp>, Result<Option<JudgedEvent>, Rejection>) {
        let future = future_limit(self.now);
        let (recorded, decoded) = decode_line(line, future);
        let event = decoded.and_then(|decoded| match decoded {
            Decoded::Tick => Ok(None),
            Decoded::Event(Incoming { event, .. }) if future.is_before(event.time) => {
                Err(future.rejection("time"))
            }
            Decoded::Event(Incoming { event, .. }) => {
                let native = to_native_json(&event);
                if native.len() > self.event_max_bytes {
                    let detail = format!("the event is longer than {} bytes", self.event_max_bytes);
                    return Err(Rejection { reason: Reason::TooLarge, path: None, detail });
                }
                Ok(Some(JudgedEvent { event, native }))
            }
        });
        (recorded, event)
    }
}

/// An event that an import takes.
pub(super) struct JudgedEvent {
    pub(super) event: Event,
    pub(super) native: Vec<u8>,
}

/// Reads every line, as an import within these limits would.
pub fn check(
    lines: impl Iterator<Item = Result<Line, LineError>>,
    limits: LineLimits,
) -> Result<CheckReport, LineError> {
    let mut checking = Checking::new(limits);
    for line in lines {
        let line = line?;
        if line.is_cut_off() {
            checking.report.cut_off_line = Some(line.origin);
            break;
        }
        checking.look_at(&line);
    }
    Ok(checking.finish())
}

/// What an import would refuse of its first lines.
pub(super) struct FirstLines {
    checking: Checking,
    /// Lines that were taken before.
    taken: u64,
}

impl FirstLines {
    pub(super) fn new(limits: LineLimits, taken: u64) -> Self {
        Self { checking: Checking::new(limits), taken }
    }

    pub(super) fn look_at(&mut self, line: &Line) {
        if line.number > self.taken && !line.is_cut_off() {
            self.checking.look_at(line);
        }
    }

    pub(super) fn decide(self) -> Result<(), ImportError> {
        let Checking { judged: (lines, refused), refusals, .. } = self.checking;
        if are_too_many(refused, lines) {
            return Err(ImportError::TooManyRefused { lines, refusals });
        }
        Ok(())
    }
}

/// As much of a SHA-256 as makes a collision unlikely.
pub(super) type Key = [u8; 16];

struct Checking {
    report: CheckReport,
    refusals: RefusedLines,
    limits: LineLimits,
    /// Content of events by subject and id.
    ids: HashMap<Key, Key>,
    tenants: HashSet<Key>,
    /// Lines that an import judges, and how many of them are refused.
    judged: (u64, u64),
}

impl Checking {
    fn new(limits: LineLimits) -> Self {
        Self {
            limits,
            report: CheckReport::default(),
            refusals: RefusedLines::default(),
            ids: HashMap::new(),
            tenants: HashSet::new(),
            judged: (0, 0),
        }
    }

    fn look_at(&mut self, line: &Line) {
        self.report.lines = line.number;
        if line.is_blank() {
            self.report.blank_lines += 1;
            return;
        }
        let is_judged = u64::from(line.number <= JUDGED_LINES as u64);
        self.judged.0 += is_judged;
        let (recorded, judged) = self.limits.judge(&line.text);
        let taken = judged.and_then(|judged| {
            if let Some(judged) = judged {
                return self.take(&judged, recorded, line.origin);
            }
            *self.report.types.entry("tick".to_owned()).or_default() += 1;
            Ok(())
        });
        if let Err(rejection) = taken {
            self.judged.1 += is_judged;
            self.refusals.add(line.origin, &rejection);
        }
    }

    fn take(
        &mut self,
        JudgedEvent { event, native }: &JudgedEvent,
        recorded: Option<Timestamp>,
        line: u64,
    ) -> Result<(), Rejection> {
        if self.is_repeat(event, native)? {
            self.report.repeated += 1;
            return Ok(());
        }
        self.report.events += 1;
        *self.report.types.entry(event.type_name().to_owned()).or_default() += 1;
        if let Some(app) = event.app() {
            self.report.apps.add(app.as_str());
        }
        if let Some(client) = event.client()
            && self.tenants.len() < REMEMBERED
        {
            self.tenants.insert(key(&[client.as_bytes()]));
        }
        for realm in realms(native) {
            self.report.realms.add(&realm);
        }
        if let Some(recorded) = recorded {
            self.compare_time(recorded, line);
        }
        Ok(())
    }

    /// An id belongs to its subject (rules 2.3).
    fn is_repeat(&mut self, event: &Event, text: &[u8]) -> Result<bool, Rejection> {
        let client = event.client().map_or(&b""[..], |key| key.as_bytes());
        let app = event.app().map_or(&b""[..], |key| key.as_bytes());
        let id = key(&[client, b"\0", app, b"\0", event.id.as_bytes()]);
        let is_full = self.ids.len() >= REMEMBERED;
        match self.ids.entry(id) {
            hash_map::Entry::Vacant(_) if is_full => {
                self.report.compared = Some(REMEMBERED as u64);
                Ok(false)
            }
            hash_map::Entry::Vacant(new) => {
                new.insert(key(&[text]));
                Ok(false)
            }
            hash_map::Entry::Occupied(before) if *before.get() == key(&[text]) => Ok(true),
            hash_map::Entry::Occupied(_) => Err(Rejection {
                reason: Reason::EventIdConflict,
                path: Some("id".to_owned()),
                detail: "an event above has this id, and other content".to_owned(),
            }),
        }
    }

    fn compare_time(&mut self, recorded: Timestamp, line: u64) {
        let report = &mut self.report;
        let first = report.first_recorded.map_or(recorded, |first| first.min(recorded));
        let last = report.last_recorded.map_or(recorded, |last| last.max(recorded));
        (report.first_recorded, report.last_recorded) = (Some(first), Some(last));
        if recorded < last {
            let backwards = &mut report.times_backwards;
            backwards.count += 1;
            backwards.most_ms = backwards.most_ms.max(last.millis_since(recorded));
            if backwards.first_lines.len() < LINES_NAMED {
                backwards.first_lines.push(line);
            }
        }
    }

    fn finish(self) -> CheckReport {
        let (lines, refused) = self.judged;
        CheckReport {
            refused: self.refusals.lines(),
            refusals: self.refusals.kinds().into_iter().cloned().collect(),
            tenants: self.tenants.len() as u64,
            import_stops: are_too_many(refused, lines),
            ..self.report
        }
    }
}

pub(super) fn key(parts: &[&[u8]]) -> Key {
    let mut sha256 = Sha256::new();
    for part in parts {
        sha256.update(part);
    }
    let digest: [u8; 32] = sha256.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}

/// Every realm that an event names in a field of its own.
fn realms(text: &[u8]) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(text) else {
        return Vec::new();
    };
    let is_realm = |name: &str| name == "realm" || name.ends_with("Realm");
    let named = members.into_iter().filter(|(name, _)| is_realm(name));
    let mut realms: Vec<String> = named.filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect();
    realms.sort_unstable();
    realms.dedup();
    realms
}
