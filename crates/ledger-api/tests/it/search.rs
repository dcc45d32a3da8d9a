//! Search and lineage.

use ledger_api::http::Options;
use ledger_core::event::{Body, Evidence, InstallationFact, Installed};
use ledger_core::ids::InstallationKey;
use serde_json::{Value, json};

use crate::filled::{Filled, about, app, client, installed, realm, uninstalled};
use crate::http::Server;

/// `installed`, at a site, with an entitlement and an installation id.
fn known_by(of: &str, what: &str, site: &str, entitlement: &str, installation: &str) -> Body {
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

fn filled() -> Filled {
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

#[test]
fn one_that_fell_silent_before_another_appeared_is_proposed_with_the_evidence() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, known_by("old", "app", "https://www.acme.atlassian.net", "ent", "ari:1"));
    filled.take(0, 2, uninstalled("old", "app"));
    filled.take(1, 3, known_by("new", "app", "https://acme.atlassian.net/", "ent", "ari:2"));
    // Another app of theirs does not go on, and one that was heard of later was not replaced.
    filled.take(1, 3, known_by("new", "other", "https://acme.atlassian.net/", "", ""));
    filled.take(0, 1, known_by("alive", "app", "https://busy.atlassian.net", "", ""));
    filled.take(1, 3, known_by("beside", "app", "https://busy.atlassian.net", "", ""));
    filled.take(0, 4, uninstalled("alive", "app"));
    let server = Server::of(&filled.ledger, Options::default());
    let lineage = |query: &str| server.get(&format!("/v1/lineage{query}")).json();
    let all = lineage("");
    assert_eq!(all["links"], json!([]));
    assert_eq!(
        all["proposals"],
        json!([{
            "appKey": "app",
            "older": {"clientKey": "old", "seq": 2, "lastEvent": "2026-03-01T02:00:00.000Z"},
            "newer": {"clientKey": "new", "seq": 1, "firstEvent": "2026-03-01T03:00:00.000Z"},
            "shared": [{"by": "SITE_HOST", "value": "acme.atlassian.net"}, {"by": "ENTITLEMENT_ID", "value": "ent"}],
        }])
    );
    for (query, count) in [
        ("?clientKey=old", 1),
        ("?clientKey=new&appKey=app", 1),
        ("?clientKey=alive", 0),
        ("?appKey=other", 0),
    ] {
        assert_eq!(lineage(query)["proposals"].as_array().unwrap().len(), count, "{query}");
    }
    // Nothing follows from a proposal.
    let state = server.get("/v1/tenants/new/apps/app").json();
    assert_eq!(state["installation"]["predecessor"], Value::Null);
}

#[test]
fn a_recorded_link_is_listed_and_proposed_no_more() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, known_by("old", "app", "https://acme.atlassian.net", "", ""));
    filled.take(1, 3, known_by("new", "app", "https://acme.atlassian.net/", "", ""));
    let server = Server::of(&filled.ledger, Options::default());
    assert_eq!(server.get("/v1/lineage").json()["proposals"].as_array().unwrap().len(), 1);
    let from = InstallationKey { client: client("old"), app: app("app") };
    let evidence = Evidence::new("a ticket").unwrap();
    let fact = InstallationFact::Continued { from, from_realm: Some(realm("EU")), evidence };
    filled.take(1, 4, about("new", "app", fact));
    let linked = server.get("/v1/lineage").json();
    assert_eq!(linked["proposals"], json!([]));
    assert_eq!(
        linked["links"],
        json!([{"clientKey": "new", "appKey": "app",
                "predecessor": {"clientKey": "old", "appKey": "app", "realm": "EU"}}])
    );
    assert_eq!(server.get("/v1/lineage?clientKey=old").json()["links"], json!([]));
}

#[test]
fn pages_of_lineage_go_through_links_and_proposals() {
    let mut filled = Filled::with(3);
    for number in 0..30_usize {
        let site = format!("https://s{number}.example.com");
        filled.take(number % 3, 1, known_by(&format!("old-{number:02}"), "app", &site, "", ""));
        filled.take((number + 1) % 3, 3, known_by(&format!("new-{number:02}"), "app", &site, "", ""));
    }
    // So many share a name that it tells nothing.
    for number in 0..70 {
        filled.take(0, 5, known_by(&format!("crowd-{number}"), "app", "https://crowd.example.com", "", ""));
    }
    let server = Server::of(&filled.ledger, Options::default());
    let (mut next, mut all) = (String::new(), Vec::new());
    loop {
        let page = server.get(&format!("/v1/lineage?limit=4{next}")).json();
        let proposals = page["proposals"].as_array().unwrap();
        all.extend(proposals.iter().map(|one| one["older"]["clientKey"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    all.sort();
    assert_eq!(all, (0..30).map(|number| format!("old-{number:02}")).collect::<Vec<_>>());
}
