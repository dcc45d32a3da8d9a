//! Subscriptions to decisions: the border between catching up and being live, cursors, ends.

mod border;
pub(crate) mod doors;
mod ledgers;
mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ledger_api::decisions::{
    DecisionFilter, DecisionItem, Decisions, DecisionsEnd, DecisionsFrom, ShardState,
};
use ledger_api::limits::SubscriptionBounds;

use crate::filled::{Filled, app, installed};
use subscriber::{Log, Subscriber, runtime};

/// Nothing ends a subscription, and nothing but notices comes.
pub(crate) fn patient() -> SubscriptionBounds {
    SubscriptionBounds {
        heartbeat: Duration::from_hours(1),
        behind_notices: u64::MAX,
        behind_bytes: u64::MAX,
        ..SubscriptionBounds::default()
    }
}

fn many(filled: &mut Filled, partition: usize, count: usize) {
    // A tenant that installs again as it was changes nothing.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    let client = |number| format!("c{number}");
    let events = (first..first + count).map(|number| (1, 1, installed(&client(number), "app", "EU", "EU")));
    filled.take_all(partition, events);
}

#[test]
fn a_client_that_takes_less_than_comes_is_ended_and_goes_on_from_its_cursor() {
    let mut filled = Filled::with(1);
    let bounds = SubscriptionBounds { behind_notices: 200, ..patient() };
    let decisions = Decisions::of(Arc::clone(&filled.ledger), bounds);
    let runtime = runtime();
    let mut slow = Subscriber::start(&runtime, &decisions, DecisionsFrom::Now, DecisionFilter::default());
    let mut quick = Subscriber::start(&runtime, &decisions, DecisionsFrom::Now, DecisionFilter::default());
    // A burst alone ends nothing: it is taken in time.
    many(&mut filled, 0, 1000);
    for subscriber in [&mut slow, &mut quick] {
        subscriber.take(1000);
        assert_eq!(subscriber.end(), None);
    }
    // One portion is taken, and no more.
    many(&mut filled, 0, 1000);
    assert!(slow.take(1) == 1 && quick.take(1000) == 1000);
    std::thread::sleep(Duration::from_millis(100));
    many(&mut filled, 0, 300);
    assert_eq!(quick.take(300), 300);
    let until = Instant::now() + Duration::from_secs(20);
    while slow.end().is_none() && Instant::now() < until {
        slow.take(1);
    }
    let Some(DecisionsEnd::SlowConsumer { notices: 300, bytes }) = slow.end() else {
        panic!("{:?}", slow.end())
    };
    assert!(bytes > 300 * 400 && slow.had() < 2300, "{bytes} {}", slow.had());
    let mut again = slow.resumed(&decisions, DecisionFilter::default());
    again.take(2300 - slow.had());
    let log = Log::of(&filled);
    assert_eq!([slow.texts(), again.texts()].concat(), log.texts(0));
    assert_eq!(quick.texts(), log.texts(0));
}

#[test]
fn a_client_that_filters_is_behind_by_what_it_would_get() {
    let mut filled = Filled::with(1);
    let bounds = SubscriptionBounds { behind_notices: 100, ..patient() };
    let decisions = Decisions::of(Arc::clone(&filled.ledger), bounds);
    let runtime = runtime();
    let filter = DecisionFilter { app: Some(app("rare")), ..DecisionFilter::default() };
    let mut subscriber = Subscriber::start(&runtime, &decisions, DecisionsFrom::Now, filter);
    filled.take_all(0, (0..50).map(|number| (1, 1, installed(&format!("r{number}"), "rare", "EU", "EU"))));
    subscriber.take(1);
    for _ in 0..5 {
        many(&mut filled, 0, 1000);
        std::thread::sleep(Duration::from_millis(30));
    }
    filled.take(0, 1, installed("last", "rare", "EU", "EU"));
    assert_eq!(subscriber.take(50), 50);
    assert_eq!(subscriber.end(), None);
}

#[test]
fn heartbeats_have_a_cursor_that_covers_what_the_filter_left_out() {
    let mut filled = Filled::with(2);
    let bounds = SubscriptionBounds { heartbeat: Duration::from_millis(200), ..patient() };
    let decisions = Decisions::of(Arc::clone(&filled.ledger), bounds);
    let runtime = runtime();
    let filter = DecisionFilter { app: Some(app("rare")), ..DecisionFilter::default() };
    let mut subscriber = Subscriber::start(&runtime, &decisions, DecisionsFrom::Begin, filter);
    many(&mut filled, 1, 100);
    let (begun, mut seen) = (Instant::now(), Vec::new());
    while seen.len() < 4 {
        if let DecisionItem::Heartbeat = subscriber.item(Duration::from_secs(20)).unwrap() {
            seen.push((begun.elapsed(), subscriber.cursor()));
        }
    }
    let took = seen[3].0.saturating_sub(seen[0].0);
    assert!(took >= Duration::from_millis(500) && took < SubscriptionBounds::default().heartbeat, "{took:?}");
    many(&mut filled, 1, 1);
    let everything = DecisionFilter::default();
    let cursor = seen[3].1.parse().unwrap();
    let mut rest = Subscriber::start(&runtime, &decisions, DecisionsFrom::After(cursor), everything);
    assert_eq!(rest.take(1), 1);
    assert_eq!(rest.texts(), Log::of(&filled).texts(1)[100..]);
}

#[test]
fn a_shard_that_goes_away_is_reported_and_taken_up_where_it_was_when_it_comes_back() {
    let mut filled = Filled::with(2);
    let decisions = Decisions::of(Arc::clone(&filled.ledger), patient());
    let runtime = runtime();
    let mut subscriber =
        Subscriber::start(&runtime, &decisions, DecisionsFrom::Now, DecisionFilter::default());
    many(&mut filled, 1, 3);
    assert_eq!(subscriber.take(3), 3);
    filled.statuses[1].update(|now| now.is_ours = false);
    let mut change = || match subscriber.item(Duration::from_secs(10)) {
        Some(DecisionItem::Shard(change)) => (change.partition, change.state),
        other => panic!("{other:?}"),
    };
    assert_eq!(change(), (1, ShardState::Released));
    many(&mut filled, 1, 4);
    many(&mut filled, 0, 2);
    assert_eq!(subscriber.take(2), 2, "those of the other shard");
    assert_eq!(subscriber.take_within(1, Duration::from_millis(300)), 0);
    filled.statuses[1].update(|now| now.is_ours = true);
    match subscriber.item(Duration::from_secs(10)) {
        Some(DecisionItem::Shard(change)) => assert_eq!(change.state, ShardState::Assigned),
        other => panic!("{other:?}"),
    }
    assert_eq!(subscriber.take(4), 4);
    let log = Log::of(&filled);
    assert_eq!(subscriber.texts_of(1), log.texts(1));
}

#[test]
fn a_ledger_that_stops_ends_its_subscriptions_and_takes_no_more() {
    let mut filled = Filled::with(1);
    many(&mut filled, 0, 3);
    let decisions = Decisions::of(Arc::clone(&filled.ledger), patient());
    let runtime = runtime();
    let mut subscriber =
        Subscriber::start(&runtime, &decisions, DecisionsFrom::Begin, DecisionFilter::default());
    assert_eq!(subscriber.take(3), 3);
    decisions.close();
    assert!(subscriber.item(Duration::from_secs(10)).is_none());
    assert_eq!(subscriber.end(), Some(DecisionsEnd::Stopping));
    let refused =
        runtime.block_on(async { decisions.subscribe(DecisionsFrom::Now, DecisionFilter::default()).await });
    assert_eq!(refused.unwrap_err(), DecisionsEnd::Stopping);
}
