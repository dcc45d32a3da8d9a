//! Lineage: recorded links, and proposed ones, which equal what a look at every pair of tenants proposes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger_api::access::Grants;
use ledger_api::http::Options;
use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, Cursor, LineagePage, LineageQuery, Page};
use ledger_core::event::{Body, Evidence, InstallationFact};
use ledger_core::ids::InstallationKey;
use ledger_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::filled::{Ask as _, Filled, about, app, client, hour, installed, realm, uninstalled};
use crate::http::Server;
use crate::search::known_by;

fn other(of: &str, what: &str) -> InstallationKey {
    InstallationKey { client: client(of), app: app(what) }
}

fn continued(of: &str, what: &str, from: InstallationKey) -> Body {
    let evidence = Evidence::new("a ticket").unwrap();
    about(of, what, InstallationFact::Continued { from, from_realm: Some(realm("EU")), evidence })
}

fn superseded(of: &str, what: &str, to: InstallationKey) -> Body {
    about(of, what, InstallationFact::Superseded { to, evidence: Evidence::new("a ticket").unwrap() })
}

#[test]
fn one_that_fell_silent_before_another_appeared_is_proposed_with_the_evidence() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, known_by("old", "app", "https://www.acme.atlassian.net", "ent", "ari:1"));
    filled.take(0, 2, uninstalled("old", "app"));
    filled.take(1, 3, known_by("new", "app", "https://acme.atlassian.net/", "ent", "ari:2"));
    // What is not sent by the platform is no sign of life, and a published descriptor is none either.
    filled.take(0, 5, about("old", "app", InstallationFact::DataLocated { realm: realm("EU") }));
    filled.publish(6, "app", &["EU"]);
    // Another app does not go on, and one that was heard of later was not replaced.
    filled.take(1, 3, known_by("new", "other", "https://acme.atlassian.net/", "", ""));
    filled.take(0, 1, known_by("alive", "app", "https://busy.atlassian.net", "", ""));
    filled.take(1, 3, known_by("beside", "app", "https://busy.atlassian.net", "", ""));
    filled.take(0, 4, uninstalled("alive", "app"));
    let server = Server::of(&filled.ledger, Options::default());
    let lineage = |query: &str| server.get(&format!("/v1/lineage{query}")).json();
    let all = lineage("");
    assert_eq!(all["links"], json!([]));
    let (first, second, third) =
        ("2026-03-01T01:00:00.000Z", "2026-03-01T02:00:00.000Z", "2026-03-01T03:00:00.000Z");
    assert_eq!(
        all["proposals"],
        json!([{
            "appKey": "app",
            "from": {"clientKey": "old", "status": "UNINSTALLED", "pinnedRealm": "EU",
                     "firstSeq": 1, "firstEvent": first, "lastSeq": 2, "lastEvent": second},
            "to": {"clientKey": "new", "status": "INSTALLED", "pinnedRealm": "EU",
                   "firstSeq": 1, "firstEvent": third, "lastSeq": 1, "lastEvent": third},
            "shared": [{"by": "SITE_HOST", "value": "acme.atlassian.net"}, {"by": "ENTITLEMENT_ID", "value": "ent"}],
        }])
    );
    for (query, count) in [
        ("?clientKey=old", 1),
        ("?clientKey=new&appKey=app", 1),
        ("?clientKey=alive", 0),
        ("?clientKey=never", 0),
        ("?appKey=other", 0),
    ] {
        assert_eq!(lineage(query)["proposals"].as_array().unwrap().len(), count, "{query}");
    }
    // Nothing follows from a proposal.
    let state = server.get("/v1/tenants/new/apps/app").json();
    assert_eq!(state["installation"]["predecessor"], Value::Null);
}

#[test]
fn a_recorded_link_is_listed_once_and_proposed_no_more() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, known_by("old", "app", "https://acme.atlassian.net", "", ""));
    filled.take(1, 3, known_by("new", "app", "https://acme.atlassian.net/", "", ""));
    let server = Server::of(&filled.ledger, Options::default());
    let lineage = |query: &str| server.get(&format!("/v1/lineage{query}")).json();
    assert_eq!(lineage("")["proposals"].as_array().unwrap().len(), 1);
    filled.take(0, 4, superseded("old", "app", other("new", "app")));
    let (from, to) =
        (json!({"clientKey": "old", "appKey": "app"}), json!({"clientKey": "new", "appKey": "app"}));
    let half = json!([{"from": from, "to": to, "recorded": ["superseded"]}]);
    assert_eq!((&lineage("")["links"], &lineage("")["proposals"]), (&half, &json!([])));
    filled.take(1, 4, continued("new", "app", other("old", "app")));
    let from = json!({"clientKey": "old", "appKey": "app", "realm": "EU"});
    let whole = json!([{"from": from, "to": to, "recorded": ["continued", "superseded"]}]);
    for query in ["", "?clientKey=old", "?clientKey=new", "?appKey=app"] {
        let linked = lineage(query);
        assert_eq!((&linked["links"], &linked["proposals"]), (&whole, &json!([])), "{query}");
    }
    assert_eq!(lineage("?clientKey=beside")["links"], json!([]));
    // A decision at the old one clears its half; another origin replaces the other.
    filled.take(0, 5, installed("old", "app", "EU", ""));
    let half = json!([{"from": from, "to": to, "recorded": ["continued"]}]);
    assert_eq!(lineage("")["links"], half);
    filled.take(1, 6, continued("new", "app", other("elsewhere", "forge-app")));
    let from = json!({"clientKey": "elsewhere", "appKey": "forge-app", "realm": "EU"});
    assert_eq!(lineage("")["links"], json!([{"from": from, "to": to, "recorded": ["continued"]}]));
}

#[test]
fn a_link_between_two_apps_shows_what_is_granted_of_it() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, installed("t", "connect", "EU", ""));
    filled.take(1, 1, installed("u", "forge", "EU", ""));
    filled.take(0, 2, superseded("t", "connect", other("u", "forge")));
    filled.take(1, 2, continued("u", "forge", other("t", "connect")));
    let recorded = |apps: &[&str], query: &str| {
        let ledger = Arc::new(filled.ledger.seen_with(&Grants::parse(apps).unwrap()));
        let page = Server::of(&ledger, Options::default()).get(&format!("/v1/lineage{query}")).json();
        let links = page["links"].as_array().unwrap().iter();
        links.map(|link| link["recorded"].clone()).collect::<Vec<_>>()
    };
    let both = json!(["continued", "superseded"]);
    for query in ["", "?appKey=connect", "?appKey=forge", "?clientKey=t"] {
        assert_eq!(recorded(&["*"], query), std::slice::from_ref(&both), "{query}");
    }
    assert_eq!(recorded(&["connect"], ""), [json!(["superseded"])]);
    assert_eq!(recorded(&["forge"], ""), [json!(["continued"])]);
    assert_eq!((recorded(&["connect"], "?appKey=forge"), recorded(&["a"], "")), (vec![], vec![]));
}

#[test]
fn a_torn_tenant_is_named_and_proposed_nowhere() {
    let mut filled = Filled::with(3);
    filled.take(0, 1, known_by("torn", "app", "https://acme.atlassian.net", "", ""));
    filled.take(1, 1, known_by("torn", "app", "https://acme.atlassian.net", "", ""));
    filled.take(2, 3, known_by("new", "app", "https://acme.atlassian.net/", "", ""));
    filled.take(2, 4, continued("other", "app", other("torn", "app")));
    let page = Server::of(&filled.ledger, Options::default()).get("/v1/lineage").json();
    assert_eq!((page["proposals"].clone(), page["links"].as_array().unwrap().len()), (json!([]), 1));
    assert_eq!(page["refused"].as_array().unwrap().len(), 1);
    assert_eq!(page["refused"][0]["clientKey"], "torn");
}

#[test]
fn a_name_of_many_tenants_is_named_and_proposes_nothing() {
    let mut filled = Filled::with(3);
    let crowd = "https://crowd.example.com";
    for number in 0..70_usize {
        let (tenant, hour) = (format!("crowd-{number:02}"), i64::try_from(number).unwrap());
        // Two of them share something else too.
        let entitlement = if [3, 9].contains(&number) { "ent" } else { "" };
        filled.take(number % 3, hour, known_by(&tenant, "app", crowd, entitlement, ""));
    }
    let server = Server::of(&filled.ledger, Options::default());
    for query in ["", "?clientKey=crowd-03"] {
        let page = server.get(&format!("/v1/lineage{query}")).json();
        let common = json!([{"appKey": "app", "by": "SITE_HOST", "value": "crowd.example.com"}]);
        assert_eq!(page["commonNames"], common);
        let proposals = page["proposals"].as_array().unwrap();
        assert_eq!(proposals.len(), 1, "{proposals:?}");
        assert_eq!(proposals[0]["from"]["clientKey"], "crowd-03");
        assert_eq!(proposals[0]["shared"].as_array().unwrap().len(), 2);
    }
}

const SITES: [&str; 4] = ["", "https://a.example", "https://www.A.example:443/wiki", "https://b.example/"];
const IDS: [&str; 3] = ["", "1", "2"];
const TENANTS: usize = 9;
const APPS: [&str; 2] = ["app", "other"];

/// What happens to which tenant and app, how late it is, and what the installation is known by then.
type Happened = (u8, usize, usize, i64, usize, usize);

fn history() -> impl Strategy<Value = Vec<Happened>> {
    let one = (0..10_u8, 0..TENANTS, 0..APPS.len(), 0..12_i64, 0..SITES.len(), 0..IDS.len());
    prop::collection::vec(one, 1..50)
}

fn name(tenant: usize) -> String {
    format!("t-{tenant}")
}

fn filled_with(history: &[Happened]) -> Filled {
    let mut filled = Filled::with(3);
    for (recorded, (kind, tenant, of, late, site, id)) in (20_i64..).zip(history) {
        let (who, what) = (name(*tenant), APPS[*of]);
        let body = match kind {
            0..=5 => known_by(&who, what, SITES[*site], IDS[*id], IDS[(*id + *site) % 3]),
            6 => uninstalled(&who, what),
            7 => about(&who, what, InstallationFact::DataLocated { realm: realm("US") }),
            8 => superseded(&who, what, other(&name((tenant + 1) % TENANTS), what)),
            _ => continued(&who, what, other(&name((tenant + 2) % TENANTS), what)),
        };
        filled.take_late(tenant % 3, recorded - late, recorded, body);
    }
    filled
}

/// Of one installation: names, the first and the last time that the platform sent something, and whether links are recorded.
struct Seen {
    names: BTreeSet<(String, String)>,
    first: String,
    last: String,
    predecessor: Option<String>,
    successor: Option<String>,
}

fn seen(ledger: &Ledger, tenant: &str, what: &str) -> Option<Seen> {
    let state = ledger.installation(&client(tenant), &app(what), AsOf::default(), hour(1000)).ok()?;
    let state = &crate::filled::json(&state)["installation"];
    let site = state["siteUrl"].as_str().map(|url| url.to_lowercase().contains("a.example"));
    let site = site.map(|is_a| if is_a { "a.example" } else { "b.example" });
    let names = [
        ("SITE_HOST", site),
        ("ENTITLEMENT_ID", state["entitlementId"].as_str()),
        ("INSTALLATION_ID", state["installationId"].as_str()),
    ];
    let names = names.into_iter().filter_map(|(by, name)| Some((by.to_owned(), name?.to_owned())));
    let log = ledger.log(&client(tenant), 1, 1000, AsOf::default(), hour(1000)).unwrap();
    let log = crate::filled::json(&log);
    let events = log["records"].as_array().unwrap().iter().map(|record| &record["event"]);
    let events = events.filter(|event| {
        event["appKey"] == what && ["installed", "uninstalled"].contains(&event["type"].as_str().unwrap())
    });
    let times: BTreeSet<String> = events.map(|event| event["time"].as_str().unwrap().to_owned()).collect();
    let linked = |of: &str| state[of]["clientKey"].as_str().map(ToOwned::to_owned);
    Some(Seen {
        names: names.collect(),
        first: times.first()?.clone(),
        last: times.last()?.clone(),
        predecessor: linked("predecessor"),
        successor: linked("successor"),
    })
}

type Pairs = BTreeMap<(String, String, String), BTreeSet<(String, String)>>;

/// What a look at every pair proposes: by app, older and newer tenant, the names that they share.
fn looked_up(ledger: &Ledger, apps: &[&str]) -> Pairs {
    let mut pairs = Pairs::new();
    for what in apps {
        let all: BTreeMap<String, Seen> = (0..TENANTS)
            .filter_map(|tenant| Some((name(tenant), seen(ledger, &name(tenant), what)?)))
            .collect();
        for (from, older) in &all {
            for (to, newer) in &all {
                let shared: BTreeSet<_> = older.names.intersection(&newer.names).cloned().collect();
                let lies_between = all.values().any(|third| {
                    older.last < third.first && third.last < newer.first && shared.is_subset(&third.names)
                });
                let is_linked = older.successor.is_some() || newer.predecessor.is_some();
                if older.last < newer.first && !shared.is_empty() && !lies_between && !is_linked {
                    pairs.insert(((*what).to_owned(), from.clone(), to.clone()), shared);
                }
            }
        }
    }
    pairs
}

/// The links that the states have: by app, from and to, with how many halves are recorded.
fn links_of(ledger: &Ledger, apps: &[&str]) -> BTreeMap<(String, String, String), usize> {
    let mut links = BTreeMap::new();
    for what in apps {
        for tenant in (0..TENANTS).map(name) {
            let state = ledger.installation(&client(&tenant), &app(what), AsOf::default(), hour(1000));
            let Ok(state) = state else { continue };
            let state = &crate::filled::json(&state)["installation"];
            let at = |of: &str| state[of]["clientKey"].as_str().map(ToOwned::to_owned);
            let ends = [(at("predecessor"), Some(tenant.clone())), (Some(tenant.clone()), at("successor"))];
            for (from, to) in ends {
                let (Some(from), Some(to)) = (from, to) else { continue };
                *links.entry(((*what).to_owned(), from, to)).or_default() += 1;
            }
        }
    }
    links
}

fn pages(ledger: &Ledger, query: &LineageQuery, limit: u64) -> Vec<LineagePage> {
    let (mut cursor, mut pages) = (None::<Cursor>, Vec::new());
    loop {
        let page = Page { cursor, limit: Some(limit) };
        let page = ledger.put(&LineageQuery { page, ..query.clone() }, hour(1000)).unwrap();
        // The two links of one installation are on one page.
        assert!((page.links.len() + page.proposals.len()) as u64 <= limit + 1);
        let next = page.next_cursor.clone();
        pages.push(page);
        let Some(next) = next else { return pages };
        cursor = Some(next.to_string().parse().unwrap());
    }
}

fn proposed(pages: &[LineagePage]) -> Pairs {
    let mut pairs = Pairs::new();
    for proposal in pages.iter().flat_map(|page| &page.proposals).map(crate::filled::json) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let shared = proposal["shared"].as_array().unwrap().iter();
        let shared = shared.map(|name| (text(&name["by"]), text(&name["value"]))).collect();
        let pair =
            [&proposal["appKey"], &proposal["from"]["clientKey"], &proposal["to"]["clientKey"]].map(text);
        assert!(proposal["from"]["lastEvent"].as_str() < proposal["to"]["firstEvent"].as_str());
        assert!(pairs.insert(pair.into(), shared).is_none(), "each pair once: {proposal}");
    }
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn lineage_is_what_a_look_at_every_pair_proposes(history in history(), limit in 1..4_u64) {
        let filled = filled_with(&history);
        let ledger = &filled.ledger;
        let expected = looked_up(ledger, &APPS);
        let all = pages(ledger, &LineageQuery::default(), limit);
        prop_assert_eq!(&proposed(&all), &expected);
        let mut links = BTreeMap::new();
        for link in all.iter().flat_map(|page| &page.links) {
            let from = link.from.installation.client.as_str().to_owned();
            let key = (link.to.app.as_str().to_owned(), from, link.to.client.as_str().to_owned());
            prop_assert!(links.insert(key, link.recorded.len()).is_none(), "each link once");
        }
        prop_assert_eq!(links, links_of(ledger, &APPS));
        let of_app = LineageQuery { app: Some(app("app")), ..LineageQuery::default() };
        prop_assert_eq!(proposed(&pages(ledger, &of_app, limit)), looked_up(ledger, &["app"]));
        let partner = ledger.seen_with(&Grants::parse(&["other", "absent"]).unwrap());
        prop_assert_eq!(proposed(&pages(&partner, &LineageQuery::default(), limit)), looked_up(ledger, &["other"]));
        for tenant in (0..TENANTS).map(name) {
            let query = LineageQuery { client: Some(client(&tenant)), ..LineageQuery::default() };
            let mut of_tenant = expected.clone();
            of_tenant.retain(|(_, from, to), _| [from, to].contains(&&tenant));
            prop_assert_eq!(proposed(&pages(ledger, &query, limit)), of_tenant, "{}", tenant);
        }
    }
}

#[test]
fn lineage_does_not_depend_on_the_instant_of_asking() {
    let filled = filled_with(&[(0, 0, 0, 0, 1, 1), (0, 1, 0, 0, 1, 1)]);
    let at = |now: Timestamp| {
        let page = filled.ledger.put(&LineageQuery::default(), now).unwrap();
        crate::filled::json(&page)["proposals"].clone()
    };
    assert_eq!(at(hour(0)), at(hour(100_000)));
    assert_eq!(at(hour(0)).as_array().unwrap().len(), 1);
}
