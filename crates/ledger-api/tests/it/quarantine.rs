//! What was refused.

use ledger_api::query::{AsOf, Filter};

use crate::filled::{Filled, hour, installed, json, shard};

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
            let page = filled.ledger.quarantine(cursor.as_ref(), limit, hour(9)).unwrap();
            assert!(page.items.len() <= limit);
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
fn an_item_is_named_by_its_shard_and_number() {
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
fn a_cursor_of_another_list_is_refused() {
    let filled = refused();
    let page = filled.ledger.quarantine(None, 1, hour(9)).unwrap();
    let cursor = page.next_cursor.unwrap();
    let list = filled.ledger.installations(&Filter::default(), Some(&cursor), 1, AsOf::default(), hour(9));
    assert_eq!(list.unwrap_err().code(), "invalid-cursor");
}
