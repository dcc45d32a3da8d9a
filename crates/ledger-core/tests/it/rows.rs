//! Every row of the rules' tables, each with a short history and the state after it.
//!
//! A history is lines of `<time> <type> <field>=<value>…`; times are sums like `1d+5m`. The app publishes a
//! descriptor at `0d` with URLs for `US` and `EU` and 7 days of persistence, unless the history begins
//! with `bare`. The state is written as text, absent fields left out:
//! `<status> <realm>/<by>@<since> data= override= pending= window= rule= …`, anomalies as `!<seq>:<code>`.

mod endings;
mod explained;
mod installs;
mod links;
mod migrations;
mod others;
mod previewed;
mod supposed;

use std::fmt::Write;

use ledger_core::ids::{AppKey, InstallationKey};
use ledger_core::limits::DAY_MS;
use ledger_core::state::{Installation, MigrationPhase};
use ledger_core::tenant::Tenant;
use ledger_core::time::Timestamp;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::reader;

/// The state of the app `a` after a history, as text.
fn state_after(history: &str) -> String {
    let ledger = ledger(history);
    let tenant = &ledger.tenants.values().next().unwrap().tenant;
    state_text(tenant, &tenant.installations[&AppKey::new("a").unwrap()])
}

#[track_caller]
fn check(row: &str, history: &str, expected: &str) {
    assert_eq!(state_after(history), expected, "{row}");
}

fn ledger(history: &str) -> Ledger {
    let described = "0d descriptor-published descriptor=US,EU:7";
    let lines = match history.trim().strip_prefix("bare") {
        Some(rest) => rest.to_owned(),
        None => format!("{described}\n{history}"),
    };
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    Ledger::from_events(lines.zip(1..).map(|(line, number)| reader::event(&native(line, number))))
}

fn native(line: &str, number: u32) -> Value {
    let mut words = line.split_whitespace();
    let at = time(words.next().unwrap());
    let mut event = json!({"id": format!("e-{number}"), "clientKey": "t", "appKey": "a",
        "time": instant(at), "type": words.next().unwrap()});
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        let (name, value) = match name {
            "app" => ("appKey", value.into()),
            "on" => ("endpointRealm", value.into()),
            "product" => ("productRealm", value.into()),
            "id" => ("migrationId", value.into()),
            "to" => ("targetRealm", value.into()),
            "from" => ("sourceRealm", value.into()),
            "start" => ("startTime", instant(time(value)).into()),
            "end" => ("endTime", instant(time(value)).into()),
            "descriptor" => ("descriptor", descriptor(value)),
            "policy" => ("policy", policy(value)),
            other => (other, value.into()),
        };
        event[name] = value;
    }
    if event.get("fromClientKey").or(event.get("toClientKey")).is_some() {
        event["evidence"] = "app-property".into();
    }
    event
}

/// `US,EU:7`: regions, and days of persistence, if any.
fn descriptor(text: &str) -> Value {
    let (regions, days) = text.split_once(':').unwrap_or((text, ""));
    let urls: serde_json::Map<_, _> = regions
        .split(',')
        .filter(|region| !region.is_empty())
        .map(|region| (region.to_owned(), format!("https://{region}.example.com").into()))
        .collect();
    let residency = match days.parse::<u32>() {
        Ok(days) => json!({"realmPersistence": true, "realmPersistenceDays": days}),
        Err(_) => Value::Null,
    };
    json!({"baseUrl": "https://example.com", "regionBaseUrls": urls, "dataResidency": residency})
}

fn policy(text: &str) -> Value {
    let (mode, days) = text.split_once(':').unwrap_or((text, "0"));
    let days: u32 = days.parse().unwrap();
    json!({"mode": mode, "days": days, "graceDays": days})
}

fn time(text: &str) -> i64 {
    let part = |part: &str| {
        let (number, unit) = part.split_at(part.len() - 1);
        let unit = match unit {
            "d" => DAY_MS,
            "h" => DAY_MS / 24,
            "m" => 60_000,
            "s" => 1_000,
            other => panic!("no unit {other}"),
        };
        number.parse::<i64>().unwrap() * unit
    };
    text.split('+').map(part).sum()
}

fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn short(at: Timestamp) -> String {
    let mut rest = at.as_millis();
    let mut parts = Vec::new();
    for (unit, ms) in [("d", DAY_MS), ("h", DAY_MS / 24), ("m", 60_000), ("s", 1_000)] {
        if rest >= ms || (unit == "d" && rest == 0) {
            parts.push(format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    parts.join("+")
}

fn state_text(tenant: &Tenant, state: &Installation) -> String {
    let mut text = state.status.as_str().to_lowercase();
    if !state.enabled && text == "installed" {
        text += " disabled";
    }
    match state.pin {
        Some(pin) => {
            let _ = write!(text, " {}/{}@{}", pin.realm, pin.by.as_str().to_lowercase(), short(pin.since));
        }
        None => text += " nowhere",
    }
    let mut word = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, " {name}={value}");
        }
    };
    let realm = |realm: Option<ledger_core::realm::Realm>| realm.map(|realm| realm.to_string());
    word("product", realm(tenant.product_realm));
    word("data", realm(state.data_realm));
    word("override", realm(state.override_realm));
    let link = |link: &InstallationKey| format!("{}/{}", link.client, link.app);
    word(
        "predecessor",
        state
            .predecessor
            .as_ref()
            .map(|old| format!("{}:{}", link(&old.installation), realm(old.realm).unwrap_or_default())),
    );
    word("successor", state.successor.as_ref().map(link));
    word(
        "pending",
        state.migration.as_ref().map(|pending| {
            let phase = if pending.phase == MigrationPhase::Started { "started" } else { "scheduled" };
            format!("{}→{}:{phase}", pending.id, realm(pending.target).unwrap_or_default())
        }),
    );
    word(
        "window",
        state.window.map(|window| {
            let end = window.end.map(short).unwrap_or_default();
            format!("{}..{end}{}", short(window.start), if window.forgotten { "!" } else { "" })
        }),
    );
    if let Some(decision) = state.decision {
        word("rule", Some(format!("{}@{}", decision.rule.as_str(), decision.seq.unwrap())));
        word("expected", realm(decision.expected_realm));
        word("observed", realm(decision.observed_realm));
        word("pinned", realm(decision.pinned_realm));
        word("previous", realm(decision.previous_realm));
        word("moved", decision.moved.then(|| "yes".to_owned()));
        word("divergent", decision.divergent.then(|| "yes".to_owned()));
    }
    for odd in state.anomalies.recent() {
        let _ = write!(text, " !{}:{}", odd.seq, odd.code.as_str());
    }
    text
}
