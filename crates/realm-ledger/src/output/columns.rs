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
    pub(crate) const fn of(title: &'static str, pointer: &'static str) -> Self {
        Self { title, cell: Cell::At(pointer) }
    }

    /// A column made of several values.
    pub(crate) const fn made(title: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { title, cell: Cell::Made(cell) }
    }

    pub(super) fn cell(&self, item: &Value) -> String {
        match self.cell {
            Cell::At(pointer) => at(item, pointer),
            Cell::Made(make) => make(item),
        }
    }
}

/// Installations.
pub(crate) const STATES: &[Column] = &[
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("status", "/status"),
    Column::of("realm", "/pinnedRealm"),
    Column::of("since", "/pinnedSince"),
    Column::of("by", "/pinnedBy"),
    Column::of("product", "/productRealm"),
    Column::made("window ends", window_end),
    Column::made("notes", notes),
];

/// Installations with a window.
pub(crate) const WINDOWS: &[Column] = &[
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("realm", "/pinnedRealm"),
    Column::of("opened", "/window/start"),
    Column::made("ends", window_end),
    Column::made("remaining", |state| {
        state.pointer("/window/remainingMs").and_then(Value::as_u64).map(duration).unwrap_or_default()
    }),
    Column::made("policy", |state| state.pointer("/window/policy").map(policy).unwrap_or_default()),
];

/// Installations whose data is elsewhere.
pub(crate) const SPLIT_BRAIN: &[Column] = &[
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("realm", "/pinnedRealm"),
    Column::of("since", "/pinnedSince"),
    Column::of("data in", "/dataRealm"),
];

/// Installations with a pending migration.
pub(crate) const MIGRATIONS: &[Column] = &[
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("migration", "/migration/migrationId"),
    Column::of("from", "/pinnedRealm"),
    Column::of("to", "/migration/targetRealm"),
    Column::of("phase", "/migration/phase"),
    Column::of("due by", "/migration/dueBy"),
    Column::made("overdue", |state| {
        if at(state, "/migration/overdue") == "true" { "yes".to_owned() } else { String::new() }
    }),
];

/// Installations with something odd.
pub(crate) const ANOMALIES: &[Column] = &[
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("count", "/anomalyCount"),
    Column::made("the last", |state| {
        let last = state.pointer("/anomalies").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let from = last.len().saturating_sub(3);
        let said: Vec<String> = last[from..]
            .iter()
            .map(|item| format!("{} (seq {})", at(item, "/code"), at(item, "/seq")))
            .collect();
        said.join(", ")
    }),
];

/// Refused messages.
pub(crate) const QUARANTINE: &[Column] = &[
    Column::made("item", |item| {
        format!("{}/{}/{}", at(item, "/topic"), at(item, "/partition"), at(item, "/seq"))
    }),
    Column::of("recorded", "/recordedAt"),
    Column::made("from", |item| {
        format!(
            "{}/{}@{}",
            at(item, "/source/name"),
            at(item, "/source/partition"),
            at(item, "/source/offset")
        )
    }),
    Column::of("key", "/key"),
    Column::of("reason", "/reason"),
    Column::of("field", "/path"),
    Column::of("expected", "/detail"),
];

/// Records of a tenant.
pub(crate) const LOG: &[Column] = &[
    Column::of("seq", "/seq"),
    Column::of("time", "/event/time"),
    Column::of("app key", "/event/appKey"),
    Column::made("event", |record| {
        let late = if at(record, "/late") == "true" { " (late)" } else { "" };
        format!("{}{late}", at(record, "/event/type"))
    }),
    Column::made("changed", |record| {
        let changes = record.pointer("/changes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let several = changes.len() > 1;
        let said: Vec<String> = changes
            .iter()
            .map(|change| {
                let said = changed(change);
                if several { format!("{}: {said}", at(change, "/appKey")) } else { said }
            })
            .collect();
        if said.is_empty() { "nothing".to_owned() } else { said.join("\n") }
    }),
];

/// What changed in our answers.
pub(crate) const CORRECTIONS: &[Column] = &[
    Column::of("recorded", "/recordedAt"),
    Column::of("app key", "/appKey"),
    Column::made("because of", |correction| {
        let seq = at(correction, "/seq");
        let which = if seq.is_empty() { at(correction, "/event/id") } else { format!("seq {seq}") };
        format!("{} of {} ({which})", at(correction, "/event/type"), at(correction, "/event/time"))
    }),
    Column::of("from seq", "/firstSeq"),
    Column::of("outcomes", "/count"),
    Column::made("before", |correction| answer(&correction["before"])),
    Column::made("after", |correction| answer(&correction["after"])),
];

/// An answer in short: where, and by which row.
fn answer(side: &Value) -> String {
    let parts = [at(side, "/status"), at(side, "/pinnedRealm"), at(side, "/decision/rule")];
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if said.is_empty() { "nothing known".to_owned() } else { said.join(" ") }
}

/// A value as a person reads it; empty for none.
fn of_value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(of_value).unwrap_or_default()
}

fn window_end(state: &Value) -> String {
    let Some(window) = state.get("window") else { return String::new() };
    let end = window.get("end").map_or_else(|| "never".to_owned(), of_value);
    let forgotten = window.get("forgotten").and_then(Value::as_bool).unwrap_or_default();
    let closed = at(window, "/state") == "CLOSED";
    match (forgotten, closed) {
        (true, _) => format!("{end} (forgotten)"),
        (false, true) => format!("{end} (over)"),
        (false, false) => end,
    }
}

fn notes(state: &Value) -> String {
    let mut notes = Vec::new();
    if at(state, "/drift") == "true" {
        notes.push(format!("drift: aligned would be {}", at(state, "/alignedRealm")));
    }
    if at(state, "/splitBrain") == "true" {
        notes.push(format!("split brain: data in {}", at(state, "/dataRealm")));
    }
    if let Some(migration) = state.get("migration") {
        let (id, to) = (at(migration, "/migrationId"), at(migration, "/targetRealm"));
        let overdue = if at(migration, "/overdue") == "true" { ", overdue" } else { "" };
        notes.push(format!("migration {id} to {to} {}{overdue}", at(migration, "/phase").to_lowercase()));
    }
    if let Some(old) = state.get("predecessor") {
        notes.push(format!("goes on from {}", at(old, "/clientKey")));
    }
    if let Some(new) = state.get("successor") {
        notes.push(format!("goes on as {}", at(new, "/clientKey")));
    }
    if state.get("override").is_some() {
        notes.push(format!("override {}", at(state, "/override")));
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
    let mut said = Vec::new();
    if let Some(decision) = change.get("decision") {
        said.push(decided(decision));
    }
    for (name, pointer) in SUMMARY {
        let (before, after) =
            (at(change, &format!("/before/{pointer}")), at(change, &format!("/after/{pointer}")));
        if before != after {
            let after = if after.is_empty() { "none".to_owned() } else { after };
            said.push(format!("{name} {after}"));
        }
    }
    let anomalies = change.get("anomalies").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    said.extend(anomalies.iter().map(|code| format!("anomaly {}", of_value(code))));
    if let Some(correction) = change.get("correction") {
        let (first, count) = (at(correction, "/firstSeq"), at(correction, "/count"));
        let now = correction.get("decision").map(|decision| format!(", now {}", decided(decision)));
        let now = now.unwrap_or_default();
        said.push(format!("corrects {count} outcome(s) from seq {first} on{now}"));
    }
    said.join(", ")
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
    let mut said = vec![format!("decided {}", at(decision, "/rule"))];
    if at(decision, "/moved") == "true" {
        said.push(format!("moved: data may still be in {}", at(decision, "/previousRealm")));
    }
    if at(decision, "/divergent") == "true" {
        said.push(format!("divergent: expected {}", at(decision, "/expectedRealm")));
    }
    said.join(", ")
}

/// A policy in short.
pub(crate) fn policy(policy: &Value) -> String {
    let mode = at(policy, "/mode");
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
    fn a_change_tells_what_is_other_than_before() {
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
