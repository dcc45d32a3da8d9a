//! A partner's own list of where its installations are, in whatever form it has one.
//!
//! | form | how it is told | what it says |
//! | --- | --- | --- |
//! | NDJSON | its first line is an object | `clientKey`, `appKey`, `realm` on each line |
//! | CSV | a header with these names | the same, in any order, among other columns |
//! | audit log of Forge's developer console, CSV | a header with `Site ID`, `App ID`, `Event`, `Location` | events; the last of each site and app tells |
//!
//! Names in a header count without regard to case, blanks and underscores; columns may be parted by commas, semicolons
//! or tabs. Keys are taken byte for byte, as everywhere: one with a blank around it is another key. How an audit log is read, and which
//! of its rows count, is in [`audit_log`].

mod audit_log;

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use csv::{ReaderBuilder, StringRecord, Trim};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_ingest::text::{LineError, Lines, Looks, NotNdjson, Text};
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

/// A list, and what became of it on the way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartnerList {
    pub(crate) list: BTreeMap<Key, Listed>,
    /// The app id of an audit log, and the app key that it was taken for without having been told.
    pub(crate) taken_for: Option<(String, AppKey)>,
    pub(crate) left_out: LeftOut,
}

/// Rows that do not count, and are told so that a list that says nothing is not taken for one that agrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) environment: u64,
    pub(crate) no_place: u64,
    pub(crate) other_app: u64,
}

/// Whose rows are wanted, under which names.
#[derive(Debug, Default)]
pub(crate) struct AppNames {
    /// App keys of app ids: an audit log of Forge knows nothing of the key of a Connect app.
    pub(crate) ids: BTreeMap<String, AppKey>,
    /// The only app that counts.
    pub(crate) only: Option<AppKey>,
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// A line of NDJSON cannot be read.
    #[error("the list cannot be read")]
    Unreadable(#[from] LineError),
    /// It is something else.
    #[error("the list is neither CSV nor NDJSON")]
    NoList(#[from] NotNdjson),
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
    /// Two events of one day, and nothing tells which came last.
    #[error(
        "lines {before} and {line} are of one day and leave the app in different places; neither a time of day \
         nor the order of the file tells which came last: keep the one that did"
    )]
    SameDay {
        /// The later line.
        line: u64,
        /// The earlier line.
        before: u64,
    },
}

impl ListError {
    /// What makes a list of the file of this path.
    pub(crate) fn remedy(&self, file: &str) -> Option<String> {
        match self {
            Self::NoList(other) => Some(other.remedy(file)),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    client_key: String,
    app_key: String,
    realm: String,
}

/// Reads a list.
pub(crate) fn read(text: Text<'_>, names: &AppNames) -> Result<PartnerList, ListError> {
    match text.looks() {
        Looks::Ndjson => return Ok(only(read_json(text)?, names)),
        Looks::Csv(_) => {}
        Looks::Other(other) => return Err(other.clone().into()),
    }
    let mut text = text;
    let delimiter = delimiter(text.fill_buf().map_err(csv::Error::from)?);
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).trim(Trim::Headers).flexible(true).from_reader(text);
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|title| plain(title) == name);
    if let (Some(client), Some(app), Some(realm)) = (column("clientkey"), column("appkey"), column("realm")) {
        return Ok(only(read_rows(&mut reader, [client, app, realm])?, names));
    }
    let columns = audit_log::Columns::of(column).ok_or(ListError::NoColumns)?;
    audit_log::read(&mut reader, &columns, names)
}

/// What parts the columns: of the signs that programs use, the one that the header has most of.
fn delimiter(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |sign: &u8| header.split(|byte| byte == sign).count();
    b"\t;,".iter().copied().max_by_key(count).unwrap_or(b',')
}

/// The list without other apps.
fn only(mut list: BTreeMap<Key, Listed>, names: &AppNames) -> PartnerList {
    let before = list.len();
    list.retain(|(_, app), _| names.only.as_ref().is_none_or(|only| only == app));
    let other_app = before.saturating_sub(list.len()) as u64;
    PartnerList { list, taken_for: None, left_out: LeftOut { other_app, ..LeftOut::default() } }
}

fn plain(title: &str) -> String {
    title.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn read_json(text: Text<'_>) -> Result<BTreeMap<Key, Listed>, ListError> {
    let mut list = BTreeMap::new();
    for line in Lines::new(text) {
        let line = line?;
        if line.is_blank() {
            continue;
        }
        let number = line.number;
        // Read as an object first: a derived reader takes the items of an array for members.
        let read = serde_json::from_slice::<serde_json::Map<_, _>>(&line.text)
            .and_then(|members| Row::deserialize(serde_json::Value::Object(members)))
            .map_err(|source| ListError::NoJson { line: number, source })?;
        put(&mut list, number, [&read.client_key, &read.app_key, &read.realm])?;
    }
    if list.is_empty() { Err(ListError::NoColumns) } else { Ok(list) }
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
    Realm::parse(text.trim()).map_err(|_| ListError::Invalid {
        line,
        value: text.to_owned(),
        expected: "realm",
    })
}

fn line_of(row: &StringRecord) -> u64 {
    row.position().map_or(0, csv::Position::line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<(String, String, String, u64)> {
        let list = read(Text::open(text.as_bytes()).unwrap(), &AppNames::default()).unwrap().list;
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
    fn other_apps_are_left_out_and_counted() {
        let csv = "clientKey,appKey,realm\nacme,app,EU\nacme,other,US\n";
        let names = AppNames { only: AppKey::new("app").ok(), ..AppNames::default() };
        let read = read(Text::open(csv.as_bytes()).unwrap(), &names).unwrap();
        assert_eq!((read.list.len(), read.left_out.other_app), (1, 1));
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_line() {
        let told = |text: &str| {
            let text = Text::open(text.as_bytes()).unwrap();
            read(text, &AppNames::default()).unwrap_err().to_string()
        };
        assert!(told("").contains("no clientKey"));
        assert!(told("[{\"clientKey\":\"a\"}]").contains("neither CSV nor NDJSON"));
        assert!(told("client,realm\na,EU\n").contains("no clientKey"));
        assert_eq!(told("clientKey,appKey,realm\na,b,EU\na,c,Europe!\n"), "line 3: \"Europe!\" is no realm");
        assert_eq!(
            told("clientKey,appKey,realm\na,b,EU\na,b,US\n"),
            "line 3 says US, and line 2 said another realm of the same installation"
        );
        assert!(told("{\"clientKey\":\"a\"}\n").starts_with("line 1 is not an object"));
        let array = "{\"clientKey\":\"a\",\"appKey\":\"b\",\"realm\":\"EU\"}\n[\"a\",\"b\",\"EU\"]\n";
        assert!(told(array).starts_with("line 2 is not an object"));
    }
}
