use ledger_core::descriptor::Descriptor;
use ledger_core::ids::MigrationId;
use ledger_core::policy::Policy;
use ledger_core::state::{
    Anomalies, Anomaly, AnomalyCode, MigrationPhase, OwnDescriptor, PendingMigration, Pin, PinnedBy, Window,
};

use super::*;

fn realm(text: &str) -> Realm {
    Realm::parse(text).unwrap()
}

fn client() -> ClientKey {
    ClientKey::new("acme").unwrap()
}

fn app() -> AppKey {
    AppKey::new("app").unwrap()
}

fn every_entry() -> Vec<(IndexEntry, &'static [u8])> {
    let (client, app) = (client(), app());
    vec![
        (
            IndexEntry::Realm { realm: realm("EU"), client: client.clone(), app: app.clone() },
            b"\x01EU\0acme\0app",
        ),
        (
            IndexEntry::Alignment {
                app: app.clone(),
                pinned: realm("EU"),
                product: realm("US"),
                client: client.clone(),
            },
            b"\x02app\0EU\0US\0acme",
        ),
        (IndexEntry::SplitBrain { client: client.clone(), app: app.clone() }, b"\x03acme\0app"),
        (
            IndexEntry::WindowEnd {
                end: Timestamp::from_millis(258),
                client: client.clone(),
                app: app.clone(),
            },
            b"\x04\x80\0\0\0\0\0\x01\x02acme\0app",
        ),
        (IndexEntry::Anomalous { client: client.clone(), app: app.clone() }, b"\x05acme\0app"),
        (IndexEntry::App { app: app.clone(), client: client.clone() }, b"\x06app\0acme"),
        (IndexEntry::OwnDrift { client: client.clone(), app: app.clone() }, b"\x07acme\0app"),
        (IndexEntry::Migration { client: client.clone(), app: app.clone() }, b"\x08acme\0app"),
        (
            IndexEntry::Name { app: app.clone(), number: 258, client: client.clone() },
            b"\x09app\0\0\0\0\0\0\0\x01\x02acme",
        ),
        (IndexEntry::Link { app, client }, b"\x0aapp\0acme"),
    ]
}

#[test]
fn key_bytes_are_frozen() {
    for (entry, bytes) in every_entry() {
        assert_eq!(entry.encode(), bytes, "{entry:?}");
        assert_eq!(IndexEntry::decode(bytes), Ok(entry));
    }
}

#[test]
fn malformed_index_keys_are_refused() {
    let refused: [&[u8]; 13] = [
        b"",
        b"\x00acme\0app",
        b"\x0bacme\0app",
        b"\x09app\0\0\0\0\0\0\0\x01\x02",
        b"\x09app\0\0\0\0",
        b"\x01eu\0acme\0app",
        b"\x01EU\0acme",
        b"\x01EU\0acme\0app\0",
        b"\x02app\0EU\0acme",
        b"\x03acme",
        b"\x04\x80\0\0\0\0\0\x01",
        b"\x05acme\0app\0app",
        b"\x06app\0",
    ];
    for key in refused {
        assert!(IndexEntry::decode(key).is_err(), "{key:?}");
    }
}

#[test]
fn window_keys_sort_by_end() {
    let at = |ms| {
        let end = Timestamp::from_millis(ms);
        IndexEntry::WindowEnd { end, client: client(), app: app() }.encode()
    };
    let ordered = [i64::MIN, -1, 0, 1, 255, 256, i64::MAX].map(at);
    assert!(ordered.is_sorted());
    let split = windows_from(Timestamp::from_millis(1));
    assert!(ordered[2] < split && split <= ordered[3]);
    assert_eq!(ordered.iter().filter(|key| key.starts_with(&windows_prefix())).count(), 7);
}

#[test]
fn each_prefix_selects_one_list() {
    let keys: Vec<_> = every_entry().into_iter().map(|(entry, _)| entry.encode()).collect();
    let prefixes = [
        realm_prefix(realm("EU")),
        alignment_prefix(Some(&app())),
        split_brain_prefix(),
        windows_prefix(),
        anomalous_prefix(),
        app_prefix(&app()),
        own_drift_prefix(),
        migrations_prefix(),
        names_prefix(Some(&app())),
        links_prefix(Some(&app())),
    ];
    for (place, prefix) in prefixes.iter().enumerate() {
        let found: Vec<_> = (0..keys.len()).filter(|at| keys[*at].starts_with(prefix)).collect();
        assert_eq!(found, [place]);
    }
    assert!(keys[1].starts_with(&alignment_prefix(None)));
    assert!(keys[8].starts_with(&names_prefix(None)) && keys[8].starts_with(&name_prefix(&app(), 258)));
    assert!(keys[9].starts_with(&links_prefix(None)));
    assert!(keys[1].starts_with(&alignment_class_prefix(&app(), realm("EU"), realm("US"))));
    assert!(!keys[1].starts_with(&alignment_class_prefix(&app(), realm("US"), realm("EU"))));
}

fn entries_of(product: Option<Realm>, installation: Installation) -> Vec<IndexEntry> {
    let tenant =
        Tenant { product_realm: product, installations: [(app(), installation)].into(), ..Tenant::default() };
    let keys = index_keys(&client(), &listed(&tenant));
    assert!(keys.is_sorted());
    keys.iter().map(|key| IndexEntry::decode(key).unwrap()).collect()
}

fn pinned(status: Status) -> Installation {
    let pin = Pin { realm: realm("EU"), since: Timestamp::from_millis(1), by: PinnedBy::Observed };
    Installation { status, pin: Some(pin), ..Installation::default() }
}

fn anomalies() -> Anomalies {
    let mut anomalies = Anomalies::default();
    anomalies.push(Anomaly { seq: 1, code: AnomalyCode::InstallNotSeen });
    anomalies
}

#[test]
fn installation_is_in_every_list_that_applies() {
    let by_app = IndexEntry::App { app: app(), client: client() };
    let by_realm = IndexEntry::Realm { realm: realm("EU"), client: client(), app: app() };
    assert_eq!(entries_of(Some(realm("US")), Installation::default()), std::slice::from_ref(&by_app));

    let installed =
        Installation { data_realm: Some(realm("DE")), anomalies: anomalies(), ..pinned(Status::Installed) };
    let aligned =
        IndexEntry::Alignment { app: app(), pinned: realm("EU"), product: realm("US"), client: client() };
    let split = IndexEntry::SplitBrain { client: client(), app: app() };
    let anomalous = IndexEntry::Anomalous { client: client(), app: app() };
    assert_eq!(
        entries_of(Some(realm("US")), installed),
        [by_realm.clone(), aligned, split, anomalous, by_app.clone()]
    );

    let in_place = Installation { data_realm: Some(realm("EU")), ..pinned(Status::Installed) };
    assert_eq!(entries_of(None, in_place), [by_realm.clone(), by_app.clone()]);

    let start = Timestamp::from_millis(5);
    for (end, stands_at) in
        [(Some(Timestamp::from_millis(9)), Timestamp::from_millis(9)), (None, Timestamp::MAX)]
    {
        let window = Window { policy: Policy::Indefinite, start, end, forgotten: false };
        let gone = Installation {
            window: Some(window),
            data_realm: Some(realm("DE")),
            ..pinned(Status::Uninstalled)
        };
        let ends = IndexEntry::WindowEnd { end: stands_at, client: client(), app: app() };
        assert_eq!(entries_of(Some(realm("US")), gone), [by_realm.clone(), ends, by_app.clone()]);
    }
}

#[test]
fn pending_migration_is_listed() {
    let pending = PendingMigration {
        id: MigrationId::new("57500").unwrap(),
        target: None,
        phase: MigrationPhase::Started,
        start_time: None,
        end_time: None,
        phase_since: Timestamp::from_millis(1),
        source: None,
        arrived: false,
    };
    let installation = Installation { migration: Some(pending), ..Installation::default() };
    let by_app = IndexEntry::App { app: app(), client: client() };
    let migrating = IndexEntry::Migration { client: client(), app: app() };
    assert_eq!(entries_of(None, installation), [by_app, migrating]);
}

#[test]
fn names_are_in_the_index_by_app() {
    let known_by = |site: &str, entitlement: &str| Installation {
        site_url: Some(site.to_owned()),
        entitlement_id: Some(entitlement.to_owned()),
        ..Installation::default()
    };
    let one = known_by("https://www.Acme.example/wiki", "e-1");
    let two = known_by("https://", "acme.example");
    let other = AppKey::new("other").unwrap();
    let installations = [(app(), one), (other.clone(), two)].into();
    let keys = index_keys(&client(), &listed(&Tenant { installations, ..Tenant::default() }));
    let names: Vec<_> = keys.iter().filter(|key| key.starts_with(&names_prefix(None))).cloned().collect();
    let mut expected = [
        (app(), NameKind::SiteHost, "acme.example"),
        (app(), NameKind::EntitlementId, "e-1"),
        (other, NameKind::EntitlementId, "acme.example"),
    ]
    .map(|(app, kind, name)| IndexEntry::Name { app, number: kind.number(name), client: client() }.encode());
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(NameKind::SiteHost.number("acme.example"), 0xc768_02a9_9839_0385, "frozen");
}

#[test]
fn links_are_listed_from_both_ends() {
    let other = || ledger_core::ids::InstallationKey { client: client(), app: app() };
    let after = ledger_core::state::Predecessor { installation: other(), realm: None };
    let link = IndexEntry::Link { client: client(), app: app() };
    for installation in [
        Installation { predecessor: Some(after), ..Installation::default() },
        Installation { successor: Some(other()), ..Installation::default() },
    ] {
        assert!(entries_of(None, installation).contains(&link));
    }
    assert!(!entries_of(None, Installation::default()).contains(&link));
}

#[test]
fn own_descriptor_is_listed_when_it_causes_drift() {
    let own = |region: &str| OwnDescriptor {
        time: Timestamp::from_millis(1),
        descriptor: Descriptor {
            version: None,
            base_url: "https://app.example.com".to_owned(),
            region_base_urls: [(realm(region), "https://r.example.com".to_owned())].into(),
            data_residency: None,
        },
    };
    let listed = |status, product, own| {
        let installation = Installation { own_descriptor: own, ..pinned(status) };
        let entry = IndexEntry::OwnDrift { client: client(), app: app() };
        entries_of(product, installation).contains(&entry)
    };
    let (there, eu, us) = (Status::Installed, Some(realm("EU")), Some(realm("US")));
    assert!(listed(there, us, Some(own("US"))), "pinned to EU, aligned to US");
    assert!(listed(there, eu, Some(own("US"))), "pinned to EU, aligned to GLOBAL");
    assert!(!listed(there, eu, Some(own("EU"))), "aligned");
    assert!(!listed(there, us, None));
    assert!(!listed(there, None, Some(own("US"))));
    assert!(!listed(Status::Uninstalled, us, Some(own("US"))));
}
