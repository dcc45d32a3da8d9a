//! Quarantine lists and items, and the byte budget of pages.

use ledger_api::query::{AsOf, AsOfAll, Filter};

use ledger_core::event::{Body, InstallationFact, Installed};
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};

use crate::filled::Ask as _;
use crate::filled::{Filled, about, client, hour, installed, json, shard};

fn refused() -> Filled {
    let mut filled = Filled::with(3);
    for partition in [0, 2, 2, 0, 2] {
        filled.refuse(partition);
    }
    filled.take(1, 1, installed("acme", "app", "EU", "EU"));
    filled
}

#[test]
fn every_page_size_gives_the_same_items() {
    let filled = refused();
    let expected = [(0, 1), (0, 2), (2, 1), (2, 2), (2, 3)];
    for limit in 1..7 {
        let (mut cursor, mut found) = (None, Vec::new());
        loop {
            let page = filled.ledger.quarantine(None, cursor.as_ref(), limit, hour(9)).unwrap();
            assert!(page.items.len() as u64 <= limit);
            found.extend(page.items.iter().map(|item| (item.shard.partition, item.record.seq)));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit}");
    }
}

#[test]
fn item_is_found_by_shard_and_seq() {
    let filled = refused();
    let item = json(&filled.ledger.quarantine_item(&shard(2), 2, hour(9)).unwrap());
    assert_eq!(item["item"]["topic"], "realm.lifecycle");
    assert_eq!(item["item"]["partition"], 2);
    assert_eq!(item["item"]["seq"], 2);
    assert_eq!(item["item"]["reason"], "missing-field");
    assert_eq!(item["item"]["path"], "clientKey");
    for (of, seq) in [(shard(2), 4), (shard(2), 0), (shard(1), 1), (shard(9), 1)] {
        let error = filled.ledger.quarantine_item(&of, seq, hour(9)).unwrap_err();
        assert_eq!(error.code(), "not-found", "{of} {seq}");
    }
}

#[test]
fn quarantine_cursor_is_refused_by_another_list() {
    let filled = refused();
    let page = filled.ledger.quarantine(None, None, 1, hour(9)).unwrap();
    let cursor = page.next_cursor.unwrap();
    let list = filled.ledger.installations(&Filter::default(), Some(&cursor), 1, AsOfAll::default(), hour(9));
    assert_eq!(list.unwrap_err().code(), "invalid-cursor");
}

fn large(bytes: usize) -> Refused {
    let rejection =
        Rejection { reason: Reason::InvalidField, path: None, detail: "expected less".to_owned() };
    let body = RefusedBody::Json("x".repeat(bytes));
    Refused { rejection, key: None, headers: Vec::new(), source_time: None, body }
}

#[test]
fn quarantine_page_ends_at_a_megabyte() {
    let mut filled = Filled::with(2);
    for partition in [0, 1] {
        for _ in 0..10 {
            filled.refuse_as(partition, large(1_000_000));
        }
    }
    let (mut cursor, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = filled.ledger.quarantine(None, cursor.as_ref(), 1000, hour(9)).unwrap();
        assert!(ledger_record::json::to_vec(&page).unwrap().len() < 3_000_000, "the limit and one more item");
        found.extend(page.items.iter().map(|item| (item.shard.partition, item.record.seq)));
        (cursor, pages) = (page.next_cursor, pages + 1);
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = [0, 1].into_iter().flat_map(|of| (1..=10).map(move |seq| (of, seq))).collect();
    assert_eq!((found, pages), (expected, 10));
}

/// An install whose record is half a megabyte.
fn long_install(of: &str) -> Body {
    let fact = Installed { site_url: Some("x".repeat(500_000)), ..Installed::default() };
    about("acme", of, InstallationFact::Installed(Box::new(fact)))
}

#[test]
fn log_page_ends_at_a_megabyte() {
    let mut filled = Filled::with(1);
    for _ in 0..20 {
        filled.take(0, 1, long_install("app"));
    }
    let (mut from, mut seqs) = (Some(1), Vec::new());
    while let Some(next) = from {
        let page = filled.ledger.log(&client("acme"), next, 1000, AsOf::default(), hour(9)).unwrap();
        assert!(ledger_record::json::to_vec(&page).unwrap().len() < 3_000_000);
        seqs.extend(page.records.iter().map(ledger_api::query::Logged::seq));
        from = page.next_seq;
    }
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
}

#[test]
fn list_page_ends_at_a_megabyte() {
    let mut filled = Filled::with(1);
    for number in 10..31 {
        filled.take(0, 1, long_install(&format!("app-{number}")));
    }
    let (filter, as_of) = (Filter::default(), AsOfAll::default());
    let (mut cursor, mut found) = (None, 0);
    loop {
        let page = filled.ledger.installations(&filter, cursor.as_ref(), 1000, as_of, hour(9)).unwrap();
        assert!(ledger_record::json::to_vec(&page).unwrap().len() < 3_000_000);
        (cursor, found) = (page.next_cursor, found + page.installations.len());
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, 21);
}

#[test]
fn items_are_filtered_by_reason() {
    let mut filled = refused();
    filled.refuse_as(1, large(10));
    filled.refuse_as(2, large(10));
    let asked = |reason, cursor: Option<&_>| filled.ledger.quarantine(reason, cursor, 1, hour(9)).unwrap();
    let first = asked(Some(Reason::InvalidField), None);
    assert_eq!((first.items[0].shard.partition, first.items[0].record.seq), (1, 1));
    let second = asked(Some(Reason::InvalidField), first.next_cursor.as_ref());
    assert_eq!((second.items[0].shard.partition, second.items[0].record.seq), (2, 4));
    assert!(second.next_cursor.is_none());
    let of_another = filled.ledger.quarantine(None, first.next_cursor.as_ref(), 1, hour(9)).unwrap_err();
    assert_eq!(of_another.code(), "invalid-cursor");
    assert!(asked(Some(Reason::TooLarge), None).items.is_empty());
}
