//! A partner's own list of where its installations are, in whatever form it has one.
//!
//! | form | how it is recognised | what it has |
//! | --- | --- | --- |
//! | NDJSON | its first line is an object | `clientKey`, `appKey`, `realm` on each line |
//! | CSV | a header with these names | the same, in any order, among other columns |
//! | audit log of Forge's developer console, CSV | a header with `Site ID`, `App ID`, `Event`, `Location` | events; the last of each site and app counts |
//!
//! Names in a header count without regard to case, blanks and underscores; columns may be parted by commas, semicolons
//! or tabs. Keys are taken byte for byte, as everywhere: one with a blank around it is another key. How an audit log is read, and which
//! of its rows count, is in [`audit_log`].

mod audit_log;
mod events;
mod recorded;

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use csv::{ReaderBuilder, StringRecord, Trim};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_ingest::text::{Lines, Looks, Text};
use serde::Deserialize;

use crate::Failure;
pub(crate) use events::{ListEvents, ListForm, events};
pub(crate) use recorded::RecordedInstalls;

/// Names an installation.
pub(crate) type Key = (ClientKey, AppKey);

/// Where the list puts an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListedRealm {
    pub(crate) realm: Realm,
    /// The line of the list, from 1.
    pub(crate) line: u64,
}

/// A list, and what became of it on the way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartnerList {
    pub(crate) list: BTreeMap<Key, ListedRealm>,
    /// The app id of an audit log, and the app key that it was taken for without an `--app-id`.
    pub(crate) taken_for: Option<(String, AppKey)>,
    pub(crate) skipped: SkippedRows,
}

/// Rows that do not count. They are reported, so that an empty list is not taken for one that agrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SkippedRows {
    pub(crate) environment: u64,
    pub(crate) no_place: u64,
    pub(crate) no_event: u64,
    pub(crate) other_app: u64,
}

/// The apps whose rows count, and their names in the list.
#[derive(Debug, Default)]
pub(crate) struct AppNames {
    /// App keys of app ids: an audit log of Forge knows nothing of the key of a Connect app.
    pub(crate) ids: BTreeMap<String, AppKey>,
    /// The only app that counts.
    pub(crate) only: Option<AppKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NdjsonRow {
    client_key: String,
    app_key: String,
    realm: String,
}

/// Reads a list. `file` is its path in a command that a hint proposes.
pub(crate) fn read(text: Text<'_>, names: &AppNames, file: &str) -> Result<PartnerList, Failure> {
    match text.looks() {
        Looks::Ndjson => return Ok(only(read_json(text)?, names)),
        Looks::Csv(_) => {}
        Looks::Other(other) => {
            let failure = Failure::caused("the list is neither CSV nor NDJSON", other.clone());
            return Err(failure.hint(other.remedy(file)));
        }
    }
    let (mut reader, header) = read_csv(text)?;
    let column = |name: &str| header.iter().position(|title| plain(title) == name);
    if let (Some(client), Some(app), Some(realm)) = (column("clientkey"), column("appkey"), column("realm")) {
        return Ok(only(read_rows(&mut reader, [client, app, realm])?, names));
    }
    let columns = audit_log::AuditColumns::from_header(column).ok_or_else(no_columns)?;
    audit_log::read(&mut reader, &columns, names)
}

/// A CSV with a header.
fn read_csv(mut text: Text<'_>) -> Result<(csv::Reader<Text<'_>>, StringRecord), Failure> {
    let delimiter = delimiter(text.fill_buf().map_err(|error| no_csv(error.into()))?);
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).trim(Trim::Headers).flexible(true).from_reader(text);
    let header = reader.headers().map_err(no_csv)?.clone();
    Ok((reader, header))
}

/// What parts the columns: of the signs that programs use, the one that the header has most of.
pub(crate) fn delimiter(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |sign: &u8| header.split(|byte| byte == sign).count();
    b"\t;,".iter().copied().max_by_key(count).unwrap_or(b',')
}

/// The list without other apps.
fn only(mut list: BTreeMap<Key, ListedRealm>, names: &AppNames) -> PartnerList {
    let before = list.len();
    list.retain(|(_, app), _| names.only.as_ref().is_none_or(|only| only == app));
    let other_app = before.saturating_sub(list.len()) as u64;
    PartnerList { list, taken_for: None, skipped: SkippedRows { other_app, ..SkippedRows::default() } }
}

fn plain(title: &str) -> String {
    title.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn read_json(text: Text<'_>) -> Result<BTreeMap<Key, ListedRealm>, Failure> {
    let mut list = BTreeMap::new();
    for line in Lines::new(text) {
        let line = line.map_err(|error| Failure::caused("the list cannot be read", error))?;
        if line.is_blank() {
            continue;
        }
        let number = line.number;
        // Read as an object first: a derived reader takes the items of an array for members.
        let read = serde_json::from_slice::<serde_json::Map<_, _>>(&line.text)
            .and_then(|members| NdjsonRow::deserialize(serde_json::Value::Object(members)))
            .map_err(|error| {
                let message = format!("line {number} is not an object with clientKey, appKey and realm");
                Failure::caused(message, error)
            })?;
        put(&mut list, number, [&read.client_key, &read.app_key, &read.realm])?;
    }
    if list.is_empty() { Err(no_columns()) } else { Ok(list) }
}

fn read_rows(
    reader: &mut csv::Reader<impl Read>,
    columns: [usize; 3],
) -> Result<BTreeMap<Key, ListedRealm>, Failure> {
    let mut list = BTreeMap::new();
    for row in reader.records() {
        let row = row.map_err(no_csv)?;
        put(&mut list, line_of(&row), columns.map(|column| row.get(column).unwrap_or_default()))?;
    }
    Ok(list)
}

fn put(list: &mut BTreeMap<Key, ListedRealm>, line: u64, texts: [&str; 3]) -> Result<(), Failure> {
    let [client, app, realm] = texts;
    let (key, realm) = (key(line, client, app)?, parse_realm(line, realm)?);
    let known = list.entry(key).or_insert(ListedRealm { realm, line });
    if known.realm == realm {
        return Ok(());
    }
    Err(Failure::new(format!(
        "line {line} says {realm}, and line {} said another realm of the same installation",
        known.line
    )))
}

fn key(line: u64, client: &str, app: &str) -> Result<Key, Failure> {
    let client = ClientKey::new(client).map_err(|_| invalid(line, client, "client key"))?;
    Ok((client, AppKey::new(app).map_err(|_| invalid(line, app, "app key"))?))
}

fn parse_realm(line: u64, text: &str) -> Result<Realm, Failure> {
    Realm::parse(text.trim()).map_err(|_| invalid(line, text, "realm"))
}

fn invalid(line: u64, value: &str, expected: &str) -> Failure {
    Failure::new(format!("line {line}: {value:?} is no {expected}"))
}

fn no_csv(error: csv::Error) -> Failure {
    Failure::caused("the list is no CSV", error)
}

fn no_columns() -> Failure {
    Failure::new("the header has no clientKey, appKey and realm, nor the columns of a Forge audit log")
}

fn line_of(row: &StringRecord) -> u64 {
    row.position().map_or(0, csv::Position::line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<(String, String, String, u64)> {
        let list = read(Text::open(text.as_bytes()).unwrap(), &AppNames::default(), "FILE").unwrap().list;
        let shown = list.into_iter().map(|((client, app), ListedRealm { realm, line })| {
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
        assert_eq!(listed(&format!("\u{feff}{json}")), listed(json));
        assert_eq!(listed("clientKey,appKey,realm\n"), []);
        for sign in [";", "\t"] {
            assert_eq!(
                listed(&csv.replace("\"a, b\"", "\"a; b\"").replace(',', sign)),
                listed(csv),
                "{sign:?}"
            );
        }
    }

    #[test]
    fn keys_are_taken_byte_for_byte() {
        let csv = "clientKey, appKey, realm\n acme,app, EU \nacme ,app,US\n";
        assert_eq!(listed(csv), [one(" acme", "EU", 2), one("acme ", "US", 3)]);
    }

    #[test]
    fn other_apps_are_skipped_and_counted() {
        let csv = "clientKey,appKey,realm\nacme,app,EU\nacme,other,US\n";
        let names = AppNames { only: AppKey::new("app").ok(), ..AppNames::default() };
        let read = read(Text::open(csv.as_bytes()).unwrap(), &names, "FILE").unwrap();
        assert_eq!((read.list.len(), read.skipped.other_app), (1, 1));
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_line() {
        let reported = |text: &str| {
            let text = Text::open(text.as_bytes()).unwrap();
            read(text, &AppNames::default(), "FILE").unwrap_err().reason()
        };
        assert!(reported("").contains("no clientKey"));
        assert!(reported("[{\"clientKey\":\"a\"}]").contains("neither CSV nor NDJSON"));
        assert!(reported("client,realm\na,EU\n").contains("no clientKey"));
        assert_eq!(
            reported("clientKey,appKey,realm\na,b,EU\na,c,Europe!\n"),
            "line 3: \"Europe!\" is no realm"
        );
        assert_eq!(
            reported("clientKey,appKey,realm\na,b,EU\na,b,US\n"),
            "line 3 says US, and line 2 said another realm of the same installation"
        );
        assert!(reported("{\"clientKey\":\"a\"}\n").starts_with("line 1 is not an object"));
        let array = "{\"clientKey\":\"a\",\"appKey\":\"b\",\"realm\":\"EU\"}\n[\"a\",\"b\",\"EU\"]\n";
        assert!(reported(array).starts_with("line 2 is not an object"));
    }
}
