//! A directory with tenants torn between shards is refilled: each tenant whole, every offset accounted for once.

mod copies;

use std::path::Path;

use ledger_record::key::side::carried;
use ledger_record::key::{self, GapKey};
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, PriorLog, Record, Stream};

use crate::tests::verifying::{fault, put, verified};
use crate::tests::*;
use crate::{
    OpenError, RefillError, RefillPlan, RefillReport, Renamed, ShardFault, SpreadFault, VerifiedShard,
    check_spread, refill,
};

const PARTITIONS: u32 = 3;

/// By the last letter: `a` 0, `b` 1, `c` 2.
fn place(client: &ClientKey) -> u32 {
    client.as_str().bytes().last().map_or(0, |last| u32::from(last - b'a') % PARTITIONS)
}

fn directory(path: &Path) -> DataDir {
    let data = DataDir::open(path, StoreOptions::default(), secret()).unwrap();
    data.bind(TOPIC, &partitions(PARTITIONS)).unwrap();
    data
}

/// Messages of one partition in offset order, each recorded this number of seconds after the first.
struct Feed {
    shard: Shard,
    partition: u32,
    offset: u64,
    import: u64,
}

impl Feed {
    fn of(data: &DataDir, partition: u32) -> Self {
        Self { shard: data.open_shard(&shard_id(partition)).unwrap(), partition, offset: 0, import: 1 }
    }

    fn at(&self, source: &str, offset: u64) -> Coordinates {
        Coordinates { source: source.into(), partition: self.partition, offset }
    }

    fn message(&mut self, seconds: i64, event: Event) -> AppendResult {
        let from = self.at(TOPIC, self.offset);
        self.offset += 1;
        let source_time = hour(RECORDED_HOUR).plus_millis(seconds * 1_000);
        let future = FutureLimit::AfterRecorded;
        let mut batch = self.shard.begin();
        let offer =
            batch.offer(IncomingEvent { from, source_time, event, time_defaulted: false, future }).unwrap();
        batch.advance(TOPIC, kafka(self.offset));
        batch.commit().unwrap();
        offer
    }

    fn bad_message(&mut self, seconds: i64) {
        let from = self.at(TOPIC, self.offset);
        self.offset += 1;
        let mut batch = self.shard.begin();
        batch.refuse(from, refused(hour(RECORDED_HOUR).plus_millis(seconds * 1_000))).unwrap();
        batch.advance(TOPIC, kafka(self.offset));
        batch.commit().unwrap();
    }

    fn tick(&mut self) {
        let at = self.at(TOPIC, self.offset);
        self.offset += 1;
        let mut batch = self.shard.begin();
        batch.tick(at).unwrap();
        batch.advance(TOPIC, kafka(self.offset));
        batch.commit().unwrap();
    }

    /// The next line of the file, if it belongs to this shard; every shard advances past it.
    fn line(&mut self, event: Option<Event>) {
        let from = self.at("import:old", self.import);
        self.import += 1;
        let mut batch = self.shard.begin();
        if let Some(event) = event {
            let source_time = event.time;
            let future = FutureLimit::At(hour(9_000));
            batch.offer(IncomingEvent { from, source_time, event, time_defaulted: false, future }).unwrap();
        }
        let lines = self.import - 1;
        batch.advance("import:old", SourcePosition::Import { lines, sha256: [4; 32] });
        batch.commit().unwrap();
    }
}

/// `xa` and `yb` were imported into the wrong shard; live events arrived in the right one.
fn torn(data: &DataDir) -> Vec<u64> {
    let mut shards: Vec<Feed> = (0..PARTITIONS).map(|partition| Feed::of(data, partition)).collect();
    let lines = [
        (None, descriptor_published("app", "d1", 0, &["EU", "US"])),
        (Some(1), installed("xa", "app", "i1", 1, "EU")),
        (Some(2), installed("yb", "app", "i2", 1, "US")),
        (Some(2), installed("zc", "app", "i3", 2, "EU")),
        (Some(1), uninstalled("xa", "app", "i4", 3)),
    ];
    for (to, event) in lines {
        for shard in &mut shards {
            let is_for = to.is_none_or(|to| to == shard.partition);
            shard.line(is_for.then(|| event.clone()));
        }
    }
    for shard in &mut shards {
        shard.message(0, policy_set("app", "p1", 20, 3));
    }
    // Live events, in the same millisecond in two partitions.
    shards[0].message(1, installed("xa", "app", "e1", 40, "US"));
    shards[1].message(1, uninstalled("yb", "app", "e2", 30));
    shards[0].bad_message(9);
    // Duplicates: known in this half, known in the other half, and with other content.
    shards[0].message(2, installed("xa", "app", "e1", 40, "US"));
    shards[0].message(2, installed("xa", "app", "i1", 1, "EU"));
    shards[1].message(3, installed("yb", "app", "i2", 1, "EU"));
    shards[0].tick();
    shards[2].message(4, policy_set("app", "p2", 25, 9));
    shards[0].message(5, uninstalled("xa", "app", "e3", 50));
    shards[2].message(5, uninstalled("zc", "app", "e4", 60));
    shards[1].tick();
    let offsets = shards.iter().map(|shard| shard.offset).collect();
    drop(shards);
    offsets
}

fn begin(path: &Path) -> Result<DataDir, OpenError> {
    let renamed = Renamed { from: "{topic}".to_owned(), to: "{topic}~2".to_owned() };
    DataDir::begin_refill(path, StoreOptions::default(), secret(), renamed)
}

fn run(
    old: &DataDir,
    new: &DataDir,
    signed: &dyn Fn(&ShardId) -> Vec<Checkpoint>,
) -> Result<RefillReport, RefillError> {
    let how = RefillPlan { topic: TOPIC, log_name: TOPIC, place: &place, secret: &secret(), signed };
    refill(old, new, &how, &mut |_, _, _| {})
}

fn refilled(old: &DataDir, path: &Path) -> (DataDir, RefillReport) {
    let new = begin(path).unwrap();
    let report = run(old, &new, &|_| Vec::new()).unwrap();
    (new.finish().unwrap(), report)
}

fn readers(data: &DataDir) -> Vec<Reader> {
    (0..PARTITIONS).map(|partition| data.read_shard(&shard_id(partition)).unwrap()).collect()
}

fn records(reader: &Reader) -> Vec<Record> {
    reader.snapshot().records_from(0).unwrap().map(Result::unwrap).collect()
}

fn all_true(data: &DataDir) -> Vec<VerifiedShard> {
    let all: Vec<VerifiedShard> = readers(data).iter().map(|reader| verified(reader).unwrap()).collect();
    assert_eq!(check_spread(&all), Ok(()));
    readers(data).iter().for_each(assert_whole);
    all
}

/// The place of each event: partition, client or app, id, coordinates, recorded time.
fn events(data: &DataDir) -> Vec<(u32, String, String, String, Timestamp)> {
    let mut found = Vec::new();
    for reader in readers(data) {
        for record in records(&reader) {
            let Content::Event { event, .. } = &record.content else { continue };
            let Coordinates { source, partition, offset } = &record.source;
            let from = format!("{source}/{partition}/{offset}");
            let of = record.stream.key().to_owned();
            found.push((reader.shard().partition, of, event.id.to_string(), from, record.recorded));
        }
    }
    found
}

#[test]
fn refill_makes_torn_tenants_whole_and_counts_each_offset() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    let offsets = torn(&old);
    let (new, report) = refilled(&old, &scratch.path().join("new"));
    let counts = (report.torn, report.moved, report.repeats, report.merged, report.conflicts, report.copied);
    // Of the conflicting events the second is refused: the one recorded after the import.
    assert_eq!(counts, (2, 2, 1, 1, 1, 2));

    let verified = all_true(&new);
    let logs: Vec<&PriorLog> = verified.iter().flat_map(|shard| &shard.predecessors).collect();
    assert_eq!(logs.len(), 9, "{logs:?}");
    for (partition, reader) in (0..).zip(readers(&old)) {
        let size = reader.snapshot().sealed_size().unwrap();
        let root = reader.snapshot().tree_root(size).unwrap();
        let named = logs.iter().filter(|log| log.origin == format!("{TOPIC}/{partition}"));
        assert!(named.clone().all(|log| log.size == size && log.root == root), "{partition}");
        assert_eq!(named.count(), 3, "{partition}");
    }

    // Each tenant in one shard, with the times and coordinates that its records had.
    let (before, after) = (events(&old), events(&new));
    for (partition, of, id, from, recorded) in &after {
        if of != "app" {
            assert_eq!(*partition, place(&client(of)), "{of} {id}");
        }
        let same = |known: &&(u32, String, String, String, Timestamp)| {
            (&known.1, &known.2, &known.3, &known.4) == (of, id, from, recorded)
        };
        assert!(before.iter().any(|known| same(&known)), "{of} {id} {from}");
    }
    let of_xa: Vec<&str> =
        after.iter().filter(|event| event.1 == "xa").map(|event| event.2.as_str()).collect();
    assert_eq!(of_xa, ["i1", "i4", "e1", "e3"]);
    assert_eq!(after.iter().filter(|event| event.2 == "p2").count(), 3, "every shard has a copy now");

    // Refused input keeps its reason, coordinates and time; the conflict is among it.
    let refusals = |data: &DataDir| -> Vec<(Coordinates, Reason, Timestamp)> {
        let all = readers(data).iter().flat_map(records).collect::<Vec<_>>();
        let kept = all.into_iter().filter_map(|record| match record.content {
            Content::Refused(refused) => Some((record.source, refused.rejection.reason, record.recorded)),
            _ => None,
        });
        kept.collect()
    };
    let (kept, now) = (refusals(&old), refusals(&new));
    assert_eq!(kept.len(), 1);
    assert!(now.contains(&kept[0]), "{now:?}");
    assert!(now.iter().any(|(_, reason, _)| *reason == Reason::EventIdConflict), "{now:?}");

    // Reading continues from the old positions.
    for (partition, offset) in (0..).zip(offsets) {
        let shard = new.open_shard(&shard_id(partition)).unwrap();
        assert_eq!(shard.source_position(TOPIC).unwrap(), Some(kafka(offset)));
        let import = shard.source_position("import:old").unwrap();
        assert_eq!(import, Some(SourcePosition::Import { lines: 5, sha256: [4; 32] }));
    }
}

#[test]
fn refilled_tenant_equals_one_recorded_in_one_shard() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    torn(&old);
    let (new, _) = refilled(&old, &scratch.path().join("new"));
    // The same events, in the order in which they were recorded, in one shard from the beginning.
    let whole = directory(&scratch.path().join("whole"));
    let mut all: Vec<Record> = readers(&old).iter().flat_map(records).collect();
    all.sort_by_key(|record| (record.recorded, record.source.partition, record.position));
    let mut shard = whole.open_shard(&shard_id(0)).unwrap();
    let mut batch = shard.begin();
    for (offset, record) in (0..).zip(all) {
        let Content::Event { event, .. } = record.content else { continue };
        let from = from_offset(offset);
        let (source_time, future) = (record.recorded, FutureLimit::AfterRecorded);
        batch.offer(IncomingEvent { from, source_time, event, time_defaulted: false, future }).unwrap();
    }
    batch.commit().unwrap();
    for name in ["xa", "yb", "zc"] {
        let client = client(name);
        let (found, expected) = (readers(&new), shard.reader());
        let found = found[place(&client) as usize].snapshot().tenant(&client).unwrap().unwrap();
        let expected = expected.snapshot().tenant(&client).unwrap().unwrap();
        assert_eq!((found.seq, found.tenant), (expected.seq, expected.tenant), "{name}");
    }
}

#[test]
fn refill_is_deterministic_and_leaves_the_source_unchanged() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    torn(&old);
    let dumps = |data: &DataDir| readers(data).iter().map(dump).collect::<Vec<_>>();
    let before = dumps(&old);
    let (one, _) = refilled(&old, &scratch.path().join("one"));
    let (other, _) = refilled(&old, &scratch.path().join("other"));
    assert_eq!(dumps(&one), dumps(&other));
    assert_eq!(dumps(&old), before);
}

#[test]
fn refilled_shard_continues_and_can_be_refilled_again() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    let offsets = torn(&old);
    let (new, _) = refilled(&old, &scratch.path().join("new"));
    for (partition, offset) in (0..).zip(offsets) {
        let mut feed = Feed { offset, import: 6, ..Feed::of(&new, partition) };
        let own = ["xa", "yb", "zc"][partition as usize];
        // A duplicate of an imported event and of a live one, a new event, and one recorded before the last.
        let id = ["i1", "e2", "i3"][partition as usize];
        let again = events(&new).into_iter().find(|event| event.1 == own && event.2 == id).unwrap();
        let original = records(&new.read_shard(&shard_id(partition)).unwrap()).into_iter().find_map(
            |record| match record.content {
                Content::Event { event, .. }
                    if event.id.to_string() == again.2 && event.client().is_some() =>
                {
                    Some(event)
                }
                _ => None,
            },
        );
        assert!(matches!(feed.message(7, original.unwrap()), AppendResult::Duplicate { .. }));
        let new_one = installed(own, "app", "n1", 70, "EU");
        assert!(matches!(feed.message(1, new_one), AppendResult::Appended { .. }));
        feed.line(Some(uninstalled(own, "app", "n2", 80)));
        feed.tick();
    }
    assert_eq!(all_true(&new).iter().map(|shard| shard.tenants).sum::<u64>(), 3);
    // The next event is recorded no earlier than the last one of its partition, in whichever shard that is.
    let floors: Vec<_> =
        readers(&old).iter().map(|reader| reader.snapshot().head().unwrap().recorded).collect();
    for (reader, floor) in readers(&new).iter().zip(floors) {
        let next = records(reader).into_iter().find(
            |record| matches!(&record.content, Content::Event { event, .. } if event.id.to_string() == "n1"),
        );
        assert!(Some(next.unwrap().recorded) >= floor);
    }

    // Refilled back and forth: no event is lost.
    let third = begin(&scratch.path().join("third")).unwrap();
    let elsewhere = |client: &ClientKey| (place(client) + 1) % PARTITIONS;
    let how = RefillPlan {
        topic: TOPIC,
        log_name: "t~2",
        place: &elsewhere,
        secret: &secret(),
        signed: &|_| Vec::new(),
    };
    let report = refill(&new, &third, &how, &mut |_, _, _| {}).unwrap();
    assert_eq!((report.torn, report.moved, report.conflicts, report.copied), (0, 3, 0, 0));
    let third = third.finish().unwrap();
    all_true(&third);
    let (fourth, _) = refilled(&third, &scratch.path().join("fourth"));
    all_true(&fourth);
    let states = |data: &DataDir| {
        readers(data)
            .iter()
            .map(|reader| {
                let tenants = reader.snapshot().tenants(None).unwrap().map(Result::unwrap);
                tenants.map(|(client, row)| (client, row.seq, row.tenant)).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&fourth), states(&new));
    let counted = |data: &DataDir| {
        let heads = readers(data).into_iter().map(|reader| reader.snapshot().head().unwrap());
        heads.fold((0, 0), |(refused, repeats), head| (refused + head.refused, repeats + head.duplicates))
    };
    assert_eq!(counted(&fourth), counted(&new));
}

#[test]
fn refill_publishes_only_unpublished_records() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    torn(&old);
    for partition in 0..PARTITIONS {
        let shard = old.open_shard(&shard_id(partition)).unwrap();
        let end = shard.head().next_position;
        let published = if partition == 1 { end } else { end - 2 };
        shard.reader().publisher_cursor().set(published).unwrap();
    }
    let unpublished: Vec<Record> = readers(&old)
        .iter()
        .flat_map(|reader| {
            let published = reader.snapshot().publisher_position().unwrap();
            records(reader).into_iter().filter(move |record| record.position >= published)
        })
        .collect();
    let (new, _) = refilled(&old, &scratch.path().join("new"));
    for reader in readers(&new) {
        let cursor = reader.snapshot().publisher_position().unwrap();
        for record in records(&reader) {
            let waits = unpublished.iter().any(|waiting| waiting.source == record.source);
            let is_copy = matches!(record.stream, Stream::App(_))
                && record.source.partition != reader.shard().partition;
            assert!(!waits || is_copy || record.position >= cursor, "{:?}", record.source);
        }
    }
    let cursors: Vec<u64> =
        readers(&new).iter().map(|reader| reader.snapshot().publisher_position().unwrap()).collect();
    assert!(cursors.iter().all(|cursor| *cursor > 0), "{cursors:?}");
}

#[test]
fn unfinished_refill_is_refused_and_can_be_restarted() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    torn(&old);
    let path = scratch.path().join("new");
    let interrupted = begin(&path).unwrap();
    run(&old, &interrupted, &|_| Vec::new()).unwrap();
    assert!(matches!(begin(&path), Err(OpenError::Unfinished { .. })), "one at a time");
    drop(interrupted);
    let opened = DataDir::open(&path, StoreOptions::default(), secret());
    assert!(matches!(opened, Err(OpenError::Unfinished { .. })));
    let read = DataDir::open_existing_read_only(&path, StoreOptions::default());
    assert!(matches!(read, Err(OpenError::Unfinished { .. })));
    let (again, _) = refilled(&old, &path);
    all_true(&again);
    assert!(matches!(begin(&path), Err(OpenError::NotEmpty { .. })), "it is whole");
    assert!(matches!(begin(&scratch.path().join("old")), Err(OpenError::NotEmpty { .. })));
    let foreign = scratch.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("notes.txt"), "mine").unwrap();
    assert!(matches!(begin(&foreign), Err(OpenError::NotEmpty { .. })));
    assert!(foreign.join("notes.txt").exists());
}

#[test]
fn refill_refuses_invalid_and_half_imported_sources() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    torn(&old);
    let fails = |name: &str, signed: &dyn Fn(&ShardId) -> Vec<Checkpoint>| {
        run(&old, &begin(&scratch.path().join(name)).unwrap(), signed).unwrap_err()
    };
    let longer =
        Checkpoint { origin: format!("{TOPIC}/0"), size: 9_999, root: ledger_record::proof::Hash::ZERO };
    let behind =
        fails("behind", &|shard| if shard.partition == 0 { vec![longer.clone()] } else { Vec::new() });
    assert!(matches!(behind, RefillError::Verify { .. }), "{behind:?}");
    Feed { import: 6, ..Feed::of(&old, 1) }.line(None);
    let half = fails("half", &|_| Vec::new());
    assert!(matches!(half, RefillError::HalfImported { one: 5, other: 6, .. }), "{half:?}");
    {
        let shard = old.open_shard(&shard_id(2)).unwrap();
        put(
            &shard.reader(),
            Family::Gaps,
            &GapKey { source: TOPIC.to_owned(), first_offset: 0 }.encode(),
            &[0; 8],
        );
    }
    let damaged = fails("damaged", &|_| Vec::new());
    assert!(matches!(damaged, RefillError::Verify { .. }), "{damaged:?}");
}

#[test]
fn refill_refuses_a_source_that_grows() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    let offsets = torn(&old);
    let new = begin(&scratch.path().join("new")).unwrap();
    let mut feed = Some(Feed { offset: offsets[1], ..Feed::of(&old, 1) });
    let how = RefillPlan {
        topic: TOPIC,
        log_name: TOPIC,
        place: &place,
        secret: &secret(),
        signed: &|_| Vec::new(),
    };
    let grown = refill(&old, &new, &how, &mut |_, _, _| {
        if let Some(mut feed) = feed.take() {
            feed.message(20, installed("yb", "app", "e9", 90, "EU"));
        }
    });
    assert!(matches!(&grown, Err(RefillError::Grown { shard }) if shard.partition == 1), "{grown:?}");
}

#[test]
fn missing_or_doubled_offset_after_refill_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    torn(&old);
    let (new, _) = refilled(&old, &scratch.path().join("new"));
    let verify_all = || {
        let all: Vec<VerifiedShard> = readers(&new).iter().map(|reader| verified(reader).unwrap()).collect();
        check_spread(&all)
    };
    let own = carried(TOPIC, 0);
    let gap = GapKey { source: own.clone(), first_offset: 5 }.encode();
    {
        let shard = new.open_shard(&shard_id(0)).unwrap();
        crate::tests::verifying::delete(&shard.reader(), Family::Gaps, &gap);
    }
    let missing = SpreadFault::Missing { source_name: format!("{TOPIC}/0"), offset: 5 };
    assert_eq!(verify_all(), Err(missing));
    {
        let shard = new.open_shard(&shard_id(0)).unwrap();
        put(&shard.reader(), Family::Gaps, &gap, &key::reference(6));
        assert_eq!(verify_all(), Ok(()));
        // One more offset than was read.
        let beyond = GapKey { source: own, first_offset: 70 }.encode();
        put(&shard.reader(), Family::Gaps, &beyond, &key::reference(71));
        assert!(matches!(fault(&shard.reader()), ShardFault::OffsetTwice { offset: 70, .. }));
    }
}
