use ledger_record::proof::line::LedgerSecret;
use ledger_store::{Partitioner, StoreOptions, VerifiedShard, check_spread};

use crate::import::*;
use crate::placing::PlacingError;
use crate::text::Lines;

#[test]
fn every_line_is_in_a_shard_or_blank() {
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
    // A grown file is continued, including its trailing blank lines.
    for lines in [6, 27] {
        import(&data, Lines::new(text.as_bytes()), &options).unwrap();
        let shards: Vec<VerifiedShard> = (0..3)
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
fn waiting_lines_are_bounded_in_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let little = StoreOptions { memory_bytes: Some(256 << 20), ..StoreOptions::default() };
    let data = DataDir::open(scratch.path(), little, LedgerSecret::from_bytes([7; 32])).unwrap();
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
                .take(Line { number: number + 1, origin: number + 1, text: text.into_bytes(), ended: true })
                .unwrap()
                .is_none()
        );
        let bytes_of = |waiting: &Waiting| match waiting {
            Waiting::Message(_, line) | Waiting::Copy(_, line) => line.text.len(),
            Waiting::Blank(_) => 0,
        };
        let waiting: usize = importing.targets.iter().flat_map(|target| &target.waiting).map(bytes_of).sum();
        let most = data.memory().large_batch();
        assert!(memory_of(0, waiting) < most, "{waiting} bytes wait after line {number}, and {most} may");
    }
    let report = importing.finish().unwrap();
    assert_eq!((report.applied.appended, report.copies), (15, 15 * 3), "each line counts once");
}

#[test]
fn import_without_records_binds_nothing() {
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
    // Recorded events stay after a failed later import.
    let named = ImportOptions { source: "other".to_owned(), ..into(6, Partitioner::Crc32) };
    import(&data, Lines::new(refused.as_bytes()), &named).unwrap_err();
    assert_eq!(data.identity("t").unwrap().map(|topic| topic.partitions), Some(6));
    assert_eq!(data.shards().unwrap().len(), 6);
}

fn data(scratch: &tempfile::TempDir) -> DataDir {
    DataDir::open(scratch.path(), StoreOptions::default(), LedgerSecret::from_bytes([7; 32])).unwrap()
}

fn options(source: &str, placing: Placement) -> ImportOptions {
    ImportOptions {
        source: source.to_owned(),
        topic: "t".to_owned(),
        partitions: None,
        placing,
        now: Timestamp::from_millis(2_000_000_000_000),
        accept_refusals: false,
    }
}

/// Regression: only the first 32 MiB were judged, and 5,000 bad lines were accepted.
#[test]
fn first_lines_are_judged_regardless_of_length() {
    let scratch = tempfile::tempdir().unwrap();
    let data = data(&scratch);
    let filler = "x".repeat(300_000);
    let long = |number: u32| {
        format!(
            r#"{{"id":"{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"c","appKey":"a","x":"{filler}"}}"#
        ) + "\n"
    };
    let good: String = (0..130).map(long).collect();
    assert!(good.len() > JUDGED_BYTES);
    let bad = good.clone() + &"no event\n".repeat(200);
    let options = options("long", Placement::default());
    let stopped = import(&data, Lines::new(bad.as_bytes()), &options);
    let Err(ImportError::TooManyRefused { lines: 330, refusals }) = stopped else { panic!("{stopped:?}") };
    assert_eq!((refusals.lines(), refusals.kinds()[0].first_lines[0]), (200, 131));
    assert_eq!(data.identity("t").unwrap(), None, "nothing was recorded");

    // An accepted import is not judged again, and line numbers are those of the file.
    let accepted = ImportOptions { accept_refusals: true, ..options.clone() };
    assert_eq!(import(&data, Lines::new(bad.as_bytes()), &accepted).unwrap().applied.refused, 200);
    let grown = bad + &long(500) + "{\"cut off";
    let taken = import(&data, Lines::new(grown.as_bytes()), &options);
    let Err(ImportError::CutOff { line: 332, before }) = taken else { panic!("{taken:?}") };
    assert_eq!((before.already_taken, before.applied.appended), (330, 1));
}

#[test]
fn import_uses_the_partitions_of_its_topic() {
    let broker = crate::kafka::EmbeddedBroker::start(&[("t", 4)]).unwrap();
    let placing = |brokers: String, set| {
        let kafka = crate::kafka::KafkaOptions { brokers, ..Default::default() };
        Placement { set, kafka: Some(kafka) }
    };
    let scratch = tempfile::tempdir().unwrap();
    let data = data(&scratch);
    let nothing = || Lines::new(&b""[..]);
    let partitions = || data.identity("t").unwrap().map(|identity| identity.partitions);

    let silent = options("s", placing(broker.address(), None));
    let asked = import(&data, nothing(), &silent);
    let Err(ImportError::Placement(few @ PlacingError::TooFewKeys { partitions: 4, keys: 0, .. })) = asked
    else {
        panic!("{asked:?}")
    };
    let few = few.to_string();
    assert!(few.contains("too few client keys") && !few.contains("--brokers"), "{few}");
    let set = options("s", placing(broker.address(), Some(Partitioner::Crc32)));
    let other = import(&data, nothing(), &ImportOptions { partitions: Some(3), ..set.clone() });
    assert!(matches!(other, Err(ImportError::OtherTopic { found: 4, asked: 3, .. })), "{other:?}");
    let away = options("s", placing("127.0.0.1:1".to_owned(), Some(Partitioner::Crc32)));
    let uncounted = import(&data, nothing(), &away);
    assert!(matches!(uncounted, Err(ImportError::Uncounted { .. })), "{uncounted:?}");
    let many = options("s", Placement::default());
    let many = import(&data, nothing(), &ImportOptions { partitions: Some(3_000), ..many });
    assert!(matches!(many, Err(ImportError::TooManyPartitions { partitions: 3_000, .. })), "{many:?}");
    assert_eq!(partitions(), None, "nothing is bound by what is refused");

    import(&data, nothing(), &set).unwrap();
    assert_eq!(partitions(), Some(4));
}

#[test]
fn unset_recorded_time_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let data = data(&scratch);
    let line = |recorded_at: &str| {
        format!(
            r#"{{"id":"{recorded_at}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"c","appKey":"a","recordedAt":"{recorded_at}"}}"#
        )
    };
    let text =
        ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2009-12-31T23:59:59Z", "2010-01-01T00:00:00Z"]
            .map(|recorded_at| line(recorded_at) + "\n");
    let report =
        import(&data, Lines::new(text.concat().as_bytes()), &options("s", Placement::default())).unwrap();
    assert_eq!((report.applied.appended, report.applied.refused), (1, 3));
}
