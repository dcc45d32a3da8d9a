//! A list as the events that it tells of, for `import`: what a partner has of the time before the ledger.
//!
//! | form | row | events |
//! | --- | --- | --- |
//! | audit log of Forge | `App installed` | `installed` at the location |
//! | | `App uninstalled` | `uninstalled` |
//! | | `Migration scheduled`, `started`, `completed`, `failed` | `migration-scheduled`, `-started`, `-committed`, `-rolled-back`, as one migration; `completed` alone is `migrated` |
//! | | others | none; counted |
//! | installations | each | `installed` at the realm, and `data-located` there |
//!
//! The ids follow from the rows, so that a row that comes again in another file is the same event. An audit log has days:
//! its events are at 00:00 UTC, and rows of one day keep their order. A row of a table without `installedAt` is of the
//! beginning of the day of the import: the table says that it is so, and not since when.

use std::collections::BTreeMap;

use csv::StringRecord;
use jiff::tz::Offset;
use ledger_core::limits::DAY_MS;
use ledger_core::time::Timestamp;
use ledger_ingest::text::{Looks, Text};
use ledger_record::json::time::{format_instant, parse_instant};
use serde_json::{Value, json};

use super::audit_log::{AuditColumns, AuditLog, AuditRow, read_log};
use super::{
    AppNames, Key, SkippedRows, invalid, key, line_of, no_columns, no_csv, parse_realm, plain, read_csv,
};
use crate::Failure;

/// The forms that make events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListForm {
    ForgeAuditLog,
    Installations,
}

/// What a list makes.
#[derive(Debug)]
pub(crate) struct ListEvents {
    /// Native events, one a line.
    pub(crate) ndjson: Vec<u8>,
    /// Rows that count.
    pub(crate) rows: u64,
    pub(crate) events: u64,
    pub(crate) skipped: SkippedRows,
}

/// Reads a list as events. `file` is its path in a command that a hint proposes.
pub(crate) fn events(
    text: Text<'_>,
    form: ListForm,
    names: &AppNames,
    now: Timestamp,
    file: &str,
) -> Result<ListEvents, Failure> {
    if let Looks::Other(other) = text.looks() {
        let failure = Failure::caused("the list is no CSV", other.clone());
        return Err(failure.hint(other.remedy(file)));
    }
    let (mut reader, header) = read_csv(text)?;
    let column = |name: &str| header.iter().position(|title| plain(title) == name);
    match form {
        ListForm::ForgeAuditLog => {
            let columns = AuditColumns::from_header(column).ok_or_else(no_columns)?;
            Ok(of_audit_log(read_log(&mut reader, &columns, names)?))
        }
        ListForm::Installations => {
            let columns = TableColumns::from_header(column).ok_or_else(|| {
                Failure::new(
                    "the header has no clientKey, appKey and realm, which a table of installations needs",
                )
            })?;
            let mut rows = Vec::new();
            for row in reader.records() {
                rows.push(columns.read(&row.map_err(no_csv)?, now)?);
            }
            Ok(of_table(rows))
        }
    }
}

fn of_audit_log(AuditLog { rows, mut skipped, .. }: AuditLog) -> ListEvents {
    let mut list = EventLines::default();
    let mut open: BTreeMap<Key, String> = BTreeMap::new();
    for (key, row) in rows {
        let Some((kind, fields)) = audit_event(&key, &row, &mut open) else {
            skipped.no_event += 1;
            continue;
        };
        let day = row.time.unwrap_or_else(|| row.day.at(0, 0, 0, 0));
        let time = Offset::UTC.to_timestamp(day).map(|time| Timestamp::from_millis(time.as_millisecond()));
        let Ok(time) = time else {
            skipped.no_event += 1;
            continue;
        };
        list.rows += 1;
        list.put("forge-audit-log", &key, kind, time, fields);
    }
    list.finish(skipped)
}

/// What a row tells; none: nothing of a realm. `open` has the migrations that were scheduled or started and did not end.
fn audit_event(key: &Key, row: &AuditRow, open: &mut BTreeMap<Key, String>) -> Option<(&'static str, Value)> {
    let has = |word: &str| row.event.contains(word);
    if has("uninstalled") {
        return Some(("uninstalled", json!({})));
    }
    if has("installed") {
        return Some(("installed", json!({ "endpointRealm": row.location?.as_str() })));
    }
    if !has("migration") {
        return None;
    }
    let target = row.target.map(|target| target.as_str().to_owned());
    let of_day = format!("forge-audit-log {}", row.day);
    let step = |kind, id: String| {
        let mut fields = json!({ "migrationId": id });
        if let Some(target) = &target {
            fields["targetRealm"] = json!(target);
        }
        Some((kind, fields))
    };
    if has("scheduled") {
        let id = open.entry(key.clone()).or_insert(of_day).clone();
        return target.is_some().then(|| step("migration-scheduled", id)).flatten();
    }
    if has("started") {
        return step("migration-started", open.entry(key.clone()).or_insert(of_day).clone());
    }
    match (has("completed"), has("failed"), open.remove(key)) {
        (true, _, Some(id)) => step("migration-committed", id),
        (true, _, None) => {
            let mut fields = json!({ "targetRealm": target? });
            if let Some(location) = row.location {
                fields["sourceRealm"] = json!(location.as_str());
            }
            Some(("migrated", fields))
        }
        (_, true, Some(id)) => Some(("migration-rolled-back", json!({ "migrationId": id }))),
        _ => None,
    }
}

/// Where a table of installations has what.
struct TableColumns {
    client: usize,
    app: usize,
    realm: usize,
    installed_at: Option<usize>,
    /// Fields of the event that are columns of the same name.
    others: Vec<(&'static str, usize)>,
}

struct TableRow {
    key: Key,
    time: Timestamp,
    realm: String,
    others: Vec<(&'static str, String)>,
}

impl TableColumns {
    fn from_header(column: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        let others = ["siteUrl", "installationId", "entitlementId"];
        let others = others.into_iter().filter_map(|name| Some((name, column(&name.to_lowercase())?)));
        Some(Self {
            client: column("clientkey")?,
            app: column("appkey")?,
            realm: column("realm")?,
            installed_at: column("installedat"),
            others: others.collect(),
        })
    }

    fn read(&self, row: &StringRecord, now: Timestamp) -> Result<TableRow, Failure> {
        let (line, text) = (line_of(row), |column: usize| row.get(column).unwrap_or_default());
        let installed_at = self.installed_at.map(|column| text(column).trim()).filter(|at| !at.is_empty());
        let time = match installed_at {
            Some(at) => {
                // A day alone is its beginning.
                let instant = parse_instant(at).or_else(|_| parse_instant(&format!("{at}T00:00:00Z")));
                instant
                    .map_err(|_| invalid(line, at, "instant such as 2026-03-01T10:00:00Z or 2026-03-01"))?
            }
            None => Timestamp::from_millis(now.as_millis() / DAY_MS * DAY_MS),
        };
        let others = self.others.iter().map(|(name, column)| (*name, text(*column).trim().to_owned()));
        Ok(TableRow {
            key: key(line, text(self.client), text(self.app))?,
            time,
            realm: parse_realm(line, text(self.realm))?.to_string(),
            others: others.filter(|(_, value)| !value.is_empty()).collect(),
        })
    }
}

/// In the order of time, as recorded time never goes back.
fn of_table(mut rows: Vec<TableRow>) -> ListEvents {
    rows.sort_by_key(|row| row.time);
    let mut list = EventLines { rows: rows.len() as u64, ..EventLines::default() };
    for TableRow { key, time, realm, others } in rows {
        let mut fields = json!({ "endpointRealm": realm });
        for (name, value) in others {
            fields[name] = json!(value);
        }
        list.put("installations", &key, "installed", time, fields);
        list.put("installations", &key, "data-located", time, json!({ "realm": realm }));
    }
    list.finish(SkippedRows::default())
}

/// Events on their way to lines.
#[derive(Default)]
struct EventLines {
    ndjson: Vec<u8>,
    rows: u64,
    events: u64,
    /// How often an installation had an id: rows that are alike are as many events.
    ids: BTreeMap<(Key, String), u64>,
}

impl EventLines {
    fn put(&mut self, form: &str, key: &Key, kind: &str, time: Timestamp, fields: Value) {
        let time = format_instant(time);
        let realms = ["endpointRealm", "realm", "sourceRealm", "targetRealm"];
        let realms = realms.iter().filter_map(|name| fields[name].as_str());
        let id = [form, &time, kind].into_iter().chain(realms).collect::<Vec<_>>().join(" ");
        let count = self.ids.entry((key.clone(), id.clone())).or_default();
        *count += 1;
        let id = if *count == 1 { id } else { format!("{id} {count}") };
        let mut event = json!({
            "id": id, "type": kind, "time": time, "clientKey": key.0.as_str(), "appKey": key.1.as_str(),
        });
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        self.ndjson.extend_from_slice(event.to_string().as_bytes());
        self.ndjson.push(b'\n');
        self.events += 1;
    }

    fn finish(self, skipped: SkippedRows) -> ListEvents {
        ListEvents { ndjson: self.ndjson, rows: self.rows, events: self.events, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(form: ListForm, text: &str) -> (Vec<String>, SkippedRows) {
        let text = Text::open(text.as_bytes()).unwrap();
        let now = Timestamp::from_millis(1_767_225_600_000 + 3_600_000);
        let made = events(text, form, &AppNames::default(), now, "FILE").unwrap();
        let lines = made.ndjson.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let shown = lines.map(|line| {
            let event: Value = serde_json::from_slice(line).unwrap();
            let fields =
                ["clientKey", "time", "type", "endpointRealm", "realm", "targetRealm", "migrationId"];
            let fields = fields.iter().filter_map(|name| event[name].as_str());
            fields.collect::<Vec<_>>().join(" ").replace("T00:00:00.000Z", "")
        });
        (shown.collect(), made.skipped)
    }

    #[test]
    fn rows_of_an_audit_log_are_events_of_its_days_in_its_order() {
        let header = "App ID,Site ID,Environment,Event,Event date,Location,Target location";
        let rows = [
            "app,acme,production,App installed,2026-01-01,US,N/A",
            "app,birch,development,App installed,2026-01-01,US,N/A",
            "app,acme,production,Forge backfill started,2026-01-05,US,N/A",
            "app,acme,production,Migration scheduled,2026-02-01,US,EU",
            "app,acme,production,Migration completed,2026-02-01,US,EU",
            "app,cedar,production,Migration completed,2026-02-02,Global,EU",
            "app,acme,production,Migration started,2026-03-01,EU,AU",
            "app,acme,production,Migration failed,2026-03-02,EU,AU",
            "app,acme,production,App uninstalled,2026-03-03,EU,N/A",
        ];
        let expected = [
            "acme 2026-01-01 installed US",
            "acme 2026-02-01 migration-scheduled EU forge-audit-log 2026-02-01",
            "acme 2026-02-01 migration-committed EU forge-audit-log 2026-02-01",
            "cedar 2026-02-02 migrated EU",
            "acme 2026-03-01 migration-started AU forge-audit-log 2026-03-01",
            "acme 2026-03-02 migration-rolled-back forge-audit-log 2026-03-01",
            "acme 2026-03-03 uninstalled",
        ];
        let skipped = SkippedRows { environment: 1, no_event: 1, ..SkippedRows::default() };
        let log = |rows: &[&str]| format!("{header}\n{}\n", rows.join("\n"));
        assert_eq!(
            made(ListForm::ForgeAuditLog, &log(&rows)),
            (expected.map(str::to_owned).to_vec(), skipped)
        );
        let newest_first: Vec<&str> = rows.into_iter().rev().collect();
        assert_eq!(made(ListForm::ForgeAuditLog, &log(&newest_first)).0, expected);
    }

    #[test]
    fn rows_of_a_table_are_installs_and_where_the_data_is() {
        let table = "clientKey,appKey,realm,installedAt,siteUrl,note\n\
                     acme,app,eu,,https://acme.atlassian.net,x\n\
                     birch,app,default,2024-05-01,,\n\
                     cedar,app,US,2023-05-01T10:00:00+02:00,,\n";
        let expected = [
            "cedar 2023-05-01T08:00:00.000Z installed US",
            "cedar 2023-05-01T08:00:00.000Z data-located US",
            "birch 2024-05-01 installed GLOBAL",
            "birch 2024-05-01 data-located GLOBAL",
            "acme 2026-01-01 installed EU",
            "acme 2026-01-01 data-located EU",
        ];
        assert_eq!(made(ListForm::Installations, table).0, expected);
    }
}
