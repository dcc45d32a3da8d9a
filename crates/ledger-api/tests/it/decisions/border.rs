//! The border between the log and what is new: whatever is appended, read and dropped in between, every subscription gets
//! each notice of its span once, in the order of the shard's log.

use std::sync::Arc;
use std::time::Duration;

use ledger_api::decisions::{DecisionFilter, Decisions, DecisionsFrom};
use ledger_api::limits::SubscriptionBounds;
use ledger_core::event::{AppFact, Body};
use ledger_core::state::Rule;
use proptest::prelude::*;

use super::patient;
use super::subscriber::{Log, Subscriber, passes, runtime};
use crate::filled::{Filled, app, descriptor, installed, product_moved, uninstalled};

const SHARDS: usize = 2;
const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
const APPS: [&str; 2] = ["one", "two"];
const REGIONS: [&[&str]; 3] = [&["EU"], &["EU", "US"], &[]];

#[derive(Debug, Clone)]
enum Op {
    /// Events of one batch: what kind, of which client and app, how many hours late.
    Append(usize, Vec<(u8, usize, usize, i64)>),
    /// A subscription begins: at the beginning, now, or where another one is.
    Subscribe(u8, DecisionFilter),
    /// One of them takes so many notices, if they come at once.
    Take(usize, usize),
    /// One of them is dropped, and begins again from its cursor.
    Resume(usize),
    Wait(u64),
}

fn filter() -> impl Strategy<Value = DecisionFilter> {
    let rule = prop_oneof![4 => Just(None), 1 => Just(Some(Rule::Fresh))];
    let app = prop_oneof![2 => Just(None), 1 => Just(Some(app("one")))];
    let flag = || prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (app, rule, flag(), flag(), flag()).prop_map(|(app, rule, moved, divergent, corrections)| {
        DecisionFilter { app, rule, moved, divergent, corrections, ..DecisionFilter::default() }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let event = (0..10_u8, 0..CLIENTS.len(), 0..APPS.len(), 0..20_i64);
    prop_oneof![
        4 => (0..SHARDS, prop::collection::vec(event, 1..40)).prop_map(|(shard, events)| Op::Append(shard, events)),
        2 => (0..3_u8, prop_oneof![Just(DecisionFilter::default()), filter()])
            .prop_map(|(from, filter)| Op::Subscribe(from, filter)),
        3 => (any::<prop::sample::Index>(), 1..30_usize).prop_map(|(which, count)| Op::Take(which.index(64), count)),
        1 => any::<prop::sample::Index>().prop_map(|which| Op::Resume(which.index(64))),
        1 => (0..30_u64).prop_map(Op::Wait),
    ]
}

fn append(filled: &mut Filled, shard: usize, hour: i64, events: &[(u8, usize, usize, i64)]) {
    let bodies = events.iter().map(|(kind, client, of, late)| {
        let (client, what) = (CLIENTS[*client], APPS[*of]);
        // A tenant is in one shard.
        let client = format!("{client}-{shard}");
        let body = match kind {
            0..=3 => installed(&client, what, ["EU", "US", ""][usize::from(*kind) % 3], "EU"),
            4..=6 => uninstalled(&client, what),
            7 => product_moved(&client, "US"),
            _ => {
                let descriptor = descriptor(REGIONS[usize::from(*kind + u8::try_from(*late).unwrap()) % 3]);
                Body::App { app: app(what), fact: AppFact::DescriptorPublished { descriptor } }
            }
        };
        (hour - late, hour, body)
    });
    filled.take_all(shard, bodies);
}

/// A subscription, its filter, and what it and those before it should have.
struct Asked<'r> {
    subscriber: Subscriber<'r>,
    filter: DecisionFilter,
    /// Of each shard: the position it begins at.
    from: [u64; SHARDS],
    before: [Vec<String>; SHARDS],
}

fn heads(filled: &Filled) -> [u64; SHARDS] {
    let readers = filled.readers();
    std::array::from_fn(|shard| readers[shard].1.next_position())
}

fn run(ops: Vec<Op>, kept_notices: usize) {
    let runtime = runtime();
    let mut filled = Filled::with(u32::try_from(SHARDS).unwrap());
    let bounds = SubscriptionBounds { kept_notices, ..patient() };
    let decisions = Decisions::of(Arc::clone(&filled.ledger), bounds);
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for (hour, op) in (100..).zip(ops) {
        match op {
            Op::Append(shard, events) => append(&mut filled, shard, hour, &events),
            Op::Subscribe(from, filter) => {
                let (from, start) = match from {
                    0 => (DecisionsFrom::Begin, [0; SHARDS]),
                    _ => (DecisionsFrom::Now, heads(&filled)),
                };
                let subscriber = Subscriber::start(&runtime, &decisions, from, filter.clone());
                asked.push(Asked { subscriber, filter, from: start, before: Default::default() });
            }
            Op::Take(which, count) if !asked.is_empty() => {
                let which = which % asked.len();
                asked[which].subscriber.take_within(count, Duration::from_millis(5));
            }
            Op::Resume(which) if !asked.is_empty() => {
                let which = which % asked.len();
                let one = &mut asked[which];
                for (shard, before) in one.before.iter_mut().enumerate() {
                    before.append(&mut one.subscriber.texts_of(shard));
                }
                one.subscriber = one.subscriber.resumed(&decisions, one.filter.clone());
            }
            Op::Wait(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
            Op::Take(..) | Op::Resume(_) => {}
        }
    }
    let log = Log::of(&filled);
    for one in &mut asked {
        let expected: [Vec<String>; SHARDS] = std::array::from_fn(|shard| {
            let all = log.since(shard, one.from[shard]).into_iter();
            all.filter(|text| passes(&one.filter, text)).collect()
        });
        let before = one.before.iter().map(Vec::len).sum::<usize>() + one.subscriber.had();
        let left = (expected.iter().map(Vec::len).sum::<usize>()).saturating_sub(before);
        one.subscriber.take(left);
        assert_eq!(one.subscriber.take_within(1, Duration::from_millis(45)), 0, "more than there is");
        for (shard, expected) in expected.into_iter().enumerate() {
            let received = [std::mem::take(&mut one.before[shard]), one.subscriber.texts_of(shard)].concat();
            assert_eq!(received, expected, "shard {shard} of {:?}", one.filter);
        }
        assert_eq!(one.subscriber.end(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn each_notice_comes_once_and_in_order_wherever_a_subscription_begins(
        ops in prop::collection::vec(op(), 4..40),
        kept in prop_oneof![1..40_usize, Just(40_000)],
    ) {
        run(ops, kept);
    }
}

#[test]
fn many_corrections_of_one_record_are_gone_through_in_several_portions() {
    let runtime = runtime();
    let mut filled = Filled::with(1);
    filled.publish(0, "app", &["EU", "US"]);
    let events = (0..700).flat_map(|number| {
        let client = format!("c{number:04}");
        [(1, 1, installed(&client, "app", "US", "US")), (3, 3, uninstalled(&client, "app"))]
    });
    filled.take_all(0, events);
    let decisions = Decisions::of(Arc::clone(&filled.ledger), patient());
    let mut live = Subscriber::start(&runtime, &decisions, DecisionsFrom::Now, DecisionFilter::default());
    let fact = AppFact::DescriptorPublished { descriptor: descriptor(&["EU"]) };
    let late = filled.take_late(0, 0, 5, Body::App { app: app("app"), fact });
    let log = Log::of(&filled);
    let of_last = log.since(0, late);
    assert!(of_last.len() >= 700, "{}", of_last.len());
    live.take(of_last.len());
    assert_eq!(live.texts(), of_last);
    let everything = DecisionFilter::default();
    let mut behind = Subscriber::start(&runtime, &decisions, DecisionsFrom::Begin, everything.clone());
    let mut received = Vec::new();
    // From a cursor in the middle of the record, again and again.
    while received.len() < log.texts(0).len() {
        behind.take(137);
        let again = behind.resumed(&decisions, everything.clone());
        received.extend(std::mem::replace(&mut behind, again).texts());
    }
    assert_eq!(received, log.texts(0));
}

#[test]
fn those_that_catch_up_together_get_what_the_log_has_wherever_they_begin() {
    let runtime = runtime();
    let mut filled = Filled::with(1);
    let of = |number: usize| ["app", "rare"][usize::from(number % 50 == 7)];
    let events = (0..1000).map(|number| (1, 1, installed(&format!("c{number:04}"), of(number), "EU", "EU")));
    filled.take_all(0, events);
    let (log, decisions) = (Log::of(&filled).texts(0), Decisions::of(Arc::clone(&filled.ledger), patient()));
    let everything = DecisionFilter::default();
    let rare = DecisionFilter { app: Some(app("rare")), ..everything.clone() };
    // What the first of them read is kept for those that follow.
    for had in [0, 1, 255, 256, 257, 900, 40] {
        let mut begun = Subscriber::start(&runtime, &decisions, DecisionsFrom::Begin, everything.clone());
        assert_eq!(begun.take(had), had);
        for filter in [&everything, &rare] {
            let left: Vec<_> = log[had..].iter().filter(|text| passes(filter, text)).cloned().collect();
            let mut rest = begun.resumed(&decisions, filter.clone());
            rest.take(left.len());
            assert_eq!(rest.texts(), left, "behind {had}");
        }
    }
}
