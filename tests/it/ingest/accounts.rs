//! The data directory compared with the sent messages.

use std::collections::BTreeMap;

use ledger_record::record::Content;
use ledger_record::rows::SourcePosition;
use ledger_store::Reader;
use ledger_tests::kafka::Cluster;
use ledger_tests::workload::{Fate, Sent, fold, partition_of};

pub(super) fn states_are_the_fold_of_what_was_sent(readers: &BTreeMap<u32, Reader>, sent: &[Sent]) {
    let expected = fold(sent);
    let mut found = 0;
    for (partition, reader) in readers {
        for row in reader.snapshot().tenants(None).unwrap() {
            let (client, row) = row.unwrap();
            let home = partition_of(&client, i32::try_from(readers.len()).unwrap());
            assert_eq!(i64::from(*partition), i64::from(home), "{client} is in another partition");
            assert_eq!(Some(&row.tenant), expected.get(&client), "{client}");
            found += 1;
        }
    }
    assert_eq!(found, expected.len());
    assert!(found > 0);
}

/// I-4: each consumed offset is exactly one of appended, duplicate, refused, or a gap.
pub(super) fn every_offset_is_accounted_for(
    cluster: &Cluster,
    topic: &str,
    readers: &BTreeMap<u32, Reader>,
    sent: &[Sent],
) {
    let mut totals = [0_usize; 3];
    for (partition, reader) in readers {
        let snapshot = reader.snapshot();
        let (_, high) = cluster.watermarks(topic, i32::try_from(*partition).unwrap());
        let high = u64::try_from(high).unwrap();
        let position = snapshot.source_positions().unwrap().into_iter().find(|(name, _)| name == topic);
        let read_to = position.map(|(_, position)| match position {
            SourcePosition::Kafka { next_offset, .. } => next_offset,
            SourcePosition::Import { .. } | SourcePosition::Carried { .. } => {
                unreachable!("nothing was imported")
            }
        });
        assert_eq!(read_to, Some(high), "{topic}/{partition}");
        let mut seen = vec![0_u8; usize::try_from(high).unwrap()];
        let mut see = |offset: u64| seen[usize::try_from(offset).unwrap()] += 1;
        for record in snapshot.records_from(0).unwrap() {
            let record = record.unwrap();
            if let Content::Seal(_) = record.content {
                continue;
            }
            see(record.source.offset);
            totals[usize::from(matches!(record.content, Content::Refused(_)))] += 1;
        }
        for duplicate in snapshot.duplicates(topic, 0).unwrap() {
            see(duplicate.unwrap().0);
            totals[2] += 1;
        }
        for gap in snapshot.gaps(topic).unwrap() {
            let (from, to) = gap.unwrap();
            (from..to).for_each(&mut see);
        }
        let wrong = seen.iter().position(|times| *times != 1);
        assert_eq!(wrong, None, "{topic}/{partition}: this offset is not accounted for exactly once");
    }
    let of = |fate: fn(&Fate) -> bool| sent.iter().filter(|sent| fate(&sent.fate)).count();
    let wanted = [
        of(|fate| matches!(fate, Fate::Appended(_))),
        of(|fate| matches!(fate, Fate::Refused(..))),
        of(|fate| matches!(fate, Fate::Duplicate)),
    ];
    assert_eq!(totals, wanted, "appended, refused, duplicates");
}

/// `verify` finds the records and their evidence true.
pub(super) fn everything_is_found_true(readers: &BTreeMap<u32, Reader>) {
    for (partition, reader) in readers {
        let snapshot = reader.snapshot();
        let verified = snapshot.verify(&ledger_tests::secret(), &[], &mut |_, _| {});
        assert!(verified.is_ok(), "partition {partition}: {verified:?}");
        let verified = verified.unwrap();
        assert_eq!(verified.size, snapshot.head().unwrap().next_position);
        assert!(verified.seals > 0 && verified.tenants > 0, "{verified:?}");
    }
}
