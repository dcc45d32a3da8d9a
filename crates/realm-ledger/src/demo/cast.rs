//! The tenants that play what the ledger is for.

use ledger_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Draft, Sample, ago};

/// Keeps a realm for 7 days, from the day it adopts data residency.
pub(crate) const ROADMAP: &str = "com.example.roadmap";
/// Keeps a realm for 30 days.
pub(crate) const TIMESHEETS: &str = "com.example.timesheets";
/// Keeps a realm as long as the subscription runs, whatever its descriptor says.
pub(super) const WHITEBOARD: &str = "com.example.whiteboard";

/// Scenario 1 of the RFC.
pub(crate) const ACME: &str = "acme.atlassian.net";
/// Scenario 2 of the RFC.
pub(crate) const GLOBEX: &str = "globex.atlassian.net";
/// An uninstall that is told a week late.
const INITECH: &str = "initech.atlassian.net";
/// A migration with its hooks.
const HOOLI: &str = "hooli.atlassian.net";
/// An operator's word.
const UMBRELLA: &str = "umbrella.atlassian.net";
/// Data where the app is not.
const STARK: &str = "jira:4d1a7f2e-8c55-4a0b-9d3e-6f10c2b7a981";
/// A window that is about to close.
const WAYNE: &str = "3f0c9b52-6d1e-4b77-a2c8-0e95d4471f6a";

/// Their stories up to `now`.
pub(super) fn play(now: Timestamp) -> Vec<Sample> {
    let mut script = Script { now, count: 0, samples: Vec::new() };
    script.apps();
    script.scenario_1();
    script.scenario_2();
    script.late_uninstall();
    script.migration();
    script.operator();
    script.split_brain();
    script.closing_window();
    script.mistakes();
    script.samples
}

struct Script {
    now: Timestamp,
    count: u32,
    samples: Vec<Sample>,
}

impl Script {
    fn draft(&mut self, kind: &str, days: i64, hours: i64) -> Draft {
        self.count += 1;
        Draft::new(&format!("cast-{:03}", self.count), kind, ago(self.now, days, hours))
    }

    fn of(&mut self, client: &str, app: &str, kind: &str, days: i64, hours: i64) -> Draft {
        self.draft(kind, days, hours).with("clientKey", client).with("appKey", app)
    }

    fn play(&mut self, draft: Draft) {
        self.samples.push(draft.sent());
    }

    fn descriptor(&mut self, app: &str, days: i64, hours: i64, regions: &[&str], residency: Option<Value>) {
        let mut descriptor = json!({"baseUrl": format!("https://{app}.example")});
        let urls = regions.iter().map(|region| {
            ((*region).to_owned(), format!("https://{}.{app}.example", region.to_lowercase()).into())
        });
        descriptor["regionBaseUrls"] = Value::Object(urls.collect());
        if let Some(residency) = residency {
            descriptor["dataResidency"] = residency;
        }
        let draft = self.draft("descriptor-published", days, hours);
        self.play(draft.with("appKey", app).with("descriptor", descriptor));
    }

    fn apps(&mut self) {
        let regions = ["US", "EU", "AU", "DE"];
        self.descriptor(ROADMAP, 60, 0, &[], None);
        self.descriptor(ROADMAP, 40, 0, &regions, Some(json!({"realmPersistence": true})));
        let thirty = json!({"realmPersistence": true, "realmPersistenceDays": 30});
        self.descriptor(TIMESHEETS, 60, 0, &regions, Some(thirty));
        self.descriptor(WHITEBOARD, 60, 0, &regions, None);
        let policy = self.draft("policy-set", 59, 0).with("appKey", WHITEBOARD);
        let policy = policy.with("policy", json!({"mode": "subscription", "graceDays": 30}));
        self.play(policy.with("actor", "dpo@example.com").with("reason", "contract 2026-114"));
    }

    /// Installed before residency, uninstalled, back within 7 days: stays GLOBAL though the product is in EU.
    fn scenario_1(&mut self) {
        let installed = self.of(ACME, ROADMAP, "installed", 55, 0).with("productRealm", "EU");
        self.play(installed.with("endpointRealm", "GLOBAL").with("siteUrl", "https://acme.atlassian.net"));
        let uninstalled = self.of(ACME, ROADMAP, "uninstalled", 20, 0).with("endpointRealm", "GLOBAL");
        self.play(uninstalled);
        let installed = self.of(ACME, ROADMAP, "installed", 13, 1).with("endpointRealm", "GLOBAL");
        self.play(installed);
    }

    /// In EU, uninstalled, the product moves to US, back on day 29 of 30: stays EU.
    fn scenario_2(&mut self) {
        let installed = self.of(GLOBEX, TIMESHEETS, "installed", 50, 0).with("productRealm", "EU");
        self.play(installed.with("endpointRealm", "EU"));
        let uninstalled = self.of(GLOBEX, TIMESHEETS, "uninstalled", 31, 0).with("endpointRealm", "EU");
        self.play(uninstalled);
        let moved = self.draft("product-moved", 22, 0).with("clientKey", GLOBEX);
        self.play(moved.with("productRealm", "US"));
        let installed = self.of(GLOBEX, TIMESHEETS, "installed", 2, 0).with("endpointRealm", "EU");
        self.play(installed);
    }

    /// The reinstall in US looks like a mistake until the uninstall is told; then the decision is corrected.
    fn late_uninstall(&mut self) {
        let installed = self.of(INITECH, ROADMAP, "installed", 30, 0).with("productRealm", "EU");
        self.play(installed.with("endpointRealm", "EU"));
        let moved = self.draft("product-moved", 15, 0).with("clientKey", INITECH);
        self.play(moved.with("productRealm", "US"));
        let installed = self.of(INITECH, ROADMAP, "installed", 3, 0).with("endpointRealm", "US");
        self.play(installed);
        let late = self.of(INITECH, ROADMAP, "uninstalled", 12, 0).with("endpointRealm", "EU");
        self.samples.push(late.sent_at(ago(self.now, 1, 0)));
    }

    fn migration(&mut self) {
        let installed = self.of(HOOLI, TIMESHEETS, "installed", 45, 0).with("productRealm", "EU");
        self.play(installed.with("endpointRealm", "EU"));
        let located = self.of(HOOLI, TIMESHEETS, "data-located", 44, 0).with("realm", "EU");
        self.play(located);
        let scheduled = self.of(HOOLI, TIMESHEETS, "migration-scheduled", 9, 0);
        let scheduled = scheduled.with("migrationId", "57500").with("targetRealm", "DE");
        self.play(scheduled);
        let started = self.of(HOOLI, TIMESHEETS, "migration-started", 8, 0).with("migrationId", "57500");
        self.play(started);
        let installed = self.of(HOOLI, TIMESHEETS, "installed", 8, -1).with("endpointRealm", "DE");
        self.play(installed);
        let committed = self.of(HOOLI, TIMESHEETS, "migration-committed", 8, -2);
        self.play(committed.with("migrationId", "57500").with("targetRealm", "DE"));
        let moved = self.draft("product-moved", 7, 0).with("clientKey", HOOLI);
        self.play(moved.with("productRealm", "DE"));
    }

    fn operator(&mut self) {
        let installed = self.of(UMBRELLA, ROADMAP, "installed", 35, 0).with("productRealm", "US");
        self.play(installed.with("endpointRealm", "US"));
        let pinned = self.of(UMBRELLA, ROADMAP, "override", 6, 0).with("action", "PIN").with("realm", "EU");
        let pinned =
            pinned.with("actor", "dpo@example.com").with("reason", "ticket DR-42: contract requires EU");
        self.play(pinned);
        let installed = self.of(UMBRELLA, ROADMAP, "installed", 5, 0).with("endpointRealm", "US");
        self.play(installed);
    }

    /// Uninstalled in EU, back in US after the window: the data was left behind.
    fn split_brain(&mut self) {
        let installed = self.of(STARK, ROADMAP, "installed", 39, 0).with("productRealm", "EU");
        self.play(installed.with("endpointRealm", "EU"));
        let located = self.of(STARK, ROADMAP, "data-located", 38, 0).with("realm", "EU");
        self.play(located);
        let uninstalled = self.of(STARK, ROADMAP, "uninstalled", 18, 0).with("endpointRealm", "EU");
        self.play(uninstalled);
        let moved = self.draft("product-moved", 17, 0).with("clientKey", STARK);
        self.play(moved.with("productRealm", "US"));
        let installed = self.of(STARK, ROADMAP, "installed", 4, 0).with("endpointRealm", "US");
        self.play(installed);
    }

    fn closing_window(&mut self) {
        let installed = self.of(WAYNE, ROADMAP, "installed", 33, 0).with("productRealm", "AU");
        self.play(installed.with("endpointRealm", "AU"));
        let uninstalled = self.of(WAYNE, ROADMAP, "uninstalled", 6, 20).with("endpointRealm", "AU");
        self.play(uninstalled);
    }

    /// What goes wrong on a real topic: a repeat, an id used twice, and messages that are no events.
    fn mistakes(&mut self) {
        let repeat = self.of(HOOLI, ROADMAP, "installed", 32, 0).with("endpointRealm", "EU");
        let conflict = repeat.clone().with("endpointRealm", "US");
        self.play(repeat.clone());
        self.samples.push(repeat.sent_at(ago(self.now, 31, 23)));
        self.samples.push(conflict.sent_at(ago(self.now, 31, 22)));
        let at = ago(self.now, 1, 12);
        let no_events = [
            // A lifecycle hook as it was received, secret and all: the secret never reaches the disk.
            json!({"key": ROADMAP, "clientKey": ACME, "sharedSecret": "not-for-the-ledger", "eventType": "installed"})
                .to_string(),
            json!({"id": "cast-typo", "type": "instaled", "time": "2026-01-01T00:00:00Z", "clientKey": ACME,
                "appKey": ROADMAP})
            .to_string(),
            "{\"id\": \"cast-cut-off\", \"type\": \"inst".to_owned(),
        ];
        for text in no_events {
            self.samples.push(Sample { time: at, sent: at, text, malformed: Some(ACME) });
        }
    }
}
