//! Which columns a list of each kind has, and how a value reads in a cell.

use serde_json::Value;

/// One column.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    cell: Cell,
}

enum Cell {
    /// The value at a pointer.
    At(&'static str),
    /// Made of several.
    Made(fn(&Value) -> String),
}

impl Column {
    /// A column with the value at a pointer.
    pub(crate) const fn at(title: &'static str, pointer: &'static str) -> Self {
        Self { title, cell: Cell::At(pointer) }
    }

    /// A column made of several values.
    pub(crate) const fn made(title: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { title, cell: Cell::Made(cell) }
    }

    pub(super) fn cell(&self, item: &Value) -> String {
        match self.cell {
            Cell::At(pointer) => text_at(item, pointer),
            Cell::Made(make) => make(item),
        }
    }
}

/// Installations.
pub(crate) const STATES: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("status", "/status"),
    Column::at("realm", "/pinnedRealm"),
    Column::at("since", "/pinnedSince"),
    Column::at("by", "/pinnedBy"),
    Column::at("product", "/productRealm"),
    Column::made("window ends", window_end),
    Column::made("notes", notes),
];

/// What a command would change: two rows for each installation.
pub(crate) const CHANGES: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("command", "/side"),
    Column::at("status", "/status"),
    Column::at("realm", "/pinnedRealm"),
    Column::at("since", "/pinnedSince"),
    Column::at("by", "/pinnedBy"),
    Column::at("product", "/productRealm"),
    Column::made("window ends", window_end),
    Column::at("subscription", "/subscription"),
    Column::at("goes on from", "/predecessor/clientKey"),
    Column::at("goes on as", "/successor/clientKey"),
    Column::made("notes", notes),
];

/// Installations with a window.
pub(crate) const WINDOWS: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("realm", "/pinnedRealm"),
    Column::at("opened", "/window/start"),
    Column::made("ends", window_end),
    Column::made("remaining", |state| {
        state.pointer("/window/remainingMs").and_then(Value::as_u64).map(duration).unwrap_or_default()
    }),
    Column::made("policy", |state| state.pointer("/window/policy").map(policy).unwrap_or_default()),
];

/// Installations whose data is elsewhere.
pub(crate) const SPLIT_BRAIN: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("realm", "/pinnedRealm"),
    Column::at("since", "/pinnedSince"),
    Column::at("data in", "/dataRealm"),
];

/// Installations with a pending migration.
pub(crate) const MIGRATIONS: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("migration", "/migration/migrationId"),
    Column::at("from", "/pinnedRealm"),
    Column::at("to", "/migration/targetRealm"),
    Column::at("phase", "/migration/phase"),
    Column::at("due by", "/migration/dueBy"),
    Column::made("overdue", |state| {
        if text_at(state, "/migration/overdue") == "true" { "yes".to_owned() } else { String::new() }
    }),
];

/// Installations with something odd.
pub(crate) const ANOMALIES: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::at("app key", "/appKey"),
    Column::at("count", "/anomalyCount"),
    Column::made("the last", |state| {
        let anomalies = items_at(state, "/anomalies");
        let last = anomalies.iter().skip(anomalies.len().saturating_sub(3));
        let last = last.map(|item| format!("{} (seq {})", text_at(item, "/code"), text_at(item, "/seq")));
        last.collect::<Vec<_>>().join(", ")
    }),
];

/// Decisions and corrections as they are published.
pub(crate) const DECISIONS: &[Column] = &[
    Column::at("time", "/time"),
    Column::at("client key", "/data/clientKey"),
    Column::at("app key", "/data/appKey"),
    Column::made("what", |notice| {
        let is_correction = text_at(notice, "/type") == "realmledger.correction";
        let rule = text_at(notice, "/data/decision/rule");
        let what = if rule.is_empty() { text_at(notice, "/data/after/status") } else { rule };
        if is_correction { format!("corrected: {what}") } else { what }
    }),
    Column::at("realm", "/data/after/pinnedRealm"),
    Column::at("before", "/data/decision/previousRealm"),
    Column::made("notes", |notice| {
        let flags = [("moved", "/data/decision/moved"), ("divergent", "/data/decision/divergent")];
        let set = flags.iter().filter(|(_, at)| text_at(notice, at) == "true");
        let odd = items_at(notice, "/data/anomalies").iter().map(|code| text_at(code, ""));
        set.map(|(name, _)| (*name).to_owned()).chain(odd).collect::<Vec<_>>().join(", ")
    }),
];

/// Tenants that were searched for.
pub(crate) const FOUND: &[Column] = &[
    Column::at("client key", "/clientKey"),
    Column::made("apps", |tenant| words_at(tenant, "/appKeys")),
    Column::made("found by", |tenant| {
        let by = |found: &Value| match words_at(found, "/appKeys") {
            apps if apps.is_empty() => text_at(found, "/by"),
            apps => format!("{} ({apps})", text_at(found, "/by")),
        };
        items_at(tenant, "/matches").iter().map(by).collect::<Vec<_>>().join(", ")
    }),
];

/// Links and proposals.
pub(crate) const LINEAGE: &[Column] = &[
    Column::made("what", |item| if item.get("link").is_some() { "link" } else { "proposal" }.to_owned()),
    Column::made("app key", |item| text_at(item, "/link/to/appKey") + &text_at(item, "/proposal/appKey")),
    Column::made("from", |item| either(item, "from/clientKey")),
    Column::made("to", |item| either(item, "to/clientKey")),
    Column::made("recorded", |item| words_at(item, "/link/recorded")),
    Column::at("silent since", "/proposal/from/lastEvent"),
    Column::at("appeared", "/proposal/to/firstEvent"),
    Column::made("shared", |item| {
        let name = |name: &Value| format!("{} {}", text_at(name, "/by"), text_at(name, "/value"));
        items_at(item, "/proposal/shared").iter().map(name).collect::<Vec<_>>().join(", ")
    }),
];

/// Of a link or a proposal, whichever it is.
fn either(item: &Value, at: &str) -> String {
    text_at(item, &format!("/link/{at}")) + &text_at(item, &format!("/proposal/{at}"))
}

fn words_at(value: &Value, pointer: &str) -> String {
    items_at(value, pointer).iter().map(|word| text_at(word, "")).collect::<Vec<_>>().join(", ")
}

/// Refused messages.
pub(crate) const QUARANTINE: &[Column] = &[
    Column::made("item", |item| {
        format!("{}/{}/{}", text_at(item, "/topic"), text_at(item, "/partition"), text_at(item, "/seq"))
    }),
    Column::at("recorded", "/recordedAt"),
    Column::made("from", |item| {
        format!(
            "{}/{}@{}",
            text_at(item, "/source/name"),
            text_at(item, "/source/partition"),
            text_at(item, "/source/offset")
        )
    }),
    Column::at("key", "/key"),
    Column::at("reason", "/reason"),
    Column::at("field", "/path"),
    Column::at("expected", "/detail"),
];

/// Records of a tenant.
pub(crate) const LOG: &[Column] = &[
    Column::at("seq", "/seq"),
    Column::at("time", "/event/time"),
    Column::at("app key", "/event/appKey"),
    Column::made("event", |record| {
        if is_hidden(record) {
            return "not shown".to_owned();
        }
        let late = if text_at(record, "/late") == "true" { " (late)" } else { "" };
        format!("{}{late}", text_at(record, "/event/type"))
    }),
    Column::made("changed", |record| {
        let changes = items_at(record, "/changes");
        let lines = changes.iter().map(|change| {
            let line = changed(change);
            if changes.len() > 1 { format!("{}: {line}", text_at(change, "/appKey")) } else { line }
        });
        if is_hidden(record) {
            String::new()
        } else if changes.is_empty() {
            "nothing".to_owned()
        } else {
            lines.collect::<Vec<_>>().join("\n")
        }
    }),
];

/// Of a record about an app that is not seen there is only its place.
fn is_hidden(record: &Value) -> bool {
    record.get("event").is_none()
}

/// Corrections of earlier answers.
pub(crate) const CORRECTIONS: &[Column] = &[
    Column::at("recorded", "/recordedAt"),
    Column::at("app key", "/appKey"),
    Column::made("because of", |correction| {
        let seq = text_at(correction, "/seq");
        let which = if seq.is_empty() { text_at(correction, "/event/id") } else { format!("seq {seq}") };
        format!("{} of {} ({which})", text_at(correction, "/event/type"), text_at(correction, "/event/time"))
    }),
    Column::at("from seq", "/firstSeq"),
    Column::at("outcomes", "/count"),
    Column::made("before", |correction| answer(&correction["before"])),
    Column::made("after", |correction| answer(&correction["after"])),
];

/// An answer in short: where, and by which row.
fn answer(side: &Value) -> String {
    let parts = [text_at(side, "/status"), text_at(side, "/pinnedRealm"), text_at(side, "/decision/rule")];
    let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if known.is_empty() { "nothing known".to_owned() } else { known.join(" ") }
}

/// The value at a pointer as a person reads it; empty for none.
pub(crate) fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The items of the array at a pointer; none where there is no array.
pub(crate) fn items_at<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn window_end(state: &Value) -> String {
    let Some(window) = state.get("window") else { return String::new() };
    let end = window.get("end").map_or_else(|| "never".to_owned(), |end| text_at(end, ""));
    match (text_at(window, "/forgotten") == "true", text_at(window, "/state") == "CLOSED") {
        (true, _) => format!("{end} (forgotten)"),
        (false, true) => format!("{end} (over)"),
        (false, false) => end,
    }
}

fn notes(state: &Value) -> String {
    let mut notes = Vec::new();
    if text_at(state, "/drift") == "true" {
        notes.push(format!("drift: aligned would be {}", text_at(state, "/alignedRealm")));
    }
    if text_at(state, "/splitBrain") == "true" {
        notes.push(format!("split brain: data in {}", text_at(state, "/dataRealm")));
    }
    if let Some(migration) = state.get("migration") {
        let (id, to) = (text_at(migration, "/migrationId"), text_at(migration, "/targetRealm"));
        let overdue = if text_at(migration, "/overdue") == "true" { ", overdue" } else { "" };
        notes
            .push(format!("migration {id} to {to} {}{overdue}", text_at(migration, "/phase").to_lowercase()));
    }
    if let Some(old) = state.get("predecessor") {
        notes.push(format!("goes on from {}", text_at(old, "/clientKey")));
    }
    if let Some(new) = state.get("successor") {
        notes.push(format!("goes on as {}", text_at(new, "/clientKey")));
    }
    if state.get("override").is_some() {
        notes.push(format!("override {}", text_at(state, "/override")));
    }
    match state.get("anomalyCount").and_then(Value::as_u64).unwrap_or_default() {
        0 => {}
        1 => notes.push("1 anomaly".to_owned()),
        count => notes.push(format!("{count} anomalies")),
    }
    notes.join("; ")
}

/// What a record did to one installation, from the short states before and after.
fn changed(change: &Value) -> String {
    let mut parts: Vec<String> = change.get("decision").map(decided).into_iter().collect();
    for (name, pointer) in SUMMARY {
        let (before, after) =
            (text_at(change, &format!("/before/{pointer}")), text_at(change, &format!("/after/{pointer}")));
        if before != after {
            let after = if after.is_empty() { "none".to_owned() } else { after };
            parts.push(format!("{name} {after}"));
        }
    }
    parts.extend(items_at(change, "/anomalies").iter().map(|code| format!("anomaly {}", text_at(code, ""))));
    if let Some(correction) = change.get("correction") {
        let (first, count) = (text_at(correction, "/firstSeq"), text_at(correction, "/count"));
        let now = correction.get("decision").map(|decision| format!(", now {}", decided(decision)));
        let now = now.unwrap_or_default();
        parts.push(format!("corrects {count} outcome(s) from seq {first} on{now}"));
    }
    parts.join(", ")
}

const SUMMARY: &[(&str, &str)] = &[
    ("status", "status"),
    ("enabled", "enabled"),
    ("realm", "pinnedRealm"),
    ("by", "pinnedBy"),
    ("product", "productRealm"),
    ("data", "dataRealm"),
    ("window ends", "window/end"),
    ("migration", "migration/phase"),
    ("override", "override"),
];

fn decided(decision: &Value) -> String {
    let mut parts = vec![format!("decided {}", text_at(decision, "/rule"))];
    if text_at(decision, "/moved") == "true" {
        parts.push(format!("moved: data may still be in {}", text_at(decision, "/previousRealm")));
    }
    if text_at(decision, "/divergent") == "true" {
        parts.push(format!("divergent: expected {}", text_at(decision, "/expectedRealm")));
    }
    parts.join(", ")
}

/// A policy in short.
pub(crate) fn policy(policy: &Value) -> String {
    let mode = text_at(policy, "/mode");
    match (policy.get("days"), policy.get("graceDays")) {
        (Some(days), _) => format!("{mode} {days}"),
        (None, Some(grace)) => format!("{mode} +{grace} days"),
        (None, None) => mode,
    }
}

/// Days and hours, or minutes when it is soon.
pub(crate) fn duration(millis: u64) -> String {
    let minutes = millis / 60_000;
    let (days, hours) = (minutes / 1440, minutes % 1440 / 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, hours) => format!("{hours} h {} min", minutes % 60),
        (days, hours) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn countdowns_read_like_countdowns() {
        assert_eq!(duration(59_000), "0 min");
        assert_eq!(duration(3_600_000), "1 h 0 min");
        assert_eq!(duration(259_200_000 + 3_600_000), "3 d 1 h");
    }

    #[test]
    fn a_change_lists_what_is_other_than_before() {
        let change = json!({
            "appKey": "a",
            "before": {"status": "UNINSTALLED", "enabled": false, "pinnedRealm": "EU", "window": {"end": "T"}},
            "after": {"status": "INSTALLED", "enabled": true, "pinnedRealm": "US"},
            "decision": {"rule": "WINDOW_EXPIRED", "moved": true, "previousRealm": "EU"},
            "anomalies": ["migration-abandoned"],
            "correction": {"firstSeq": 2, "count": 1, "decision": {"rule": "PERSISTED"}},
        });
        assert_eq!(
            changed(&change),
            "decided WINDOW_EXPIRED, moved: data may still be in EU, status INSTALLED, enabled true, \
             realm US, window ends none, anomaly migration-abandoned, corrects 1 outcome(s) from seq 2 on, \
             now decided PERSISTED"
        );
    }

    #[test]
    fn what_needs_attention_is_noted() {
        let state = json!({"drift": true, "alignedRealm": "US", "splitBrain": true, "dataRealm": "EU",
            "override": "DE", "anomalyCount": 2});
        assert_eq!(
            notes(&state),
            "drift: aligned would be US; split brain: data in EU; override DE; 2 anomalies"
        );
        assert_eq!(notes(&json!({"drift": false, "splitBrain": false, "anomalyCount": 0})), "");
    }
}
