//! `lineage`: which installation goes on from which. Proposals go out as CSV, and those that a person left in the file
//! are confirmed: each becomes a `continued` and a `superseded`, published by the server.

use std::collections::BTreeSet;
use std::io::Read as _;

use csv::{ReaderBuilder, Writer};
use ledger_api::action::SUBMIT;
use ledger_api::ledger::RefusedTenant;
use ledger_api::query::{LineageQuery, Page, Raw};
use ledger_record::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::query::check_left_out;
use super::{Context, InputFile};
use crate::ask_error::AskError;
use crate::backend::{Backend, FIRST_PAGE, Remote};
use crate::cli;
use crate::output::{LINEAGE, OutputError, items_at, text_at};
use crate::partner_list::delimiter;
use crate::{Exit, Failure};

/// A proposal as a line of the file. Confirming needs the keys and the first event; the rest is for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposalRow {
    app_key: String,
    from_client_key: String,
    #[serde(default)]
    from_realm: Option<String>,
    #[serde(default)]
    from_status: String,
    #[serde(default)]
    last_event: String,
    to_client_key: String,
    #[serde(default)]
    to_realm: Option<String>,
    #[serde(default)]
    to_status: String,
    first_event: String,
    #[serde(default)]
    site_host: Option<String>,
    #[serde(default)]
    entitlement_id: Option<String>,
    #[serde(default)]
    installation_id: Option<String>,
}

/// What a spreadsheet takes for the beginning of a formula; the apostrophe is what keeps it from that.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// App, the one that is left behind, and the one that goes on.
type Link = [String; 3];

/// What the ledger says of links now.
#[derive(Default)]
struct Known {
    /// Recorded at both.
    links: BTreeSet<Link>,
    proposals: BTreeSet<Link>,
}

impl Known {
    fn ask(backend: &Backend) -> Result<Self, Failure> {
        let mut known = Self::default();
        let link = |item: &Value| {
            let app = text_at(item, "/appKey");
            let app = if app.is_empty() { text_at(item, "/to/appKey") } else { app };
            [app, text_at(item, "/from/clientKey"), text_at(item, "/to/clientKey")]
        };
        let query = LineageQuery { app: None, client: None, page: FIRST_PAGE };
        for_each_page(backend, query, |links, proposals| {
            for item in links.iter().map(|item| value(item)) {
                let is_whole = items_at(&item, "/recorded").len() == 2;
                // One of the two is missing: the other one is submitted once more, and is known by its id.
                if is_whole { &mut known.links } else { &mut known.proposals }.insert(link(&item));
            }
            known.proposals.extend(proposals.iter().map(|item| link(&value(item))));
            Ok(())
        })?;
        Ok(known)
    }
}

pub(super) fn run(context: &mut Context<'_, '_>, args: cli::LineageArgs) -> Result<Exit, Failure> {
    let cli::LineageArgs { client_key: client, app, export, confirm, actor, target } = args;
    let backend = context.backend(&target)?;
    match (confirm, backend) {
        (Some(file), backend @ Backend::Remote(_)) => {
            confirm_proposals(context, &backend, &InputFile::new(file), actor.as_deref().unwrap_or_default())
        }
        (_, backend) => {
            let query = LineageQuery { app, client, page: FIRST_PAGE };
            if export { export_proposals(context, &backend, query) } else { list(context, &backend, query) }
        }
    }
}

fn list(context: &mut Context<'_, '_>, backend: &Backend, query: LineageQuery) -> Result<Exit, Failure> {
    let mut printer = context.printer(LINEAGE);
    let beside = for_each_page(backend, query, |links, proposals| {
        let links = links.iter().map(|link| named("link", link));
        for item in links.chain(proposals.iter().map(|proposal| named("proposal", proposal))) {
            printer.item(&item?)?;
        }
        Ok(())
    })?;
    let has_any = printer.finish()?;
    context.end_list(has_any, "no link is recorded, and none is proposed");
    beside.report(context)
}

/// What an answer has beside its links and proposals.
#[derive(Default)]
struct Beside {
    common: Vec<Raw>,
    left_out: Vec<RefusedTenant>,
}

impl Beside {
    fn report(self, context: &mut Context<'_, '_>) -> Result<Exit, Failure> {
        for name in self.common.iter().map(|name| value(name)) {
            let [app, by, value] = ["/appKey", "/by", "/value"].map(|at| text_at(&name, at));
            context
                .report(&format!("nothing is proposed by {by} {value}: too many tenants of {app} have it"));
        }
        check_left_out(context, self.left_out)
    }
}

/// Asks for page after page, and hands on the links and the proposals of each.
fn for_each_page(
    backend: &Backend,
    mut query: LineageQuery,
    mut take: impl FnMut(&[Raw], &[Raw]) -> Result<(), OutputError>,
) -> Result<Beside, Failure> {
    let mut beside = Beside::default();
    loop {
        let page = backend.ask(&query)?;
        take(&page.links, &page.proposals)?;
        beside.common.extend(page.common_names);
        beside.left_out.extend(page.refused);
        if page.next_cursor.is_none() {
            return Ok(beside);
        }
        query.page = Page { cursor: page.next_cursor, ..FIRST_PAGE };
    }
}

/// A link or a proposal, told apart by a name.
fn named(name: &str, item: &Raw) -> Result<Raw, OutputError> {
    let text = format!("{{\"{name}\":{}}}", item.get());
    RawValue::from_string(text).map_err(|error| OutputError(error.into()))
}

fn value(item: &RawValue) -> Value {
    // What this program or its server has written is JSON.
    serde_json::from_str(item.get()).unwrap_or_default()
}

fn export_proposals(
    context: &mut Context<'_, '_>,
    backend: &Backend,
    query: LineageQuery,
) -> Result<Exit, Failure> {
    let mut out = Writer::from_writer(&mut context.env.output);
    let beside = for_each_page(backend, query, |_, proposals| {
        let mut rows =
            proposals.iter().map(|proposal| ProposalRow::from_proposal(&value(proposal)).for_spreadsheets());
        rows.try_for_each(|row| out.serialize(row)).map_err(|error| OutputError(error.into()))
    })?;
    out.flush().map_err(OutputError)?;
    drop(out);
    beside.report(context)
}

impl ProposalRow {
    fn from_proposal(proposal: &Value) -> Self {
        let text = |at: &str| text_at(proposal, at);
        let given = |at: &str| Some(text(at)).filter(|text| !text.is_empty());
        let shared = |by: &str| {
            let name = items_at(proposal, "/shared").iter().find(|name| text_at(name, "/by") == by);
            name.map(|name| text_at(name, "/value"))
        };
        Self {
            app_key: text("/appKey"),
            from_client_key: text("/from/clientKey"),
            from_realm: given("/from/pinnedRealm"),
            from_status: text("/from/status"),
            last_event: text("/from/lastEvent"),
            to_client_key: text("/to/clientKey"),
            to_realm: given("/to/pinnedRealm"),
            to_status: text("/to/status"),
            first_event: text("/to/firstEvent"),
            site_host: shared("SITE_HOST"),
            entitlement_id: shared("ENTITLEMENT_ID"),
            installation_id: shared("INSTALLATION_ID"),
        }
    }

    /// Each text as a cell that no spreadsheet takes for a formula. Client keys and ids are what others sent.
    fn for_spreadsheets(self) -> Self {
        self.with_texts(|text| if text.starts_with(FORMULA) { format!("'{text}") } else { text })
    }

    /// The texts again.
    fn read_back(self) -> Self {
        self.with_texts(|text| match text.strip_prefix('\'') {
            Some(rest) if rest.starts_with(FORMULA) => rest.to_owned(),
            _ => text,
        })
    }

    fn with_texts(mut self, change: impl Fn(String) -> String) -> Self {
        let given = [&mut self.from_realm, &mut self.to_realm, &mut self.site_host];
        let given = given.into_iter().chain([&mut self.entitlement_id, &mut self.installation_id]);
        let texts = [&mut self.app_key, &mut self.from_client_key, &mut self.to_client_key];
        for text in texts.into_iter().chain(given.flatten()) {
            *text = change(std::mem::take(text));
        }
        self
    }

    /// The link that it proposes.
    fn link(&self) -> Link {
        [&self.app_key, &self.from_client_key, &self.to_client_key].map(Clone::clone)
    }

    /// The events of the link, for both installations. Both have the time at which the newer one appeared. Their ids
    /// follow from the line, so a file that is confirmed again changes nothing.
    fn events(&self, actor: &str) -> [Value; 2] {
        let Self { app_key, from_client_key, to_client_key, first_event, .. } = self;
        let parts = [app_key, from_client_key, to_client_key, first_event].map(String::as_bytes);
        let hash = Hash::of(&[&parts.join(&0)]).to_text();
        let names = [("site", &self.site_host), ("entitlement", &self.entitlement_id)];
        let names = names.into_iter().chain([("installation", &self.installation_id)]);
        let names = names.filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)));
        let names = names.collect::<Vec<_>>().join(", ");
        let reason = format!("a proposed link was confirmed; both have {names}");
        let event = |kind: &str, client: &str| {
            json!({
                "id": format!("lineage-{kind}-{hash}"), "type": kind, "time": first_event, "clientKey": client,
                "appKey": app_key, "evidence": "operator", "actor": actor, "reason": reason
            })
        };
        let mut continued = event("continued", to_client_key);
        continued["fromClientKey"] = from_client_key.clone().into();
        if let Some(realm) = &self.from_realm {
            continued["fromRealm"] = realm.clone().into();
        }
        let mut superseded = event("superseded", from_client_key);
        superseded["toClientKey"] = to_client_key.clone().into();
        [continued, superseded]
    }
}

fn confirm_proposals(
    context: &mut Context<'_, '_>,
    backend: &Backend,
    file: &InputFile,
    actor: &str,
) -> Result<Exit, Failure> {
    // The grammar demands a server.
    let Backend::Remote(server) = backend else {
        return Err(Failure::new("name a server").exit(Exit::Usage));
    };
    let text = context.read(file)?;
    let delimiter = delimiter(&text);
    let rows: Result<Vec<ProposalRow>, _> =
        ReaderBuilder::new().delimiter(delimiter).from_reader(&text[..]).deserialize().collect();
    let rows = rows.map_err(|error| {
        Failure::new(format!("the file of proposals: {error}"))
            .hint("confirm a file of `lineage --export`, without the lines that are not to be confirmed")
    })?;
    if rows.is_empty() {
        context.report("the file has no line to confirm");
        return Ok(Exit::Done);
    }
    let known = Known::ask(backend)?;
    let (mut confirmed, mut refused, mut pending) = (0, 0, Vec::new());
    for (number, row) in (1..).zip(rows.into_iter().map(ProposalRow::read_back)) {
        let said = format!("{} of {} goes on from {}", row.app_key, row.to_client_key, row.from_client_key);
        if known.links.contains(&row.link()) {
            context.report(&format!("known already: {said}"));
            continue;
        }
        if !known.proposals.contains(&row.link()) {
            context.report(&format!("row {number}: the ledger does not propose that {said}"));
            refused += 1;
            continue;
        }
        for event in row.events(actor) {
            pending.extend(submit(server, &event)?);
        }
        confirmed += 1;
        context.report(&format!("confirmed {confirmed}: {said}"));
    }
    if refused > 0 {
        return Err(Failure::new(format!(
            "{refused} row(s) are no proposals of this ledger, and were not submitted"
        ))
        .hint("`lineage --export` has those that there are; a link of your own is submitted with `submit`"));
    }
    if pending.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!("published, and not recorded yet: {}", pending.join(", ")))
        .hint("confirm the same file again: what is recorded is not published a second time"))
}

/// Publishes an event. Answers its id if the server has not recorded it yet.
fn submit(server: &Remote, event: &Value) -> Result<Option<String>, AskError> {
    let mut response = server.order(SUBMIT.route, event.to_string())?;
    let is_pending = response.status() == ureq::http::StatusCode::ACCEPTED;
    let mut text = String::new();
    let read = response.body_mut().as_reader().read_to_string(&mut text);
    read.map_err(|source| server.broken(source))?;
    Ok(is_pending.then(|| text_at(event, "/id")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal() -> Value {
        json!({
            "appKey": "app",
            "from": {"clientKey": "=old, inc", "status": "UNINSTALLED", "pinnedRealm": "EU",
                     "lastEvent": "2026-03-01T02:00:00.000Z"},
            "to": {"clientKey": "new", "status": "INSTALLED", "firstEvent": "2026-03-01T03:00:00.000Z"},
            "shared": [{"by": "SITE_HOST", "value": "acme.atlassian.net"}, {"by": "ENTITLEMENT_ID", "value": "e\"1"}]
        })
    }

    #[test]
    fn exported_line_reads_back_as_it_was() {
        let row = ProposalRow::from_proposal(&proposal());
        let mut out = Writer::from_writer(Vec::new());
        out.serialize(row.clone().for_spreadsheets()).unwrap();
        let text = out.into_inner().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&text),
            "appKey,fromClientKey,fromRealm,fromStatus,lastEvent,toClientKey,toRealm,toStatus,firstEvent,siteHost,\
             entitlementId,installationId\napp,\"'=old, inc\",EU,UNINSTALLED,2026-03-01T02:00:00.000Z,new,,INSTALLED,\
             2026-03-01T03:00:00.000Z,acme.atlassian.net,\"e\"\"1\",\n"
        );
        let read: Vec<ProposalRow> =
            ReaderBuilder::new().from_reader(&text[..]).deserialize().collect::<Result<_, _>>().unwrap();
        assert_eq!(read.into_iter().map(ProposalRow::read_back).collect::<Vec<_>>(), [row]);
        for text in ["'quoted", "'=both", "plain", "-1", "@x", ""] {
            let row =
                ProposalRow { from_client_key: text.to_owned(), ..ProposalRow::from_proposal(&proposal()) };
            assert_eq!(row.clone().for_spreadsheets().read_back(), row, "{text}");
        }
    }

    #[test]
    fn confirmed_line_becomes_an_event_for_each_of_the_two() {
        let row = ProposalRow::from_proposal(&proposal());
        let [continued, superseded] = row.events("ops");
        let time = "2026-03-01T03:00:00.000Z";
        let reason = "a proposed link was confirmed; both have site acme.atlassian.net, entitlement e\"1";
        let id = |event: &Value| text_at(event, "/id");
        assert_eq!(
            continued,
            json!({"id": id(&continued), "type": "continued", "time": time, "clientKey": "new", "appKey": "app",
                   "fromClientKey": "=old, inc", "fromRealm": "EU", "evidence": "operator", "actor": "ops",
                   "reason": reason})
        );
        assert_eq!(
            superseded,
            json!({"id": id(&superseded), "type": "superseded", "time": time, "clientKey": "=old, inc",
                   "appKey": "app", "toClientKey": "new", "evidence": "operator", "actor": "ops", "reason": reason})
        );
        assert_eq!(row.events("someone else").map(|event| id(&event)), [id(&continued), id(&superseded)]);
        let other = ProposalRow { first_event: "2026-03-01T04:00:00.000Z".to_owned(), ..row };
        assert_ne!(id(&other.events("ops")[0]), id(&continued));
    }
}
