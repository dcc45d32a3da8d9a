//! `search` and `lineage`: which tenant is meant, and which goes on from which.

use ledger_api::query::{LineageQuery, Page, Raw, SearchQuery, Searched};
use serde_json::value::RawValue;

use super::Context;
use super::query::check_left_out;
use crate::backend::FIRST_PAGE;
use crate::cli;
use crate::output::{FOUND, LINEAGE, OutputError};
use crate::{Exit, Failure};

pub(super) fn search(context: &mut Context<'_, '_>, args: cli::SearchArgs) -> Result<Exit, Failure> {
    let cli::SearchArgs { text: q, target } = args;
    let backend = context.backend(&target)?;
    let mut query = SearchQuery { q, page: FIRST_PAGE };
    let (mut left_out, mut has_any) = (Vec::new(), false);
    let searched = loop {
        let page = backend.ask(&query)?;
        let mut printer = context.printer(FOUND);
        page.tenants.iter().try_for_each(|tenant| printer.item(tenant))?;
        has_any |= printer.finish()?;
        left_out.extend(page.refused);
        if page.next_cursor.is_none() {
            break page.searched;
        }
        query.page = Page { cursor: page.next_cursor, ..FIRST_PAGE };
    };
    if !has_any && left_out.is_empty() {
        context.report(&nothing_found(&searched));
    }
    check_left_out(context, left_out)
}

fn nothing_found(searched: &Searched) -> String {
    let Searched { client_key_prefix, site_host, entitlement_id, .. } = searched;
    let host = site_host.as_ref().map(|host| format!(", no site has the host {host}")).unwrap_or_default();
    format!(
        "no client key begins with {client_key_prefix}{host}, and none has the entitlement or installation id \
         {entitlement_id} now"
    )
}

/// A link or a proposal, told apart by a name.
fn named(name: &str, item: &Raw) -> Result<Raw, OutputError> {
    let text = format!("{{\"{name}\":{}}}", item.get());
    RawValue::from_string(text).map_err(|error| OutputError(error.into()))
}

pub(super) fn lineage(context: &mut Context<'_, '_>, args: cli::LineageArgs) -> Result<Exit, Failure> {
    let cli::LineageArgs { client_key: client, app, target } = args;
    let backend = context.backend(&target)?;
    let mut query = LineageQuery { app, client, page: FIRST_PAGE };
    let mut printer = context.printer(LINEAGE);
    loop {
        let page = backend.ask(&query)?;
        let links = page.links.iter().map(|link| named("link", link));
        for item in links.chain(page.proposals.iter().map(|proposal| named("proposal", proposal))) {
            printer.item(&item?)?;
        }
        if page.next_cursor.is_none() {
            break;
        }
        query.page = Page { cursor: page.next_cursor, ..FIRST_PAGE };
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no link is recorded, and none is proposed");
    Ok(Exit::Done)
}
