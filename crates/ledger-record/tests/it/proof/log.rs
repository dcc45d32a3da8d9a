//! A whole log, leaf by leaf: a true one is accepted, and every lie is found at its leaf.

use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::proof::line::{Leaf, RecordLeaf, SUCCESSION, SealLeaf, leaf_hash, stream_id};
use ledger_record::proof::log::{LineRefusal, LogFault, LogReader};
use ledger_record::proof::seal::LEAVES;
use ledger_record::record::Stream;

use super::ledger::{Ledger, app};

fn read(lines: &[String]) -> Result<LogReader, (u64, LineRefusal)> {
    let mut reader = LogReader::default();
    for (index, line) in (0..).zip(lines) {
        reader.append(line).map_err(|refusal| (index, refusal))?;
    }
    Ok(reader)
}

fn lines() -> Vec<String> {
    Ledger::eventful().lines().to_vec()
}

/// The indices of the leaves that match.
fn indices(wanted: impl Fn(&Leaf) -> bool) -> Vec<usize> {
    let is_wanted = |line: &String| wanted(&Leaf::parse(line).unwrap());
    lines().iter().enumerate().filter(|(_, line)| is_wanted(line)).map(|(index, _)| index).collect()
}

fn with_record(index: usize, change: impl FnOnce(&mut RecordLeaf)) -> Vec<String> {
    let mut lines = lines();
    let Leaf::Record(mut leaf) = Leaf::parse(&lines[index]).unwrap() else { panic!("a seal") };
    change(&mut leaf);
    lines[index] = leaf.write();
    lines
}

fn with_seal(index: usize, change: impl FnOnce(&mut SealLeaf)) -> Vec<String> {
    let mut lines = lines();
    let Leaf::Seal(mut leaf) = Leaf::parse(&lines[index]).unwrap() else { panic!("a record") };
    change(&mut leaf);
    lines[index] = leaf.write().unwrap();
    lines
}

#[track_caller]
fn assert_fault(lines: &[String], index: usize, fault: LogFault) {
    assert_eq!(read(lines).unwrap_err(), (u64::try_from(index).unwrap(), LineRefusal::Invalid(fault)));
}

#[test]
fn true_log_is_accepted() {
    let ledger = Ledger::eventful();
    let reader = read(ledger.lines()).unwrap();
    assert_eq!((reader.tree().size(), reader.tree().root()), (ledger.size(), ledger.checkpoint().root));
    assert_eq!(reader.seals(), 3);
    let seal = reader.sealed().unwrap();
    assert_eq!((seal.index + 1, seal.rejected), (ledger.size(), 1));
    let unsealed = read(&ledger.lines()[..ledger.lines().len() - 1]).unwrap();
    assert_eq!(unsealed.sealed(), None);
}

#[test]
fn missing_seal_by_count_or_minute_is_found() {
    let mut ledger = Ledger::new();
    for number in 0..LEAVES + 300 {
        ledger.installed(&format!("tenant-{}", number % 700), "app.one", 0, None);
    }
    ledger.tick();
    let reader = read(ledger.lines()).unwrap();
    assert_eq!(reader.tree().root(), ledger.checkpoint().root);
    assert!(reader.seals() > 30, "two records a second: {}", reader.seals());
    let first = ledger.lines().iter().position(|line| line.contains(r#""y":"seal""#)).unwrap();
    let mut without = ledger.lines().to_vec();
    without.remove(first);
    assert_fault(&without, first, LogFault::SealMissing);
}

#[test]
fn lie_in_a_record_is_found_at_its_leaf() {
    let records = indices(|leaf| matches!(leaf, Leaf::Record(_)));
    for index in records.iter().copied() {
        let later = with_record(index, |leaf| leaf.seq += 1);
        let before = |lines: &[String]| {
            let Leaf::Record(leaf) = Leaf::parse(&lines[index]).unwrap() else { panic!("a seal") };
            leaf.seq - 2
        };
        let number = LogFault::Number { found: before(&later) + 2, before: before(&later) };
        assert_fault(&later, index, number);
        assert_fault(&with_record(index, |leaf| leaf.previous.0[31] ^= 1), index, LogFault::Previous);
        let no_source = with_record(index, |leaf| leaf.source = "nowhere".to_owned());
        assert_fault(&no_source, index, LogFault::Source("nowhere".to_owned()));
    }
    let last = *records.last().unwrap();
    let early = with_record(last, |leaf| leaf.recorded = Timestamp::from_millis(0));
    assert_fault(&early, last, LogFault::Recorded);
    let spelled = with_record(last, |leaf| leaf.source = leaf.source.replace("/7/", "/7/0"));
    assert!(matches!(read(&spelled), Err((_, LineRefusal::Invalid(LogFault::Source(_))))));
    let again = with_record(last, |leaf| leaf.source = "realm.lifecycle/7/0".to_owned());
    assert_fault(&again, last, LogFault::Source("realm.lifecycle/7/0".to_owned()));
}

/// A change inside a leaf is found only by the next record of its stream or by the seal.
#[test]
fn rewritten_leaf_is_found_by_a_later_leaf() {
    let records = indices(|leaf| matches!(leaf, Leaf::Record(_)));
    for index in records {
        let rewritten = with_record(index, |leaf| leaf.pinned_realm = Some(Realm::GLOBAL));
        if rewritten == lines() {
            continue;
        }
        let (found, refusal) = read(&rewritten).unwrap_err();
        assert!(found > u64::try_from(index).unwrap());
        assert!(matches!(refusal, LineRefusal::Invalid(LogFault::Previous | LogFault::Map)), "{refusal:?}");
    }
}

#[test]
fn record_in_a_wrong_stream_is_found() {
    let of_app = indices(|leaf| matches!(leaf, Leaf::Record(leaf) if leaf.type_name == "policy-set"))[0];
    let elsewhere = with_record(of_app, |leaf| leaf.app = Some(app("app.two")));
    assert_fault(&elsewhere, of_app, LogFault::Stream);
    let as_tenant = with_record(of_app, |leaf| leaf.type_name = "enabled");
    assert_fault(&as_tenant, of_app, LogFault::Stream);
    let refused = indices(|leaf| matches!(leaf, Leaf::Record(leaf) if leaf.type_name == "rejected"))[0];
    let hidden = with_record(refused, |leaf| leaf.type_name = "product-moved");
    assert_fault(&hidden, refused, LogFault::Stream);
    let of_tenant = indices(|leaf| matches!(leaf, Leaf::Record(leaf) if leaf.type_name == "disabled"))[0];
    for type_name in ["rejected", "policy-set", "product-moved"] {
        let moved = with_record(of_tenant, |leaf| leaf.type_name = type_name);
        assert_fault(&moved, of_tenant, LogFault::Stream);
    }
    let without = with_record(of_tenant, |leaf| leaf.app = None);
    assert_fault(&without, of_tenant, LogFault::Stream);
}

/// The leaf that names a predecessor log.
fn succession(number: u64, previous: &str, origin: &str) -> RecordLeaf {
    RecordLeaf {
        stream: stream_id(&Stream::Succession),
        seq: number,
        previous: if previous.is_empty() { Hash::ZERO } else { leaf_hash(previous) },
        type_name: SUCCESSION,
        app: None,
        time: Timestamp::from_millis(9_000),
        recorded: Timestamp::from_millis(9_000),
        source: format!("log:{origin}/{}", 100 * number),
        pinned_realm: None,
        rule: None,
        commitment: Hash::of(&[origin.as_bytes()]),
    }
}

#[test]
fn predecessor_logs_are_named_first() {
    let first = succession(1, "", "realm/0").write();
    let second = succession(2, &first, "realm/1").write();
    let reader = read(&[first.clone(), second.clone()]).unwrap();
    let (origins, sizes): (Vec<&str>, Vec<u64>) =
        reader.predecessors().iter().map(|log| (log.origin.as_str(), log.size)).unzip();
    assert_eq!((origins, sizes), (vec!["realm/0", "realm/1"], vec![100, 200]));
    assert_eq!(reader.predecessors()[1].root, Hash::of(&[b"realm/1"]));

    let late = [lines(), vec![first.clone()]].concat();
    assert_fault(&late, late.len() - 1, LogFault::Succession);
    let dated = succession(1, "", "realm/0");
    let dated = RecordLeaf { time: Timestamp::from_millis(8_000), ..dated };
    assert_fault(&[dated.write()], 0, LogFault::Succession);
    let elsewhere = RecordLeaf { stream: stream_id(&Stream::Rejected), ..succession(1, "", "realm/0") };
    assert_fault(&[elsewhere.write()], 0, LogFault::Stream);
    let unnamed = RecordLeaf { source: "realm/0/100".to_owned(), ..succession(1, "", "realm/0") };
    assert_fault(&[unnamed.write()], 0, LogFault::Succession);
    // A succession has no source message.
    let message = with_record(0, |leaf| leaf.source = "log:realm/0/100".to_owned());
    assert_fault(&message, 0, LogFault::Succession);
}

#[test]
fn dropped_moved_or_repeated_record_is_found() {
    let count = lines().len();
    for index in 0..count {
        let mut dropped = lines();
        dropped.remove(index);
        // Without the last seal the log is only shorter; its checkpoint shows that.
        assert!(read(&dropped).is_err() || index == count - 1, "{index}");
        let mut repeated = lines();
        repeated.insert(index, repeated[index].clone());
        assert!(read(&repeated).is_err(), "{index}");
        if index + 1 < count {
            let mut swapped = lines();
            swapped.swap(index, index + 1);
            assert!(read(&swapped).is_err(), "{index}");
        }
    }
}

#[test]
fn lie_in_a_seal_is_found_at_its_leaf() {
    let seals = indices(|leaf| matches!(leaf, Leaf::Seal(_)));
    let Leaf::Seal(first) = Leaf::parse(&lines()[seals[0]]).unwrap() else { panic!("a record") };
    for index in seals {
        assert_fault(&with_seal(index, |seal| seal.map_root.0[0] ^= 1), index, LogFault::Map);
        let wrong = u64::try_from(index).unwrap() + 1;
        assert_fault(&with_seal(index, |seal| seal.index = wrong), index, LogFault::SealIndex(wrong));
        let miscounted = with_seal(index, |seal| seal.streams += 1);
        assert!(matches!(read(&miscounted), Err((_, LineRefusal::Invalid(LogFault::Streams { .. })))));
        let denied = with_seal(index, |seal| seal.rejected = 0);
        assert_fault(&denied, index, LogFault::Rejected { found: 0, rejected: 1 });
        let dated = with_seal(index, |seal| seal.recorded = Timestamp::from_millis(1));
        assert_fault(&dated, index, LogFault::SealRecorded);
        let next = "realm.lifecycle/7/1".to_owned();
        assert_fault(&with_seal(index, |seal| seal.next.clone_from(&next)), index, LogFault::Next(next));
        let nowhere = "nowhere".to_owned();
        assert_fault(
            &with_seal(index, |seal| seal.next.clone_from(&nowhere)),
            index,
            LogFault::Next(nowhere),
        );
    }
    // An older map, whose heads are stale.
    let seals = indices(|leaf| matches!(leaf, Leaf::Seal(_)));
    assert_fault(&with_seal(seals[1], |seal| seal.map_root = first.map_root), seals[1], LogFault::Map);
    assert_fault(&with_seal(seals[0], |seal| seal.map_root = Hash::ZERO), seals[0], LogFault::Map);
    let fewer = with_seal(seals[0], |seal| seal.duplicates = 9);
    assert_fault(&fewer, seals[1], LogFault::Duplicates);
    // No record after a seal has an offset before the seal's next offset.
    let skipped = with_seal(seals[0], |seal| seal.next = "realm.lifecycle/7/999999".to_owned());
    assert!(matches!(read(&skipped), Err((_, LineRefusal::Invalid(LogFault::Source(_))))));
}

#[test]
fn malformed_leaf_is_refused_and_newer_is_inconclusive() {
    let mut broken = lines();
    broken[3].push(' ');
    assert_fault(&broken, 3, LogFault::Line);
    let mut newer = lines();
    newer[3] = newer[3].replacen(r#""v":1"#, r#""v":2"#, 1);
    assert_eq!(read(&newer).unwrap_err(), (3, LineRefusal::UnknownVersion(2)));
}
