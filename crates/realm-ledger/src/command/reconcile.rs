//! `reconcile`: a partner's own list beside the ledger, with the evidence for whatever differs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use ledger_api::query::{AsOf, Filter};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_record::json::Place;
use serde::{Deserialize, Serialize};

use super::list::incomplete;
use super::tenant::payload;
use super::{Context, Input, Unreadable};
use crate::ask::{Door, PAGE, Question};
use crate::cli::Reconcile;
use crate::output::{Column, raw};
use crate::partner_list::{self, Key, ListError, Listed};
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::of("verdict", "/verdict"),
    Column::of("client key", "/clientKey"),
    Column::of("app key", "/appKey"),
    Column::of("listed", "/listedRealm"),
    Column::of("line", "/line"),
    Column::of("pinned", "/pinnedRealm"),
    Column::of("since", "/pinnedSince"),
    Column::of("by", "/pinnedBy"),
    Column::of("seqs", "/seqs"),
    Column::of("data in", "/dataRealm"),
    Column::of("status", "/status"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Verdict {
    Agrees,
    Differs,
    /// Nothing is recorded of it, or not where it is.
    UnknownToLedger,
    /// It is installed, and the list does not have it.
    UnknownToList,
}

/// A line of the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    verdict: Verdict,
    client_key: &'a str,
    app_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    listed_realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(flatten)]
    held: Option<&'a Held>,
    /// The records that the pin rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seqs: Vec<u64>,
}

/// As much of a state as is compared, and told as evidence.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    #[serde(skip_serializing)]
    client_key: String,
    #[serde(skip_serializing)]
    app_key: String,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_realm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_realm: Option<String>,
}

/// As much of an explanation as says what a pin rests on.
#[derive(Deserialize)]
struct Explanation {
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    seqs: Vec<u64>,
    fact: Fact,
}

#[derive(Deserialize)]
struct Fact {
    kind: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Reconcile) -> Result<Exit, Failure> {
    let Reconcile { file, app, all, as_of, place } = args;
    let mut list = match Input::of(file) {
        Input::Standard => partner_list::read(&mut context.surroundings.input)?,
        Input::File(path) => match File::open(&path) {
            Ok(file) => partner_list::read(BufReader::new(file))?,
            Err(source) => return Err(Failure::new(Unreadable { path, source })),
        },
    };
    list.retain(|(_, of), _| app.as_ref().is_none_or(|only| only == of));
    let door = context.door(&place)?;
    let filter = Filter { app, ..Filter::default() };
    let as_of = as_of.asked();
    let mut counts: BTreeMap<Verdict, u64> = BTreeMap::new();
    let (mut cursor, mut refused) = (None, Vec::new());
    let mut printer = context.printer(COLUMNS);
    loop {
        let question = Question::Installations { filter: filter.clone(), as_of, cursor, limit: PAGE };
        let answer = door.ask(&question)?;
        for state in &answer.installations {
            let held: Held = serde_json::from_str(state.get()).map_err(Failure::new)?;
            let Some(item) = judge(&door, as_of, &held, &mut list)? else { continue };
            *counts.entry(item.verdict).or_default() += 1;
            if all || item.verdict != Verdict::Agrees {
                printer.item(&raw(&item)?)?;
            }
        }
        refused.extend(answer.refused);
        cursor = answer.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    for ((client, app), listed) in &list {
        let item = unknown(client, app, listed);
        *counts.entry(item.verdict).or_default() += 1;
        printer.item(&raw(&item)?)?;
    }
    printer.finish()?;
    let count = |verdict| counts.get(&verdict).copied().unwrap_or_default();
    let differing = count(Verdict::Differs);
    context.say(&format!(
        "{} agree, {differing} differ, {} of the list unknown to the ledger, {} of the ledger not in the list",
        count(Verdict::Agrees),
        count(Verdict::UnknownToLedger),
        count(Verdict::UnknownToList)
    ));
    let exit = incomplete(context, refused)?;
    Ok(if differing == 0 { exit } else { Exit::Difference })
}

/// What an installation is beside the list, and takes it off there; none where neither side has anything to
/// say of where it is.
fn judge<'a>(
    door: &Door,
    as_of: AsOf,
    held: &'a Held,
    list: &mut BTreeMap<Key, Listed>,
) -> Result<Option<Item<'a>>, Failure> {
    let client = ClientKey::new(held.client_key.as_str()).map_err(Failure::new)?;
    let app = AppKey::new(held.app_key.as_str()).map_err(Failure::new)?;
    let pinned = held.pinned_realm.as_deref().and_then(|realm| Realm::parse(realm).ok());
    let key = (client, app);
    let listed = list.get(&key).copied();
    let verdict = match (listed, pinned) {
        (Some(listed), Some(pinned)) if listed.realm == pinned => Verdict::Agrees,
        (Some(_), Some(_)) => Verdict::Differs,
        (None, Some(_)) if held.status == "INSTALLED" => Verdict::UnknownToList,
        // What is listed is told with the rest of the list.
        (_, None) | (None, Some(_)) => return Ok(None),
    };
    list.remove(&key);
    let seqs = if verdict == Verdict::Differs { evidence(door, as_of, key)? } else { Vec::new() };
    Ok(Some(Item {
        verdict,
        client_key: &held.client_key,
        app_key: &held.app_key,
        listed_realm: listed.map(|listed| Place(listed.realm)),
        line: listed.map(|listed| listed.line),
        held: Some(held),
        seqs,
    }))
}

fn unknown<'a>(client: &'a ClientKey, app: &'a AppKey, listed: &'a Listed) -> Item<'a> {
    Item {
        verdict: Verdict::UnknownToLedger,
        client_key: client.as_str(),
        app_key: app.as_str(),
        listed_realm: Some(Place(listed.realm)),
        line: Some(listed.line),
        held: None,
        seqs: Vec::new(),
    }
}

/// The records that a pin rests on.
fn evidence(door: &Door, as_of: AsOf, (client, app): Key) -> Result<Vec<u64>, Failure> {
    let answer = door.ask(&Question::Explain { client, app, as_of })?;
    let explanation = payload(answer.explanation)?;
    let Explanation { sentences } = serde_json::from_str(explanation.get()).map_err(Failure::new)?;
    let pinned = sentences.into_iter().find(|sentence| sentence.fact.kind == "pinned");
    Ok(pinned.map(|sentence| sentence.seqs).unwrap_or_default())
}

impl From<ListError> for Failure {
    fn from(error: ListError) -> Self {
        Self::new(error)
    }
}
