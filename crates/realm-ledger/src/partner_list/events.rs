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
//! its events are at 00:00 UTC, and rows of one day keep their order, which has to tell something where they contradict each
//! other. A row of a table without `installedAt` is of the beginning of the day of its first import: the table says that it is
//! so, and not since when. Its id has no day; imported again, it has the time with which it is recorded.

use std::collections::BTreeMap;

use csv::StringRecord;
use jiff::tz::Offset;
use ledger_core::event::Installed;
use ledger_core::limits::DAY_MS;
use ledger_core::time::Timestamp;
use ledger_ingest::text::{Line, Looks, Text};
use ledger_record::json::time::{format_instant, parse_instant};
use serde_json::{Value, json};

use super::audit_log::{AuditColumns, AuditLog, AuditRow, read_log};
use super::{
    AppNames, Key, RecordedInstalls, SkippedRows, invalid, key, line_of, no_columns, no_csv, parse_realm,
    plain, read_csv,
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
    /// Native events, with the lines of their rows.
    pub(crate) lines: Vec<Line>,
    /// Rows that count.
    pub(crate) rows: u64,
    pub(crate) skipped: SkippedRows,
}

/// Reads a list as events. `file` is its path in a command that a hint proposes.
pub(crate) fn events(
    text: Text<'_>,
    form: ListForm,
    names: &AppNames,
    recorded: &RecordedInstalls,
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
            let log = read_log(&mut reader, &columns, names)?;
            refuse_unnamed(&log, names)?;
            log.refuse_contradictions()?;
            Ok(of_audit_log(log))
        }
        ListForm::Installations => {
            let columns = TableColumns::from_header(column).ok_or_else(|| {
                Failure::new(
                    "the header has no clientKey, appKey and realm, which a table of installations needs",
                )
            })?;
            let mut rows = Vec::new();
            for row in reader.records() {
                let row = row.map_err(no_csv)?;
                refuse_broken(&row, header.len())?;
                let mut row = columns.read(&row, now)?;
                if !row.is_dated {
                    let id = event_id(FORM, None, "installed", &[&row.realm]);
                    // What the table said last is that event, on whatever day; what it said once, and not last, is news.
                    if let Some(last) = recorded.last_if_known(&row.key, &id, FORM)? {
                        let is_same = row.is_as(&last.installed);
                        row.is_dated = !(is_same && last.id.starts_with(&id));
                        row.time = if is_same { last.time } else { row.time };
                    }
                }
                rows.push(row);
            }
            refuse_two_realms(&rows)?;
            Ok(of_table(rows))
        }
    }
}

/// Refuses a log of apps whose keys are not known: under the id of a Forge app its history and its present never meet.
fn refuse_unnamed(log: &AuditLog, names: &AppNames) -> Result<(), Failure> {
    let is_id = |app: &str| app.starts_with("ari:") || is_uuid(app);
    let unnamed = |(_, row): &&(Key, AuditRow)| is_id(&row.app_id) && !names.ids.contains_key(&row.app_id);
    let taken_for = log.taken_for.as_ref().map(|(id, _)| id.as_str());
    match log.rows.iter().find(unnamed).filter(|(_, row)| taken_for != Some(&row.app_id)) {
        None => Ok(()),
        Some((_, row)) => {
            Err(Failure::new(format!("{} is the id of an app, and its app key is not given", row.app_id))
                .hint(format!(
                    "name it: --app-id {}=APP_KEY, the key that hooks and producers use",
                    row.app_id
                )))
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Refuses a row that is none: a quote that does not end takes the rows behind it into one.
fn refuse_broken(row: &StringRecord, columns: usize) -> Result<(), Failure> {
    let line = line_of(row);
    if row.len() != columns {
        let message = format!("line {line} has {} columns, and the header {columns}", row.len());
        return Err(Failure::new(message)
            .hint("a quote that does not end, or a separator without quotes, may be the cause"));
    }
    match row.iter().find(|field| field.contains(['\n', '\r'])) {
        None => Ok(()),
        Some(_) => Err(Failure::new(format!("a column of line {line} goes on over several lines"))
            .hint("the quote that begins it may not end")),
    }
}

/// Refuses rows that put an installation in two realms at one time. All rows without one are of one time.
fn refuse_two_realms(rows: &[PartnerRow]) -> Result<(), Failure> {
    let mut known = BTreeMap::<(&Key, Option<Timestamp>), &PartnerRow>::new();
    for row in rows {
        let before = known.entry((&row.key, row.is_dated.then_some(row.time))).or_insert(row);
        if before.realm != row.realm {
            return Err(Failure::new(format!(
                "line {} says {}, and line {} said another realm of the same installation",
                row.line, row.realm, before.line
            )));
        }
    }
    Ok(())
}

/// The migrations of an audit log, which has no ids.
#[derive(Default)]
struct Migrations {
    /// Those that were scheduled or started and did not end.
    open: BTreeMap<Key, String>,
    /// How many began on a day.
    begun: BTreeMap<(Key, String), u64>,
}

impl Migrations {
    /// The open one of an installation, or else a new one of that day.
    fn open(&mut self, key: &Key, day: String) -> String {
        if let Some(id) = self.open.get(key) {
            return id.clone();
        }
        let count = self.begun.entry((key.clone(), day.clone())).or_default();
        *count += 1;
        let id = if *count == 1 { day } else { format!("{day} {count}") };
        self.open.insert(key.clone(), id.clone());
        id
    }
}

fn of_audit_log(AuditLog { rows, mut skipped, .. }: AuditLog) -> ListEvents {
    let mut list = EventLines::default();
    let mut migrations = Migrations::default();
    for (key, row) in rows {
        let Some((kind, fields)) = audit_event(&key, &row, &mut migrations) else {
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
        list.origin = row.line;
        list.put("forge-audit-log", &key, kind, time, true, fields);
    }
    list.finish(skipped)
}

/// What a row tells; none: nothing of a realm.
fn audit_event(key: &Key, row: &AuditRow, migrations: &mut Migrations) -> Option<(&'static str, Value)> {
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
        target.as_ref()?;
        return step("migration-scheduled", migrations.open(key, of_day));
    }
    if has("started") {
        return step("migration-started", migrations.open(key, of_day));
    }
    // Any other word ends one too: cancelled, expired, rolled back.
    match (has("completed"), migrations.open.remove(key)) {
        (true, Some(id)) => step("migration-committed", id),
        (true, None) => {
            let mut fields = json!({ "targetRealm": target? });
            if let Some(location) = row.location {
                fields["sourceRealm"] = json!(location.as_str());
            }
            Some(("migrated", fields))
        }
        (false, Some(id)) => Some(("migration-rolled-back", json!({ "migrationId": id }))),
        (false, None) => None,
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

struct PartnerRow {
    line: u64,
    key: Key,
    time: Timestamp,
    /// The list says when; else the time is that of the import.
    is_dated: bool,
    realm: String,
    others: Vec<(&'static str, String)>,
}

impl PartnerRow {
    fn is_as(&self, installed: &Installed) -> bool {
        let Installed { endpoint_realm, installation_id, entitlement_id, site_url, .. } = installed;
        let of = |name: &str| self.others.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        endpoint_realm.as_ref().is_some_and(|realm| realm.as_str() == self.realm)
            && (of("installationId"), of("entitlementId"), of("siteUrl"))
                == (installation_id.as_ref(), entitlement_id.as_ref(), site_url.as_ref())
    }
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

    fn read(&self, row: &StringRecord, now: Timestamp) -> Result<PartnerRow, Failure> {
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
        Ok(PartnerRow {
            line,
            key: key(line, text(self.client), text(self.app))?,
            time,
            is_dated: installed_at.is_some(),
            realm: parse_realm(line, text(self.realm))?.to_string(),
            others: others.filter(|(_, value)| !value.is_empty()).collect(),
        })
    }
}

/// Begins the ids of events of a table.
const FORM: &str = "installations";

/// In the order of time, as recorded time never goes back.
fn of_table(mut rows: Vec<PartnerRow>) -> ListEvents {
    rows.sort_by_key(|row| row.time);
    let mut list = EventLines { rows: rows.len() as u64, ..EventLines::default() };
    for PartnerRow { line, key, time, is_dated, realm, others } in rows {
        list.origin = line;
        let mut fields = json!({ "endpointRealm": realm });
        for (name, value) in others {
            fields[name] = json!(value);
        }
        list.put(FORM, &key, "installed", time, is_dated, fields);
        list.put(FORM, &key, "data-located", time, is_dated, json!({ "realm": realm }));
    }
    list.finish(SkippedRows::default())
}

/// The id of an event, without its time where the row has none.
fn event_id(form: &str, time: Option<&str>, kind: &str, realms: &[&str]) -> String {
    [&[form, time.unwrap_or("undated"), kind], realms].concat().join(" ")
}

/// Events on their way to lines.
#[derive(Default)]
struct EventLines {
    lines: Vec<Line>,
    rows: u64,
    /// The line of the row whose events are put.
    origin: u64,
    /// How often an installation had an id: rows that are alike are as many events.
    ids: BTreeMap<(Key, String), u64>,
}

impl EventLines {
    /// `is_dated`: the time is of the row, and so a part of its id.
    fn put(&mut self, form: &str, key: &Key, kind: &str, time: Timestamp, is_dated: bool, fields: Value) {
        let time = format_instant(time);
        let realms = ["endpointRealm", "realm", "sourceRealm", "targetRealm"];
        let realms = realms.iter().filter_map(|name| fields[name].as_str());
        let id = event_id(form, is_dated.then_some(&*time), kind, &realms.collect::<Vec<_>>());
        let count = self.ids.entry((key.clone(), id.clone())).or_default();
        *count += 1;
        let id = if *count == 1 { id } else { format!("{id} {count}") };
        let mut event = json!({
            "id": id, "type": kind, "time": time, "clientKey": key.0.as_str(), "appKey": key.1.as_str(),
        });
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        let (number, text) = (self.lines.len() as u64 + 1, event.to_string().into_bytes());
        self.lines.push(Line { number, origin: self.origin, text, ended: true });
    }

    fn finish(self, skipped: SkippedRows) -> ListEvents {
        ListEvents { lines: self.lines, rows: self.rows, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(form: ListForm, text: &str) -> (Vec<String>, SkippedRows) {
        let text = Text::open(text.as_bytes()).unwrap();
        let now = Timestamp::from_millis(1_767_225_600_000 + 3_600_000);
        let made =
            events(text, form, &AppNames::default(), &RecordedInstalls::default(), now, "FILE").unwrap();
        assert!((1..).zip(&made.lines).all(|(number, line)| line.number == number && line.origin > 1));
        let shown = made.lines.iter().map(|line| {
            let event: Value = serde_json::from_slice(&line.text).unwrap();
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

    fn refused(form: ListForm, text: &str) -> String {
        let (text, now) = (Text::open(text.as_bytes()).unwrap(), Timestamp::from_millis(1_767_229_200_000));
        events(text, form, &AppNames::default(), &RecordedInstalls::default(), now, "FILE")
            .unwrap_err()
            .reason()
    }

    const HEADER: &str = "App ID,Site ID,Environment,Event,Event date,Location,Target location";

    #[test]
    fn each_migration_of_a_day_is_one_of_its_own_and_any_word_ends_it() {
        let rows = [
            "app,acme,production,App installed,2026-01-01,US,N/A",
            "app,acme,production,Migration scheduled,2026-02-01,US,EU",
            "app,acme,production,Migration cancelled,2026-02-01,US,EU",
            "app,acme,production,Migration scheduled,2026-02-01,US,EU",
            "app,acme,production,Migration completed,2026-02-01,US,EU",
            "app,acme,production,Migration started,2026-02-01,EU,AU",
        ];
        let expected = [
            "acme 2026-01-01 installed US",
            "acme 2026-02-01 migration-scheduled EU forge-audit-log 2026-02-01",
            "acme 2026-02-01 migration-rolled-back forge-audit-log 2026-02-01",
            "acme 2026-02-01 migration-scheduled EU forge-audit-log 2026-02-01 2",
            "acme 2026-02-01 migration-committed EU forge-audit-log 2026-02-01 2",
            "acme 2026-02-01 migration-started AU forge-audit-log 2026-02-01 3",
        ];
        assert_eq!(made(ListForm::ForgeAuditLog, &format!("{HEADER}\n{}\n", rows.join("\n"))).0, expected);
    }

    #[test]
    fn log_that_leaves_a_guess_is_refused() {
        let log = |rows: &str| refused(ListForm::ForgeAuditLog, &format!("{HEADER}\n{rows}\n"));
        let one_day = "app,acme,production,App uninstalled,2026-01-01,US,N/A\n\
                       app,acme,production,App installed,2026-01-01,US,N/A";
        assert!(log(one_day).starts_with("lines 2 and 3 are of one day"), "{}", log(one_day));
        for id in ["ari:cloud:ecosystem::app/1", "6d1a2f0e-0000-4000-8000-000000000000"] {
            let reason = log(&format!("{id},acme,production,App installed,2026-01-01,US,N/A"));
            assert_eq!(reason, format!("{id} is the id of an app, and its app key is not given"));
        }
        let reason = log("app,acme,production,App installed,2026-01-01xyz,US,N/A");
        assert!(reason.starts_with("line 2: \"2026-01-01xyz\" is no date"), "{reason}");
    }

    #[test]
    fn table_with_a_quote_that_does_not_end_or_two_realms_for_one_installation_is_refused() {
        let table = |rows: &str| {
            refused(ListForm::Installations, &format!("clientKey,appKey,realm,installedAt,siteUrl\n{rows}"))
        };
        let reason = table("a,app,EU,2024-01-01,\"https://x\nb,app,EU,,\n");
        assert_eq!(reason, "a column of line 2 goes on over several lines");
        assert_eq!(table("a,app,EU,2024-01-01\n"), "line 2 has 4 columns, and the header 5");
        assert_eq!(
            table("a,app,EU,,\na,app,US,,\n"),
            "line 3 says US, and line 2 said another realm of the same installation"
        );
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
