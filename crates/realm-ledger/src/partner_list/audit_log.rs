//! The audit log of Forge's developer console, as CSV: events, of which the last of each site and app counts.
//!
//! Only the production environment counts. A migration that is completed puts the app in `Target location`, any
//! other event leaves it in `Location`, an uninstall takes it off the list.
//!
//! Which event was the last: by the day in `Event date`, and on that day by the time behind it, if all rows of
//! the day have one. Else by the order of the file, if its days rise or fall from beginning to end. Where neither
//! tells, rows of one day that contradict each other are refused: a guess would be evidence of nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use csv::StringRecord;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;

use super::{
    AppNames, Key, ListedRealm, PartnerList, SkippedRows, invalid, key, line_of, no_csv, parse_realm,
};
use crate::Failure;

/// Where an audit log has what.
pub(super) struct AuditColumns {
    site: usize,
    app: usize,
    event: usize,
    date: usize,
    location: usize,
    target: Option<usize>,
    environment: Option<usize>,
}

/// A row with the place of an app.
pub(super) struct AuditRow {
    pub(super) day: Date,
    /// With the time of day, in UTC where it has an offset.
    pub(super) time: Option<DateTime>,
    pub(super) line: u64,
    site: String,
    pub(super) app_id: String,
    /// In lower case.
    pub(super) event: String,
    /// Where the app was, and where it goes, as far as these are places.
    pub(super) location: Option<Realm>,
    pub(super) target: Option<Realm>,
    /// Where the app is from then on; none for an uninstall.
    realm: Option<Realm>,
}

impl AuditColumns {
    pub(super) fn from_header(column: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        Some(Self {
            site: column("siteid")?,
            app: column("appid")?,
            event: column("event")?,
            date: column("eventdate")?,
            location: column("location")?,
            target: column("targetlocation"),
            environment: column("environment"),
        })
    }

    /// The row; none where it has no place of the app.
    fn read(&self, row: &StringRecord, skipped: &mut SkippedRows) -> Result<Option<AuditRow>, Failure> {
        let text = |column: usize| row.get(column).unwrap_or_default().trim();
        let line = line_of(row);
        if self.environment.is_some_and(|column| !text(column).eq_ignore_ascii_case("production")) {
            skipped.environment += 1;
            return Ok(None);
        }
        let event = text(self.event).to_lowercase();
        let uninstalled = event.contains("uninstalled");
        let moved = event.contains("migration") && event.contains("completed");
        let place = if moved { self.target.map(text).unwrap_or_default() } else { text(self.location) };
        let is_unknown = matches!(place.to_ascii_lowercase().as_str(), "" | "n/a" | "-");
        if is_unknown && !uninstalled {
            skipped.no_place += 1;
            return Ok(None);
        }
        let date = text(self.date);
        let expected = "date such as 2026-03-01 or 2026-03-01T10:00:00Z";
        let (day, time) = parse_date(date).ok_or_else(|| invalid(line, date, expected))?;
        let realm = if uninstalled { None } else { Some(parse_realm(line, place)?) };
        let (site, app_id) = (text(self.site).to_owned(), text(self.app).to_owned());
        let (location, target) = (Realm::parse(text(self.location)).ok(), self.target.map(text));
        let target = target.and_then(|target| Realm::parse(target).ok());
        Ok(Some(AuditRow { day, time, line, site, app_id, event, location, target, realm }))
    }
}

/// The day, and the time on it if it is one that can be read.
fn parse_date(text: &str) -> Option<(Date, Option<DateTime>)> {
    let instant = text.parse::<jiff::Timestamp>().ok();
    let time = instant.map(|instant| Offset::UTC.to_datetime(instant));
    let has_time = text.len() > "2026-03-01".len();
    let time = time.or_else(|| has_time.then(|| text.parse::<DateTime>().ok()).flatten());
    let is_day = |rest: &str| rest.is_empty() || rest.starts_with([' ', 'T', ',']);
    let day = time
        .map(DateTime::date)
        .or_else(|| is_day(text.get(10..)?).then_some(text.get(..10)?)?.parse().ok())?;
    Some((day, time))
}

/// The rows that count, oldest day first.
pub(super) struct AuditLog {
    pub(super) rows: Vec<(Key, AuditRow)>,
    /// Whether the order of the file means anything.
    order_tells: bool,
    pub(super) taken_for: Option<(String, AppKey)>,
    pub(super) skipped: SkippedRows,
}

impl AuditLog {
    /// Refuses rows of one day and installation that leave the app in different places, where nothing tells which came last.
    pub(super) fn refuse_contradictions(&self) -> Result<(), Failure> {
        let mut days: BTreeMap<(&Key, Date), Vec<&AuditRow>> = BTreeMap::new();
        for (key, row) in &self.rows {
            days.entry((key, row.day)).or_default().push(row);
        }
        days.into_values().try_for_each(|rows| last(&rows, self.order_tells).map(drop))
    }
}

pub(super) fn read_log(
    reader: &mut csv::Reader<impl Read>,
    columns: &AuditColumns,
    names: &AppNames,
) -> Result<AuditLog, Failure> {
    let (mut rows, mut skipped) = (Vec::new(), SkippedRows::default());
    for row in reader.records() {
        rows.extend(columns.read(&row.map_err(no_csv)?, &mut skipped)?);
    }
    let taken_for = taken_for(&rows, names);
    let order_tells = put_oldest_first(&mut rows);
    let mut keyed = Vec::new();
    for row in rows {
        let app = names.ids.get(&row.app_id);
        let app = app.or_else(|| Some(&taken_for.as_ref().filter(|(id, _)| *id == row.app_id)?.1));
        let key = key(row.line, &row.site, app.map_or(row.app_id.as_str(), AppKey::as_str))?;
        if names.only.as_ref().is_none_or(|only| *only == key.1) {
            keyed.push((key, row));
        } else {
            skipped.other_app += 1;
        }
    }
    Ok(AuditLog { rows: keyed, order_tells, taken_for, skipped })
}

pub(super) fn read(
    reader: &mut csv::Reader<impl Read>,
    columns: &AuditColumns,
    names: &AppNames,
) -> Result<PartnerList, Failure> {
    let AuditLog { rows, order_tells, taken_for, skipped } = read_log(reader, columns, names)?;
    let mut events: BTreeMap<Key, Vec<AuditRow>> = BTreeMap::new();
    for (key, row) in rows {
        events.entry(key).or_default().push(row);
    }
    let mut list = BTreeMap::new();
    for (key, rows) in events {
        let rows: Vec<&AuditRow> = rows.iter().collect();
        if let Some(AuditRow { line, realm: Some(realm), .. }) = last(&rows, order_tells)? {
            list.insert(key, ListedRealm { realm: *realm, line: *line });
        }
    }
    Ok(PartnerList { list, taken_for, skipped })
}

/// With one app wanted and one in the log, they are the same, whatever the log calls it.
fn taken_for(rows: &[AuditRow], names: &AppNames) -> Option<(String, AppKey)> {
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.app_id.as_str()).collect();
    let only = names.only.as_ref().filter(|_| names.ids.is_empty() && ids.len() == 1)?;
    let id = ids.first().filter(|id| **id != only.as_str())?;
    Some(((*id).to_owned(), only.clone()))
}

/// Sorts by day, and within a day as the file does, or by time where all rows of the day have one; answers whether the order
/// of the file means anything.
fn put_oldest_first(rows: &mut [AuditRow]) -> bool {
    let (rises, falls) =
        (rows.is_sorted_by_key(|row| row.day), rows.iter().rev().is_sorted_by_key(|row| row.day));
    if falls && !rises {
        rows.reverse();
    }
    rows.sort_by_key(|row| row.day);
    for of_day in rows.chunk_by_mut(|one, other| one.day == other.day) {
        if of_day.iter().all(|row| row.time.is_some()) {
            of_day.sort_by_key(|row| row.time);
        }
    }
    rises != falls
}

/// The last of the events of one installation, which come oldest day first.
fn last<'r>(rows: &[&'r AuditRow], order_tells: bool) -> Result<Option<&'r AuditRow>, Failure> {
    let Some(day) = rows.last().map(|row| row.day) else { return Ok(None) };
    let of_day = || rows.iter().copied().filter(|row| row.day == day);
    let times: Option<Vec<DateTime>> = of_day().map(|row| row.time).collect();
    let latest = times.and_then(|times| times.into_iter().max());
    // Without times every row of the day may have been the last.
    let mut candidates = of_day().filter(|row| latest.is_none() || row.time == latest);
    let Some(last) = candidates.next_back() else { return Ok(None) };
    match candidates.find(|row| row.realm != last.realm) {
        Some(other) if !order_tells => {
            let (before, line) = (other.line.min(last.line), other.line.max(last.line));
            Err(Failure::new(format!(
                "lines {before} and {line} are of one day and leave the app in different places; neither a time of day \
                 nor the order of the file tells which came last: keep the one that did"
            )))
        }
        _ => Ok(Some(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use ledger_ingest::text::Text;

    use super::*;

    const HEADER: &str = "App ID,App name,Site ID,Atlassian app,Environment,Installed version,Event,Event date,Location,Target location\n";

    fn log(rows: &[&str]) -> String {
        format!("{HEADER}{}\n", rows.join("\n"))
    }

    fn listed(rows: &[&str]) -> Vec<(String, String, u64)> {
        let read = read(Text::open(log(rows).as_bytes()).unwrap(), &AppNames::default(), "FILE").unwrap();
        let shown = read.list.into_iter();
        shown.map(|((client, _), at)| (client.to_string(), at.realm.to_string(), at.line)).collect()
    }

    fn refused(rows: &[&str]) -> String {
        read(Text::open(log(rows).as_bytes()).unwrap(), &AppNames::default(), "FILE").unwrap_err().reason()
    }

    fn one(client: &str, realm: &str, line: u64) -> (String, String, u64) {
        (client.to_owned(), realm.to_owned(), line)
    }

    const ROWS: [&str; 8] = [
        "app,A,acme,Jira,production,1,App installed,2026-01-01,US,N/A",
        "app,A,birch,Jira,development,1,App installed,2026-01-01,US,N/A",
        "app,A,cedar,Jira,production,1,App installed,2026-01-01,Global,N/A",
        "app,A,elm,Jira,production,1,App installed,2026-01-01,AU,N/A",
        "app,A,cedar,Jira,production,1,Forge backfill started,2026-01-05,N/A,N/A",
        "app,A,acme,Jira,production,1,Migration scheduled,2026-02-01,US,EU",
        "app,A,acme,Jira,production,1,Migration completed,2026-02-01,US,EU",
        "app,A,elm,Jira,production,1,App uninstalled,2026-03-01,AU,N/A",
    ];

    #[test]
    fn the_last_event_tells_whichever_way_round_the_file_is() {
        assert_eq!(listed(&ROWS), [one("acme", "EU", 8), one("cedar", "GLOBAL", 4)]);
        let newest_first: Vec<&str> = ROWS.into_iter().rev().collect();
        assert_eq!(listed(&newest_first), [one("acme", "EU", 3), one("cedar", "GLOBAL", 7)]);
    }

    #[test]
    fn within_a_day_the_time_tells_before_the_order_of_the_file() {
        let moved = "app,A,acme,Jira,production,1,Migration completed,2026-02-01T10:00:00Z,US,EU";
        let scheduled = "app,A,acme,Jira,production,1,Migration scheduled,2026-02-01 11:30:00+02:00,US,EU";
        assert_eq!(listed(&[moved, scheduled]), [one("acme", "EU", 2)]);
        assert_eq!(listed(&[scheduled, moved]), [one("acme", "EU", 3)]);
        assert_eq!(listed(&[ROWS[0], moved, scheduled]), [one("acme", "EU", 3)]);
    }

    #[test]
    fn a_day_that_contradicts_itself_is_refused_where_nothing_tells_the_order() {
        let reported = refused(&[ROWS[5], ROWS[6]]);
        assert!(reported.starts_with("lines 2 and 3 are of one day"), "{reported}");
        // The days neither rise nor fall.
        let shuffled = refused(&[ROWS[0], ROWS[7], ROWS[5], ROWS[6], ROWS[7]]);
        assert!(shuffled.starts_with("lines 4 and 5 are of one day"), "{shuffled}");
        assert_eq!(listed(&[ROWS[6], ROWS[6]]), [one("acme", "EU", 3)], "no contradiction");
        assert_eq!(
            refused(&["app,A,acme,Jira,production,1,App installed,yesterday,US,N/A"]),
            "line 2: \"yesterday\" is no date such as 2026-03-01 or 2026-03-01T10:00:00Z"
        );
    }

    #[test]
    fn an_app_id_is_taken_for_the_app_key_that_it_belongs_to() {
        let rows = log(&[&ROWS[0].replace("app,A", "ari:app/1,A"), ROWS[1]]);
        let wanted = AppKey::new("com.example.app").unwrap();
        let keys = |text: &str, names: &AppNames| {
            let read = read(Text::open(text.as_bytes()).unwrap(), names, "FILE").unwrap();
            let apps: Vec<String> = read.list.keys().map(|(_, app)| app.to_string()).collect();
            (apps, read.taken_for.is_some(), read.skipped)
        };
        let skipped = |other_app| SkippedRows { environment: 1, other_app, ..SkippedRows::default() };
        let only = AppNames { only: Some(wanted.clone()), ..AppNames::default() };
        assert_eq!(keys(&rows, &only), (vec!["com.example.app".to_owned()], true, skipped(0)));
        let ids = BTreeMap::from([("ari:app/1".to_owned(), wanted)]);
        let named = AppNames { ids, only: None };
        assert_eq!(keys(&rows, &named), (vec!["com.example.app".to_owned()], false, skipped(0)));
        // With two apps in it, neither is taken for the wanted one.
        let two = log(&[&ROWS[0].replace("app,A", "ari:app/1,A"), ROWS[2], ROWS[1], ROWS[4]]);
        assert_eq!(keys(&two, &only), (vec![], false, SkippedRows { no_place: 1, ..skipped(2) }));
    }
}
