//! Search: what it finds, and that it finds what a look at every tenant finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger_api::access::Grants;
use ledger_api::http::Options;
use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, Cursor, Page, SearchQuery};
use ledger_core::event::{Body, InstallationFact, Installed};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::filled::{Ask as _, Filled, about, client, hour, installed, realm};
use crate::http::Server;

/// `installed`, at a site, with an entitlement and an installation id.
pub(crate) fn known_by(of: &str, what: &str, site: &str, entitlement: &str, installation: &str) -> Body {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let fact = Installed {
        endpoint_realm: Some(realm("EU")),
        site_url: given(site),
        entitlement_id: given(entitlement),
        installation_id: given(installation),
        ..Installed::default()
    };
    about(of, what, InstallationFact::Installed(Box::new(fact)))
}

pub(crate) fn filled() -> Filled {
    let mut filled = Filled::with(3);
    filled.take(0, 1, known_by("acme-1", "one", "https://www.ACME.atlassian.net/wiki", "ent-1", "ari:1"));
    filled.take(0, 1, known_by("acme-1", "two", "https://acme.atlassian.net", "ent-2", "ari:2"));
    filled.take(1, 2, known_by("acme-2", "one", "https://acme.atlassian.net:443/", "", "ari:3"));
    filled.take(2, 2, known_by("birch", "one", "https://birch.atlassian.net", "ent-1", "ari:4"));
    filled.take(2, 3, installed("acme.atlassian.net", "one", "EU", "EU"));
    for partition in [0, 1] {
        filled.take(partition, 4, known_by("acme-torn", "one", "", "", ""));
    }
    filled
}

/// Client keys, and by what they were found.
fn found(page: &Value) -> Vec<(String, Vec<String>)> {
    let by = |tenant: &Value| {
        let matches = tenant["matches"].as_array().unwrap().iter();
        matches.map(|one| one["by"].as_str().unwrap().to_owned()).collect()
    };
    let tenants = page["tenants"].as_array().unwrap().iter();
    tenants.map(|tenant| (tenant["clientKey"].as_str().unwrap().to_owned(), by(tenant))).collect()
}

fn of(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    expected.iter().map(|(client, by)| ((*client).to_owned(), own(by))).collect()
}

#[test]
fn tenants_are_found_by_the_beginning_of_the_key_and_by_whole_names() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let search = |q: &str| {
        let answer = server.get(&format!("/v1/search?q={q}"));
        assert_eq!(answer.status, 200, "{q}: {}", answer.body);
        answer.json()
    };
    let page = search("acme");
    assert_eq!(
        found(&page),
        of(&[
            ("acme-1", &["CLIENT_KEY"]),
            ("acme-2", &["CLIENT_KEY"]),
            ("acme.atlassian.net", &["CLIENT_KEY"])
        ])
    );
    assert_eq!(page["refused"][0]["clientKey"], "acme-torn");
    assert_eq!(
        page["searched"],
        json!({"clientKeyPrefix": "acme", "siteHost": "acme", "entitlementId": "acme", "installationId": "acme"})
    );
    for q in ["acme.atlassian.net", "https://www.Acme.atlassian.net/jira", "ACME.ATLASSIAN.NET"] {
        let expected = of(&[("acme-1", &["SITE_HOST"]), ("acme-2", &["SITE_HOST"])]);
        assert!(found(&search(q)).starts_with(&expected), "{q}: {:?}", search(q));
    }
    let of_host = search("acme.atlassian.net");
    assert_eq!(of_host["tenants"][0]["matches"][0]["appKeys"], json!(["one", "two"]));
    assert_eq!(of_host["tenants"][2]["matches"], json!([{"by": "CLIENT_KEY"}]));
    assert_eq!(
        found(&search("ent-1")),
        of(&[("acme-1", &["ENTITLEMENT_ID"]), ("birch", &["ENTITLEMENT_ID"])])
    );
    assert_eq!(found(&search("ari:3")), of(&[("acme-2", &["INSTALLATION_ID"])]));
    assert_eq!(found(&search("ari")), of(&[]), "only as a whole");
    assert_eq!(found(&search("BIRCH")), of(&[]), "keys are compared letter by letter");
    for q in ["", "%00", &"x".repeat(2049)] {
        let refused = server.get(&format!("/v1/search?q={q}")).json();
        assert_eq!((&refused["code"], &refused["parameter"]), (&json!("invalid-parameter"), &json!("q")));
    }
}

#[test]
fn a_name_that_changed_is_found_as_it_is_now() {
    let mut filled = filled();
    filled.take(2, 5, known_by("birch", "one", "https://cedar.atlassian.net", "ent-1", "ari:5"));
    let server = Server::of(&filled.ledger, Options::default());
    let search = |q: &str| found(&server.get(&format!("/v1/search?q={q}")).json());
    assert_eq!(search("cedar.atlassian.net"), of(&[("birch", &["SITE_HOST"])]));
    assert_eq!((search("birch.atlassian.net"), search("ari:4")), (of(&[]), of(&[])));
    assert_eq!(search("ari:5"), of(&[("birch", &["INSTALLATION_ID"])]));
}

#[test]
fn pages_of_a_search_have_each_tenant_once() {
    let mut filled = Filled::with(2);
    for partition in [0, 1] {
        let numbers = (0..130).filter(|number| number % 2 == partition);
        let body = |number| known_by(&format!("t-{number:03}"), "app", "t-.example.com", "", "");
        filled.take_all(partition, numbers.map(|number| (1, 1, body(number))));
    }
    let server = Server::of(&filled.ledger, Options::default());
    let (mut next, mut all) = (String::new(), Vec::new());
    loop {
        let page = server.get(&format!("/v1/search?q=t-&limit=7{next}")).json();
        all.extend(found(&page).into_iter().map(|(client, _)| client));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(all, (0..130).map(|number| format!("t-{number:03}")).collect::<Vec<_>>());
    let other = server.get(&format!("/v1/search?q=t{next}")).json();
    assert_eq!(other["code"], "invalid-cursor");
}

const SITES: [&str; 5] =
    ["https://a.example", "https://www.A.example:443/wiki", "https://b.example/", "a.example", ""];
const IDS: [&str; 4] = ["", "1", "ab", "a.example"];
const CLIENTS: [&str; 7] = ["1", "a", "a.example", "ab", "abc", "b", "ä"];
const APPS: [&str; 3] = ["a", "a.b", "z"];

/// Which tenant and app, when, and what it is known by then.
type Known = (usize, usize, i64, usize, usize, usize);

fn known() -> impl Strategy<Value = Vec<Known>> {
    let one = (0..CLIENTS.len(), 0..APPS.len(), 0..9_i64, 0..SITES.len(), 0..IDS.len(), 0..IDS.len());
    prop::collection::vec(one, 1..40)
}

fn filled_with(events: &[Known]) -> Filled {
    let mut filled = Filled::with(3);
    for (recorded, (tenant, of, late, site, entitlement, installation)) in (20_i64..).zip(events) {
        let body = known_by(CLIENTS[*tenant], APPS[*of], SITES[*site], IDS[*entitlement], IDS[*installation]);
        filled.take_late(tenant % 3, recorded - late, recorded, body);
    }
    filled
}

/// A host as it would be typed, made anew here: the site as a URL with its own ways of writing.
fn host(site: &str) -> &str {
    if site.to_lowercase().contains("a.example") { "a.example" } else { "b.example" }
}

/// The tenants that a look at every one of them finds, each with by what, and of which apps.
fn looked_up(ledger: &Ledger, q: &str, apps: &[&str]) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut found = BTreeMap::new();
    for of in CLIENTS {
        let Ok(tenant) = ledger.tenant(&client(of), AsOf::default(), hour(1000)) else { continue };
        let states = tenant.installations.iter().map(crate::filled::json);
        let states: Vec<_> =
            states.filter(|state| apps.contains(&state["appKey"].as_str().unwrap())).collect();
        if states.is_empty() {
            continue;
        }
        let mut by = BTreeSet::new();
        if of.starts_with(q) {
            by.insert(("CLIENT_KEY".to_owned(), String::new()));
        }
        for state in &states {
            let site = state["siteUrl"].as_str().map(host);
            for (kind, name) in [
                ("SITE_HOST", site),
                ("ENTITLEMENT_ID", state["entitlementId"].as_str()),
                ("INSTALLATION_ID", state["installationId"].as_str()),
            ] {
                if name == Some(q) {
                    by.insert((kind.to_owned(), state["appKey"].as_str().unwrap().to_owned()));
                }
            }
        }
        if !by.is_empty() {
            found.insert(of.to_owned(), by);
        }
    }
    found
}

/// The same by a search, page by page.
fn searched(ledger: &Ledger, q: &str, limit: u64) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let (mut cursor, mut found) = (None::<Cursor>, BTreeMap::new());
    loop {
        let page = Page { cursor, limit: Some(limit) };
        let page = ledger.put(&SearchQuery { q: q.to_owned(), page }, hour(1000)).unwrap();
        assert!(page.tenants.len() as u64 <= limit);
        for tenant in page.tenants.iter().map(crate::filled::json) {
            let mut by = BTreeSet::new();
            for one in tenant["matches"].as_array().unwrap() {
                let kind = one["by"].as_str().unwrap();
                let apps = one["appKeys"].as_array().map_or(vec![String::new()], |apps| {
                    apps.iter().map(|app| app.as_str().unwrap().to_owned()).collect()
                });
                by.extend(apps.into_iter().map(|app| (kind.to_owned(), app)));
            }
            let key = tenant["clientKey"].as_str().unwrap().to_owned();
            assert!(found.keys().all(|before| *before < key), "in order, each once");
            found.insert(key, by);
        }
        let Some(next) = page.next_cursor else { return found };
        cursor = Some(next.to_string().parse().unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn search_finds_what_a_look_at_every_tenant_finds(events in known(), limit in 1..5_u64) {
        let filled = filled_with(&events);
        let partner = filled.ledger.seen_with(&Grants::parse(&["a.b", "z"]).unwrap());
        for q in ["1", "a", "ab", "a.example", "b.example", "ä", "nothing"] {
            prop_assert_eq!(searched(&filled.ledger, q, limit), looked_up(&filled.ledger, q, &APPS), "{}", q);
            prop_assert_eq!(searched(&partner, q, limit), looked_up(&filled.ledger, q, &["a.b", "z"]), "{}", q);
        }
    }
}

#[test]
fn what_is_not_granted_is_not_found_byte_for_byte() {
    let with = |hidden: bool| {
        let mut filled = Filled::with(2);
        for number in 0..9_usize {
            let (tenant, site) = (format!("t-{number}"), "https://s.example");
            filled.take(number % 2, 1, known_by(&tenant, "seen", site, "", ""));
            if hidden {
                filled.take(number % 2, 1, known_by(&tenant, "hidden", site, "e", ""));
                filled.take(number % 2, 1, known_by(&format!("{tenant}-hidden"), "hidden", site, "e", ""));
            }
        }
        let ledger = Arc::new(filled.ledger.seen_with(&Grants::parse(&["seen"]).unwrap()));
        let server = Server::of(&ledger, Options::default());
        let mut pages = Vec::new();
        for q in ["t-", "s.example", "e", "t-3-hidden"] {
            let mut next = String::new();
            loop {
                let mut page = server.get(&format!("/v1/search?q={q}&limit=2{next}")).json();
                page["freshness"].take();
                next =
                    page["nextCursor"].as_str().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
                pages.push(page.to_string());
                if next.is_empty() {
                    break;
                }
            }
        }
        pages
    };
    assert_eq!(with(true), with(false));
    assert!(with(true).len() > 4);
}
