//! The publisher of a journal while its broker goes and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ledger_gateway::journal::{AppendError, Journal, JournalOptions, JournalPublisher, publish_waiting};
use ledger_ingest::kafka::KafkaOptions;
use ledger_store::Partitioner;
use ledger_tests::disk::SmallDisk;
use ledger_tests::kafka::{Broker, Isolation};
use ledger_tests::workload::Chance;
use ledger_tests::{scratch, wait};
use serde_json::Value;

const TENANTS: u32 = 16;

#[test]
fn events_taken_while_the_broker_is_killed_arrive_in_order_and_none_is_missing() {
    let mut broker = Broker::start();
    let (cluster, scratch) = (broker.cluster().clone(), scratch::directory());
    cluster.create_topic("realm.lifecycle", 3, &[]);
    let options = KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        partitioner: Some(Partitioner::Murmur2),
        ..KafkaOptions::default()
    };
    let journal = Journal::open(&scratch.path().join("journal"), &JournalOptions::default()).unwrap();
    let publisher = JournalPublisher::start(&journal, &options).unwrap();
    let mut sent = 0_u32;
    let mut send_for = |seconds: u32| {
        for _ in 0..seconds * 20 {
            let events = (sent..sent + 10).map(|number| {
                let client = number % TENANTS;
                let event = format!(
                    r#"{{"id":"{number}","type":"enabled","time":"2026-03-01T10:00:00Z","clientKey":"c{client}","appKey":"a"}}"#
                );
                (event.into_bytes(), ledger_core::time::Timestamp::from_millis(1_800_000_000_000))
            });
            journal.append_all(events).unwrap();
            sent += 10;
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    send_for(2);
    for _ in 0..2 {
        broker.kill();
        send_for(3);
        assert!(journal.status().waiting_events > 300, "{:?}", journal.status());
        broker.restart();
        send_for(2);
    }
    wait::for_value(|| match journal.status() {
        status if status.waiting_events == 0 => Ok(()),
        status => Err(format!("{status:?}")),
    });
    assert_eq!((journal.status().blocked, journal.status().oldest), (None, None));
    assert!(publisher.stop_by(Instant::now() + Duration::from_secs(10)));

    let (mut seen, mut order) = (BTreeSet::new(), BTreeMap::<String, Vec<u32>>::new());
    for message in cluster.read_all("realm.lifecycle", Isolation::ReadCommitted) {
        let event: Value = serde_json::from_slice(message.value.as_deref().unwrap()).unwrap();
        let number: u32 = event["id"].as_str().unwrap().parse().unwrap();
        // The ledger knows a repeat by its id: the first one counts.
        if seen.insert(number) {
            order.entry(event["clientKey"].as_str().unwrap().to_owned()).or_default().push(number);
        }
    }
    assert_eq!(seen.len(), usize::try_from(sent).unwrap());
    assert!(order.values().all(|of_tenant| of_tenant.is_sorted()), "{order:?}");
}

#[test]
fn journal_without_a_broker_says_what_waits_and_why() {
    let scratch = scratch::directory();
    let journal = Journal::open(scratch.path(), &JournalOptions::default()).unwrap();
    // Nobody listens there.
    let options = KafkaOptions { brokers: "127.0.0.1:1".to_owned(), ..KafkaOptions::default() };
    let publisher = JournalPublisher::start(&journal, &options).unwrap();
    let event = r#"{"id":"1","type":"enabled","time":"2026-03-01T10:00:00Z","clientKey":"c","appKey":"a"}"#;
    let at = ledger_core::time::Timestamp::from_millis(1_800_000_000_000);
    journal.append_all([(event.as_bytes().to_vec(), at)].into_iter()).unwrap();
    wait::for_value(|| {
        let status = journal.status();
        let says = status.blocked.as_deref().is_some_and(|reason| reason.contains("line 1 of the journal"));
        let is_told = says && status.waiting_events == 1 && status.oldest == Some(at);
        if is_told { Ok(()) } else { Err(format!("{status:?}")) }
    });
    publisher.stop_by(Instant::now());
}

#[test]
fn full_disk_breaks_the_journal_until_there_is_room_and_what_was_answered_is_there() {
    let disk = SmallDisk::mount(4);
    let dir = disk.path().join("journal");
    let journal = Journal::open(&dir, &JournalOptions::default()).unwrap();
    let at = ledger_core::time::Timestamp::from_millis(1_800_000_000_000);
    let append = |journal: &Journal, number: u32| {
        let event = format!(
            r#"{{"id":"{number}","type":"enabled","time":"2026-03-01T10:00:00Z","clientKey":"c","appKey":"a"}}"#
        );
        journal.append_all([(event.into_bytes(), at)].into_iter())
    };
    append(&journal, 0).unwrap();
    disk.fill();
    // Until the page that the file has is full.
    let (answered, failed) = (1..10_000)
        .find_map(|number| append(&journal, number).err().map(|failed| (u64::from(number), failed)))
        .unwrap();
    assert!(failed.to_string().contains("No space left on device"), "{failed}");
    let failed = append(&journal, 0).unwrap_err();
    assert!(matches!(failed, AppendError::Broken { .. }) && journal.status().broken.is_some(), "{failed}");
    disk.free();
    wait::until("the journal is open again", || journal.status().broken.is_none());
    assert_eq!(journal.status().lines, answered);
    append(&journal, 0).unwrap();
    drop(journal);
    let journal = Journal::open(&dir, &JournalOptions::default()).unwrap();
    assert_eq!(journal.status().lines, answered + 1);
    append(&journal, 0).unwrap();
}

#[test]
fn line_that_a_topic_never_takes_is_passed_over_kept_and_told() {
    let (cluster, scratch) = (ledger_tests::kafka::shared(), scratch::directory());
    let topic = ledger_tests::kafka::unique_name("small");
    cluster.create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    let options = KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        topics: vec![topic.clone()],
        ..KafkaOptions::default()
    };
    let journal = Journal::open(&scratch.path().join("journal"), &JournalOptions::default()).unwrap();
    let at = ledger_core::time::Timestamp::from_millis(1_800_000_000_000);
    let event = |number: u32, site: usize| {
        // It cannot be compressed much.
        let mut random = Chance::new(u64::from(number));
        let letter = || char::from(b'a' + u8::try_from(random.below(26)).unwrap());
        let site: String = std::iter::repeat_with(letter).take(site).collect();
        let text = format!(
            r#"{{"id":"{number}","type":"installed","time":"2026-03-01T10:00:00Z","clientKey":"c","appKey":"a","siteUrl":"https://{site}"}}"#
        );
        (text.into_bytes(), at)
    };
    let long = journal.append_all([event(0, 1_000_000)].into_iter());
    assert_eq!(long, Err(AppendError::TooLong), "the bound is that of every door");
    let events = (1..6).map(|number| event(number, if number == 3 { 200_000 } else { 10 }));
    journal.append_all(events).unwrap();
    let published = publish_waiting(&journal, &options, false, |_| ()).unwrap();
    assert_eq!((published.lines, published.passed_over, journal.status().waiting_events), (4, 1, 0));
    let kept = std::fs::read_to_string(scratch.path().join("journal/unpublished.ndjson")).unwrap();
    assert!(kept.lines().count() == 1 && kept.contains(r#""id":"3""#));
    let values = cluster.read_all(&topic, Isolation::ReadCommitted).into_iter();
    let values: Vec<Value> =
        values.map(|message| serde_json::from_slice(message.value.as_deref().unwrap()).unwrap()).collect();
    let order = values.iter().map(|value| value["id"].as_str().unwrap_or("refused"));
    let mut order: Vec<_> = order.collect();
    let refused = &values[order.iter().position(|id| *id == "refused").unwrap()]["refused"];
    assert_eq!((&refused["reason"], &refused["json"]), (&"too-large".into(), &Value::Null), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("line 3 of the journal"), "{refused}");
    // What went with it the first time may be there twice.
    order.dedup();
    assert!(order.ends_with(&["1", "2", "refused", "4", "5"]), "{order:?}");
    assert_eq!(publish_waiting(&journal, &options, false, |_| ()).unwrap().lines, 0);
}
