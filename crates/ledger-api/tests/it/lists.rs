//! Lists: each list equals what a query for every single installation gives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ledger_api::access::Grants;
use ledger_api::ledger::{InstallationState, Ledger};
use ledger_api::query::{AsOf, AsOfAll, Cursor, Filter, MigrationFilter, WindowFilter};
use ledger_core::event::{AppFact, Body, InstallationFact};
use ledger_core::ids::{AppKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::state::Status;
use ledger_core::time::Timestamp;

use crate::filled::Ask as _;
use crate::filled::{
    Filled, about, app, client, hour, installed, installed_with, product_moved, realm, uninstalled,
};

const TENANTS: u64 = 60;
const APPS: [&str; 3] = ["a", "a.b", "z"];
const REALMS: [&str; 4] = ["EU", "US", "DE", "GLOBAL"];

/// A pseudo-random sequence with a fixed seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn of<'a>(&mut self, choice: &[&'a str]) -> &'a str {
        choice[self.throw(choice.len())]
    }
}

/// Sixty hours of many tenants in three shards; some events are dated ahead, some late.
fn busy() -> Filled {
    let mut filled = Filled::with(3);
    let mut dice = Dice(7);
    for of in APPS {
        filled.publish(0, of, &["EU", "DE"]);
        let modes = [Policy::Days { days: 1 }, Policy::Indefinite, Policy::Off];
        let policy = modes[dice.throw(3)];
        for partition in 0..3 {
            filled.take(partition, 0, Body::App { app: app(of), fact: AppFact::PolicySet { policy } });
        }
    }
    for recorded in 1..=60_i64 {
        let mut batches: [Vec<_>; 3] = Default::default();
        for _ in 0..8 {
            let number = dice.throw(usize::try_from(TENANTS).unwrap());
            let (who, what) = (format!("t-{number}"), dice.of(&APPS));
            let body = event(&mut dice, &who, what);
            let shift = [0, 0, 0, 0, 0, -5, 3, 20][dice.throw(8)];
            batches[number % 3].push(((recorded + shift).max(1), recorded, body));
        }
        for (partition, batch) in batches.into_iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            filled.take_all(partition, batch);
        }
        if recorded == 30 {
            filled.publish(30, "a", &["US"]);
        }
    }
    filled
}

fn event(dice: &mut Dice, who: &str, what: &str) -> Body {
    match dice.throw(9) {
        8 => about(who, what, migration(dice)),
        0 | 1 => installed(who, what, dice.of(&REALMS), dice.of(&REALMS)),
        2 => installed_with(who, what, dice.of(&REALMS), &[dice.of(&REALMS[..3])]),
        3 | 4 => uninstalled(who, what),
        5 => product_moved(who, dice.of(&REALMS)),
        6 => about(who, what, InstallationFact::Enabled),
        _ => about(who, what, InstallationFact::DataLocated { realm: realm(dice.of(&REALMS)) }),
    }
}

fn migration(dice: &mut Dice) -> InstallationFact {
    let migration = MigrationId::new(dice.of(&["1", "2"])).unwrap();
    if dice.throw(4) == 0 {
        return InstallationFact::MigrationRolledBack { migration };
    }
    let target = realm(dice.of(&REALMS));
    InstallationFact::MigrationScheduled { migration, target, start_time: None, end_time: None }
}

fn filters(at: Timestamp) -> Vec<Filter> {
    let none = Filter::default;
    vec![
        none(),
        Filter { app: Some(app("a")), ..none() },
        Filter { app: Some(app("a.b")), status: Some(Status::Uninstalled), ..none() },
        Filter { status: Some(Status::Installed), ..none() },
        Filter { realm: Some(realm("EU")), ..none() },
        Filter { realm: Some(realm("GLOBAL")), app: Some(app("z")), ..none() },
        Filter { drift: Some(true), ..none() },
        Filter { drift: Some(true), app: Some(app("a")), ..none() },
        Filter { drift: Some(true), realm: Some(realm("US")), ..none() },
        Filter { drift: Some(false), ..none() },
        Filter { split_brain: Some(true), ..none() },
        Filter { split_brain: Some(false), realm: Some(realm("DE")), ..none() },
        Filter { anomalous: Some(true), ..none() },
        Filter { anomalous: Some(false), ..none() },
        Filter { window: Some(WindowFilter::Open), ..none() },
        Filter { window: Some(WindowFilter::Open), app: Some(app("z")), ..none() },
        Filter { window: Some(WindowFilter::ClosingBefore(at.plus_days(1))), ..none() },
        Filter { migration: Some(MigrationFilter::default()), ..none() },
        Filter { migration: Some(MigrationFilter { overdue: Some(true) }), ..none() },
        Filter { migration: Some(MigrationFilter { overdue: Some(false) }), ..none() },
        Filter { migration: Some(MigrationFilter::default()), app: Some(app("z")), ..none() },
    ]
}

/// Whether a state matches the filter, judged by its shown fields.
fn belongs(filter: &Filter, state: &InstallationState) -> bool {
    let shown = crate::filled::json(state);
    let flag = |name: &str| shown[name].as_bool().unwrap();
    let window = &state.installation.window;
    filter.app.as_ref().is_none_or(|app| *app == state.app)
        && filter.status.is_none_or(|status| shown["status"] == status.as_str())
        && filter.realm.is_none_or(|realm| shown["pinnedRealm"] == realm.as_str())
        && filter.drift.is_none_or(|drift| drift == flag("drift"))
        && filter.split_brain.is_none_or(|split| split == flag("splitBrain"))
        && filter.anomalous.is_none_or(|odd| odd == (shown["anomalyCount"] != 0))
        && filter.window.is_none_or(|asked| {
            let ends = match asked {
                WindowFilter::Open => true,
                WindowFilter::ClosingBefore(end) => {
                    window.is_some_and(|window| window.end.is_some_and(|at| at < end))
                }
            };
            shown["window"]["state"] == "OPEN" && ends
        })
        && filter.migration.is_none_or(|asked| {
            shown["migration"].is_object()
                && asked.overdue.is_none_or(|overdue| shown["migration"]["overdue"] == overdue)
        })
}

/// The list, one installation after the other.
fn expected(ledger: &Ledger, filter: &Filter, as_of: AsOfAll, now: Timestamp) -> Vec<InstallationState> {
    let mut states = Vec::new();
    for number in 0..TENANTS {
        match ledger.tenant(&client(&format!("t-{number}")), as_of.into(), now) {
            Ok(answer) => states.extend(answer.installations),
            Err(error) => assert_eq!(error.code(), "not-found"),
        }
    }
    states.retain(|state| belongs(filter, state));
    states.sort_by_key(|state| {
        let end = state.installation.window.and_then(|window| window.end).unwrap_or(Timestamp::MAX);
        let end = filter.window.map(|_| end);
        (end, state.client.clone(), state.app.clone())
    });
    states
}

fn listed(
    ledger: &Ledger,
    filter: &Filter,
    limit: u64,
    as_of: AsOfAll,
    now: Timestamp,
) -> Vec<InstallationState> {
    let (mut cursor, mut states) = (None::<Cursor>, Vec::new());
    loop {
        let page = ledger.installations(filter, cursor.as_ref(), limit, as_of, now).unwrap();
        assert!(page.installations.len() as u64 <= limit);
        states.extend(page.installations);
        let Some(next) = page.next_cursor else { return states };
        cursor = Some(next.to_string().parse().unwrap());
    }
}

#[test]
fn list_is_right_at_every_instant_and_page_size() {
    let filled = busy();
    let mut found = BTreeSet::new();
    // During the history, with events ahead, and after it, when the index alone answers.
    for now in [10, 31, 60, 100] {
        for (place, filter) in filters(hour(now)).iter().enumerate() {
            let as_of = AsOfAll::default();
            let expected = expected(&filled.ledger, filter, as_of, hour(now));
            for limit in [1, 3, 50, 1000] {
                let listed = listed(&filled.ledger, filter, limit, as_of, hour(now));
                assert_eq!(listed, expected, "{filter:?} at {now} by {limit}");
            }
            if !expected.is_empty() {
                found.insert(place);
            }
        }
    }
    assert_eq!(found.len(), filters(hour(0)).len(), "every list was tried with something on it");
}

#[test]
fn list_respects_the_knowledge_bound() {
    let filled = busy();
    let now = hour(100);
    for known in [5, 30, 59] {
        let as_of = AsOfAll { at: Some(hour(40)), known_at: Some(hour(known)) };
        for filter in filters(hour(40)) {
            let expected = expected(&filled.ledger, &filter, as_of, now);
            assert_eq!(listed(&filled.ledger, &filter, 7, as_of, now), expected, "{filter:?} {known}");
        }
    }
}

#[test]
fn list_of_a_grant_of_some_apps_is_the_whole_one_without_the_others() {
    let filled = busy();
    let granted = [app("a"), app("z"), app("absent")];
    let partner = filled.ledger.seen_with(&Grants::parse(&granted.each_ref().map(AppKey::as_str)).unwrap());
    let past = AsOfAll { at: Some(hour(40)), known_at: Some(hour(50)) };
    for (as_of, now) in [(AsOfAll::default(), 31), (AsOfAll::default(), 100), (past, 100)] {
        for filter in filters(as_of.at.unwrap_or(hour(now))) {
            let mut expected = expected(&filled.ledger, &filter, as_of, hour(now));
            expected.retain(|state| granted.contains(&state.app));
            for limit in [2, 1000] {
                let listed = listed(&partner, &filter, limit, as_of, hour(now));
                assert_eq!(listed, expected, "{filter:?} at {now} by {limit}");
            }
        }
    }
}

/// Regression: the time of a page told how many installations of other apps are on the list.
#[test]
fn page_of_a_grant_of_some_apps_takes_no_longer_where_others_are_hidden() {
    const HIDDEN: usize = 3000;
    let on_every_list = |who: &str, of: &str| {
        let target = realm("DE");
        let migration = MigrationId::new("1").unwrap();
        let scheduled =
            InstallationFact::MigrationScheduled { migration, target, start_time: None, end_time: None };
        let located = InstallationFact::DataLocated { realm: realm("US") };
        let here = [installed(who, of, "EU", "EU"), about(who, of, located), about(who, of, scheduled)];
        let left = format!("{who}-left");
        let gone = [installed(&left, of, "EU", "EU"), uninstalled(&left, of), uninstalled(&left, of)];
        let moved = [product_moved(who, "DE")];
        here.into_iter().chain(gone).chain(moved).map(|body| (1, 1, body)).collect::<Vec<_>>()
    };
    let ledger_with = |hidden: usize| {
        let mut filled = Filled::with(1);
        for of in ["hidden", "seen"] {
            filled.publish(0, of, &["EU", "DE"]);
            let fact = AppFact::PolicySet { policy: Policy::Indefinite };
            filled.take(0, 0, Body::App { app: app(of), fact });
        }
        for number in (0..hidden).step_by(100) {
            let hundred = number..number + 100;
            filled.take_all(0, hundred.flat_map(|number| on_every_list(&format!("h-{number}"), "hidden")));
        }
        filled.take_all(0, (0..20).flat_map(|number| on_every_list(&format!("s-{number}"), "seen")));
        filled
    };
    let (alone, among) = (ledger_with(0), ledger_with(HIDDEN));
    let none = Filter::default;
    for filter in [
        none(),
        Filter { realm: Some(realm("EU")), ..none() },
        Filter { drift: Some(true), ..none() },
        Filter { split_brain: Some(true), ..none() },
        Filter { anomalous: Some(true), ..none() },
        Filter { window: Some(WindowFilter::Open), ..none() },
        Filter { migration: Some(MigrationFilter::default()), ..none() },
    ] {
        let shortest = |filled: &Filled| {
            let partner = filled.ledger.seen_with(&Grants::parse(&["seen"]).unwrap());
            let page = || {
                let begun = Instant::now();
                let page = partner.installations(&filter, None, 100, AsOfAll::default(), hour(9)).unwrap();
                assert!(page.installations.len() >= 20, "{filter:?}: {}", page.installations.len());
                begun.elapsed()
            };
            (0..20).map(|_| page()).min().unwrap()
        };
        let (alone, among) = (shortest(&alone), shortest(&among));
        assert!(among < 3 * alone + Duration::from_millis(1), "{filter:?}: {among:?} for {alone:?}");
    }
}

#[test]
fn appends_between_pages_neither_repeat_nor_skip_entries() {
    for filter in [
        Filter::default(),
        Filter { app: Some(app("a")), ..Filter::default() },
        Filter { window: Some(WindowFilter::Open), ..Filter::default() },
    ] {
        let mut filled = busy();
        let now = hour(100);
        let before = listed(&filled.ledger, &filter, 1000, AsOfAll::default(), now);
        let key = |state: &InstallationState| (state.client.clone(), state.app.clone());
        let (mut cursor, mut states, mut pages) = (None::<Cursor>, Vec::new(), 0);
        loop {
            let page =
                filled.ledger.installations(&filter, cursor.as_ref(), 3, AsOfAll::default(), now).unwrap();
            states.extend(page.installations.iter().map(key));
            let Some(next) = page.next_cursor else { break };
            cursor = Some(next);
            pages += 1;
            filled.take(0, 90, installed(&format!("t-{pages}-new"), "a", "EU", ""));
            filled.take(1, 90, uninstalled(&format!("new-{pages}"), "a"));
        }
        let distinct: BTreeSet<_> = states.iter().cloned().collect();
        assert_eq!(distinct.len(), states.len(), "nothing twice");
        assert!(before.iter().all(|state| distinct.contains(&key(state))), "nothing left out: {filter:?}");
    }
}

#[test]
fn cursor_of_another_filter_is_refused() {
    let filled = busy();
    let ask = |filter: &Filter, cursor: Option<&Cursor>, as_of| {
        filled.ledger.installations(filter, cursor, 1, as_of, hour(100))
    };
    let filter = Filter { realm: Some(realm("EU")), ..Filter::default() };
    let cursor = ask(&filter, None, AsOfAll::default()).unwrap().next_cursor.unwrap();
    let other = Filter { realm: Some(realm("US")), ..Filter::default() };
    let earlier = AsOfAll { at: Some(hour(50)), known_at: None };
    assert!(ask(&filter, Some(&cursor), AsOfAll::default()).is_ok());
    assert_eq!(ask(&other, Some(&cursor), AsOfAll::default()).unwrap_err().code(), "invalid-cursor");
    assert_eq!(ask(&filter, Some(&cursor), earlier).unwrap_err().code(), "invalid-cursor");
}

/// Tenants with so many records that all of them exceed the budget of one page.
fn long_lived() -> Filled {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU"]);
    for partition in [0, 1] {
        let fact = AppFact::PolicySet { policy: Policy::Indefinite };
        filled.take(partition, 0, Body::App { app: app("app"), fact });
    }
    for tenant in 0..120_usize {
        let who = format!("t-{tenant:03}");
        let hooks = (1..500).map(|_| (1, 1, about(&who, "app", InstallationFact::Enabled)));
        let last = [
            (2, 2, installed(&who, "app", "EU", "")),
            (3, 3, uninstalled(&who, "app")),
            (5, 5, about(&who, "app", InstallationFact::Enabled)),
        ];
        filled.take_all(tenant % 2, hooks.chain(last));
    }
    filled
}

#[test]
fn page_of_the_past_ends_at_its_fold_budget() {
    let filled = long_lived();
    let as_of = AsOfAll { at: Some(hour(2)), known_at: None };
    for app in [None, Some(app("app"))] {
        let filter = Filter { app, status: Some(Status::Uninstalled), ..Filter::default() };
        let page = filled.ledger.installations(&filter, None, 100, as_of, hour(9)).unwrap();
        assert_eq!(page.installations.len(), 0, "nobody had left by then");
        let next = page.next_cursor.expect("sixty thousand records are too many for a page");
        let page = filled.ledger.installations(&filter, Some(&next), 100, as_of, hour(9)).unwrap();
        assert!(page.next_cursor.is_none(), "and few enough for two");
        let there = Filter { status: Some(Status::Installed), ..filter };
        assert_eq!(listed(&filled.ledger, &there, 1000, as_of, hour(9)).len(), 120);
    }
}

#[test]
fn pages_of_past_windows_are_full_and_resume_cached() {
    let mut filled = long_lived();
    let as_of = AsOfAll { at: Some(hour(4)), known_at: None };
    for app in [None, Some(app("app"))] {
        let filter = Filter { app, window: Some(WindowFilter::Open), ..Filter::default() };
        let page = filled.ledger.installations(&filter, None, 50, as_of, hour(9)).unwrap();
        assert_eq!((page.installations.len(), page.next_cursor.is_some()), (50, true));
        // The next page uses the cached result of the first, although records were appended since.
        let next = page.next_cursor.unwrap();
        let second = |filled: &Filled| {
            let page = filled.ledger.installations(&filter, Some(&next), 50, as_of, hour(9)).unwrap();
            page.installations.iter().map(|state| state.client.clone()).collect::<Vec<_>>()
        };
        let expected = second(&filled);
        let round = u8::from(filter.app.is_some());
        filled.take_late(0, 3, 6 + i64::from(round), uninstalled(&format!("t-07{round}-new"), "app"));
        assert_eq!(second(&filled), expected);
        let anew = listed(&filled.ledger, &filter, 50, as_of, hour(9));
        assert_eq!(anew.len(), 121 + usize::from(round), "a list from its beginning");
    }
}

#[test]
fn query_past_its_deadline_times_out() {
    let filled = busy();
    let as_of = AsOfAll { at: Some(hour(40)), known_at: None };
    let impatient = filled.ledger.within(Duration::ZERO);
    for filter in [Filter::default(), Filter { window: Some(WindowFilter::Open), ..Filter::default() }] {
        let refused = impatient.installations(&filter, None, 9, as_of, hour(100)).unwrap_err();
        assert_eq!(refused.code(), "timeout");
        assert!(filled.ledger.installations(&filter, None, 9, as_of, hour(100)).is_ok());
    }
    let tenant = client("t-1");
    let what = impatient.tenant(&tenant, AsOf::default(), hour(100)).unwrap().installations.remove(0).app;
    assert_eq!(impatient.explain(&tenant, &what, as_of.into(), hour(100)).unwrap_err().code(), "timeout");
}
