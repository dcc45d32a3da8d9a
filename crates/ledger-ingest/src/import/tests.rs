use ledger_record::proof::line::LedgerSecret;
use ledger_store::{Partitioner, StoreOptions, Verified, check_spread};

use super::*;
use crate::text::Lines;

#[test]
fn every_line_is_in_one_shard_or_another_or_blank() {
    let scratch = tempfile::tempdir().unwrap();
    let secret = LedgerSecret::from_bytes([7; 32]);
    let data = DataDir::open(scratch.path(), StoreOptions::default(), secret.clone()).unwrap();
    let options = ImportOptions {
        source: "gappy".to_owned(),
        topic: "t".to_owned(),
        partitions: Some(3),
        placing: Placement { set: Some(Partitioner::Murmur2), kafka: None },
        now: Timestamp::from_millis(2_000_000_000_000),
        accept_refusals: false,
    };
    let event = |number: u64| {
        let rest = r#""type":"enabled","time":"2024-03-01T00:00:00Z","appKey":"a""#;
        format!(r#"{{"id":"{number}","clientKey":"c{number}",{rest}}}"#)
    };
    let mut text = format!("\n  \n{}\n\r\nno event\n\n", event(3));
    let mut gaps = vec![(1, 3), (4, 5), (6, 7)];
    // A file that has grown goes on, and the blank lines after the last one with it.
    for lines in [6, 27] {
        import(&data, Lines::new(text.as_bytes()), &options).unwrap();
        let shards: Vec<Verified> = (0..3)
            .map(|partition| {
                let reader = data.read_shard(&ShardId { topic: "t".to_owned(), partition }).unwrap();
                let found: Vec<_> =
                    reader.snapshot().gaps("import:gappy").unwrap().map(Result::unwrap).collect();
                assert_eq!(found, if partition == 0 { gaps.clone() } else { Vec::new() }, "{lines}");
                reader.snapshot().verify(&secret, &[], &mut |_, _| {}).unwrap()
            })
            .collect();
        assert_eq!(check_spread(&shards), Ok(()), "{lines}");
        text.push('\n');
        text.extend((8..28).map(|number| event(number) + "\n"));
        gaps[2] = (6, 8);
    }
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let data =
        DataDir::open(scratch.path(), StoreOptions::default(), LedgerSecret::from_bytes([7; 32])).unwrap();
    let options = ImportOptions {
        source: "big".to_owned(),
        topic: "t".to_owned(),
        partitions: Some(4),
        placing: Placement { set: Some(Partitioner::Murmur2), kafka: None },
        now: Timestamp::from_millis(2_000_000_000_000),
        accept_refusals: true,
    };
    let mut importing = Importing::open(&data, &options).unwrap();
    let bytes = 900_000;
    for number in 0..15 {
        let text = format!(
            r#"{{"id":"{number}","type":"policy-set","time":"2026-01-01T00:00:00Z","appKey":"a","policy":{{"mode":"off"}},"x":"{}"}}"#,
            "x".repeat(bytes)
        );
        assert!(
            importing
                .take(Line { number: number + 1, text: text.into_bytes(), ended: true })
                .unwrap()
                .is_none()
        );
        let bytes_of = |waiting: &Waiting| match waiting {
            Waiting::Message(_, line) | Waiting::Copy(_, line) => line.len(),
            Waiting::Blank(_) => 0,
        };
        let waiting: usize = importing.targets.iter().flat_map(|target| &target.waiting).map(bytes_of).sum();
        assert!(waiting < BYTES_AT_ONCE, "{waiting} bytes wait after line {number}");
    }
    let report = importing.finish().unwrap();
    assert_eq!((report.applied.appended, report.copies), (15, 15 * 3), "each line counts once");
}

#[test]
fn an_import_that_recorded_nothing_binds_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let data =
        DataDir::open(scratch.path(), StoreOptions::default(), LedgerSecret::from_bytes([7; 32])).unwrap();
    let into = |partitions, by| ImportOptions {
        source: "s".to_owned(),
        topic: "t".to_owned(),
        partitions: Some(partitions),
        placing: Placement { set: Some(by), kafka: None },
        now: Timestamp::from_millis(2_000_000_000_000),
        accept_refusals: false,
    };
    let refused = "no event\n".repeat(50);
    let error = import(&data, Lines::new(refused.as_bytes()), &into(3, Partitioner::Murmur2)).unwrap_err();
    assert!(matches!(error, ImportError::TooManyRefused { .. }), "{error}");
    assert_eq!((data.identity("t").unwrap(), data.partitions().unwrap()), (None, Vec::new()));
    let event = r#"{"id":"1","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"c","appKey":"a"}"#;
    let good = format!("{event}\n");
    import(&data, Lines::new(good.as_bytes()), &into(6, Partitioner::Crc32)).unwrap();
    assert_eq!(data.partitioner("t").unwrap(), Some(Partitioner::Crc32));
    // What is recorded stays, whatever becomes of the next import.
    let named = ImportOptions { source: "other".to_owned(), ..into(6, Partitioner::Crc32) };
    import(&data, Lines::new(refused.as_bytes()), &named).unwrap_err();
    assert_eq!(data.identity("t").unwrap().map(|topic| topic.partitions), Some(6));
    assert_eq!(data.shards().unwrap().len(), 6);
}
