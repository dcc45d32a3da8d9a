//! A partner's own list of where its installations are, in whatever form it has one.
//!
//! | form | how it is told | what it says |
//! | --- | --- | --- |
//! | NDJSON | begins with `{` | `clientKey`, `appKey`, `realm` on each line |
//! | CSV | a header with these names | the same, in any order, among other columns |
//! | audit log of Forge's developer console, CSV | a header with `Site ID`, `App ID`, `Event`, `Location` | events; the last of each site and app tells |
//!
//! Names in a header count without regard to case, blanks and underscores. Of an audit log only the
//! production environment counts. A migration that is completed puts the app in `Target location`, any other
//! event leaves it in `Location`, an uninstall takes it off the list. Its dates have no time of day: events of
//! one day count in the order of the file, whichever way round that is sorted.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::civil::Date;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use serde::Deserialize;

/// Whose installation of what.
pub(crate) type Key = (ClientKey, AppKey);

/// Where the list puts an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) realm: Realm,
    /// The line that says so, from 1.
    pub(crate) line: u64,
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// It cannot be read.
    #[error("the list cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// Not CSV.
    #[error("the list is no CSV")]
    NoCsv(#[from] csv::Error),
    /// A line is not JSON of this shape.
    #[error("line {line} is not an object with clientKey, appKey and realm")]
    NoJson {
        /// Which line.
        line: u64,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Columns are missing.
    #[error("the header has no clientKey, appKey and realm, nor the columns of a Forge audit log")]
    NoColumns,
    /// A value is not what its column has.
    #[error("line {line}: {value:?} is no {expected}")]
    Invalid {
        /// Which line.
        line: u64,
        /// What it says.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// Two lines contradict each other.
    #[error("line {line} says {realm}, and line {before} said another realm of the same installation")]
    Contradiction {
        /// The later line.
        line: u64,
        /// What it says.
        realm: Realm,
        /// The earlier line.
        before: u64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    client_key: String,
    app_key: String,
    realm: String,
}

/// Reads a list.
pub(crate) fn read(mut input: impl BufRead) -> Result<BTreeMap<Key, Listed>, ListError> {
    if input.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return read_json(input);
    }
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(input);
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|title| plain(title) == name);
    if let (Some(client), Some(app), Some(realm)) = (column("clientkey"), column("appkey"), column("realm")) {
        return read_rows(&mut reader, [client, app, realm]);
    }
    let audit = AuditColumns::of(column).ok_or(ListError::NoColumns)?;
    read_audit_log(&mut reader, &audit)
}

fn plain(title: &str) -> String {
    title.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn read_json(input: impl BufRead) -> Result<BTreeMap<Key, Listed>, ListError> {
    let mut list = BTreeMap::new();
    for (line, text) in (1..).zip(input.lines()) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let read: Line = serde_json::from_str(&text).map_err(|source| ListError::NoJson { line, source })?;
        put(&mut list, line, [&read.client_key, &read.app_key, &read.realm])?;
    }
    Ok(list)
}

fn read_rows(
    reader: &mut csv::Reader<impl Read>,
    columns: [usize; 3],
) -> Result<BTreeMap<Key, Listed>, ListError> {
    let mut list = BTreeMap::new();
    for row in reader.records() {
        let row = row?;
        put(&mut list, line_of(&row), columns.map(|column| row.get(column).unwrap_or_default()))?;
    }
    Ok(list)
}

fn put(list: &mut BTreeMap<Key, Listed>, line: u64, texts: [&str; 3]) -> Result<(), ListError> {
    let [client, app, realm] = texts;
    let (key, realm) = (key(line, client, app)?, parse_realm(line, realm)?);
    let known = list.entry(key).or_insert(Listed { realm, line });
    if known.realm == realm {
        return Ok(());
    }
    Err(ListError::Contradiction { line, realm, before: known.line })
}

fn key(line: u64, client: &str, app: &str) -> Result<Key, ListError> {
    let invalid = |value: &str, expected| ListError::Invalid { line, value: value.to_owned(), expected };
    let client = ClientKey::new(client).map_err(|_| invalid(client, "client key"))?;
    Ok((client, AppKey::new(app).map_err(|_| invalid(app, "app key"))?))
}

fn parse_realm(line: u64, text: &str) -> Result<Realm, ListError> {
    Realm::parse(text).map_err(|_| ListError::Invalid { line, value: text.to_owned(), expected: "realm" })
}

fn line_of(row: &StringRecord) -> u64 {
    row.position().map_or(0, csv::Position::line)
}

/// Where an audit log has what.
struct AuditColumns {
    site: usize,
    app: usize,
    event: usize,
    date: usize,
    location: usize,
    target: Option<usize>,
    environment: Option<usize>,
}

/// A row of an audit log.
struct AuditRow {
    date: Date,
    line: u64,
    key: Key,
    /// Where the app is from then on; none for an uninstall.
    realm: Option<Realm>,
}

impl AuditColumns {
    fn of(column: impl Fn(&str) -> Option<usize>) -> Option<Self> {
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

    /// The row, unless it says nothing about where the app is.
    fn read(&self, row: &StringRecord) -> Result<Option<AuditRow>, ListError> {
        let text = |column: usize| row.get(column).unwrap_or_default();
        let line = line_of(row);
        let elsewhere =
            self.environment.is_some_and(|column| !text(column).eq_ignore_ascii_case("production"));
        if elsewhere {
            return Ok(None);
        }
        let event = text(self.event).to_lowercase();
        let uninstalled = event.contains("uninstalled");
        let moved = event.contains("migration") && event.contains("completed");
        let place = if moved { self.target.map(text).unwrap_or_default() } else { text(self.location) };
        let unknown = matches!(place.to_ascii_lowercase().as_str(), "" | "n/a" | "-");
        if unknown && !uninstalled {
            return Ok(None);
        }
        let date = text(self.date);
        let day = date.get(..10).and_then(|day| day.parse::<Date>().ok());
        let expected = "date such as 2026-03-01";
        let date = day.ok_or_else(|| ListError::Invalid { line, value: date.to_owned(), expected })?;
        let realm = if uninstalled { None } else { Some(parse_realm(line, place)?) };
        Ok(Some(AuditRow { date, line, key: key(line, text(self.site), text(self.app))?, realm }))
    }
}

fn read_audit_log(
    reader: &mut csv::Reader<impl Read>,
    columns: &AuditColumns,
) -> Result<BTreeMap<Key, Listed>, ListError> {
    let mut rows = Vec::new();
    for row in reader.records() {
        rows.extend(columns.read(&row?)?);
    }
    let newest_first = rows.first().zip(rows.last()).is_some_and(|(first, last)| first.date > last.date);
    if newest_first {
        rows.reverse();
    }
    rows.sort_by_key(|row| row.date);
    let mut list = BTreeMap::new();
    for AuditRow { line, key, realm, .. } in rows {
        match realm {
            Some(realm) => list.insert(key, Listed { realm, line }),
            None => list.remove(&key),
        };
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<(String, String, String, u64)> {
        let list = read(text.as_bytes()).unwrap();
        let shown = list.into_iter().map(|((client, app), Listed { realm, line })| {
            (client.to_string(), app.to_string(), realm.to_string(), line)
        });
        shown.collect()
    }

    fn one(client: &str, realm: &str, line: u64) -> (String, String, String, u64) {
        (client.to_owned(), "app".to_owned(), realm.to_owned(), line)
    }

    #[test]
    fn csv_and_ndjson_say_the_same() {
        let csv = "\u{feff}App Key, note ,client_key,REALM\napp,\"a, b\",acme,eu\napp,,birch,GLOBAL\n";
        assert_eq!(listed(csv), [one("acme", "EU", 2), one("birch", "GLOBAL", 3)]);
        let json = "{\"clientKey\":\"acme\",\"appKey\":\"app\",\"realm\":\"eu\",\"note\":1}\n\n\
                    {\"realm\":\"GLOBAL\",\"clientKey\":\"birch\",\"appKey\":\"app\"}\n";
        assert_eq!(listed(json), [one("acme", "EU", 1), one("birch", "GLOBAL", 3)]);
        assert_eq!(listed("clientKey,appKey,realm\n"), []);
    }

    const AUDIT_HEADER: &str = "App ID,App name,Site ID,Atlassian app,Environment,Installed version,Event,Event date,Location,Target location\n";

    #[test]
    fn the_last_event_of_an_audit_log_tells() {
        let rows = [
            "app,A,acme,Jira,production,1,App installed,2026-01-01,US,N/A",
            "app,A,acme,Jira,production,1,Migration scheduled,2026-02-01,US,EU",
            "app,A,acme,Jira,production,1,Migration completed,2026-02-01,US,EU",
            "app,A,birch,Jira,development,1,App installed,2026-01-01,US,N/A",
            "app,A,cedar,Jira,production,1,App installed,2026-01-01,Global,N/A",
            "app,A,cedar,Jira,production,1,Forge backfill started,2026-01-05,N/A,N/A",
            "app,A,elm,Jira,production,1,App installed,2026-01-01,AU,N/A",
            "app,A,elm,Jira,production,1,App uninstalled,2026-03-01,AU,N/A",
        ];
        let oldest_first = format!("{AUDIT_HEADER}{}\n", rows.join("\n"));
        assert_eq!(listed(&oldest_first), [one("acme", "EU", 4), one("cedar", "GLOBAL", 6)]);
        let newest_first: Vec<&str> = rows.into_iter().rev().collect();
        let newest_first = format!("{AUDIT_HEADER}{}\n", newest_first.join("\n"));
        assert_eq!(listed(&newest_first), [one("acme", "EU", 7), one("cedar", "GLOBAL", 5)]);
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_line() {
        let told = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(told("client,realm\na,EU\n").contains("no clientKey"));
        assert_eq!(told("clientKey,appKey,realm\na,b,EU\na,c,Europe!\n"), "line 3: \"Europe!\" is no realm");
        assert_eq!(
            told("clientKey,appKey,realm\na,b,EU\na,b,US\n"),
            "line 3 says US, and line 2 said another realm of the same installation"
        );
        assert!(told("{\"clientKey\":\"a\"}\n").starts_with("line 1 is not an object"));
        let date = format!("{AUDIT_HEADER}app,A,acme,Jira,production,1,App installed,yesterday,US,N/A\n");
        assert_eq!(told(&date), "line 2: \"yesterday\" is no date such as 2026-03-01");
    }
}
