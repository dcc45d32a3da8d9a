//! `search`: which tenant is meant.

use ledger_api::query::{Page, SearchQuery, Searched};

use super::Context;
use super::query::check_left_out;
use crate::backend::FIRST_PAGE;
use crate::cli;
use crate::output::FOUND;
use crate::{Exit, Failure};

pub(super) fn run(context: &mut Context<'_, '_>, args: cli::SearchArgs) -> Result<Exit, Failure> {
    let cli::SearchArgs { text: q, target } = args;
    let backend = context.backend(&target)?;
    let mut query = SearchQuery { q, page: FIRST_PAGE };
    let mut left_out = Vec::new();
    let mut printer = context.printer(FOUND);
    let searched = loop {
        let page = backend.ask(&query)?;
        page.tenants.iter().try_for_each(|tenant| printer.item(tenant))?;
        left_out.extend(page.refused);
        if page.next_cursor.is_none() {
            break page.searched;
        }
        query.page = Page { cursor: page.next_cursor, ..FIRST_PAGE };
    };
    let has_any = printer.finish()?;
    context.end_list(has_any || !left_out.is_empty(), &nothing_found(&searched));
    check_left_out(context, left_out)
}

fn nothing_found(searched: &Searched) -> String {
    let Searched { client_key_prefix, site_host, entitlement_id, .. } = searched;
    let host = site_host.as_ref().map(|host| format!(", no site has the host {host}")).unwrap_or_default();
    format!(
        "no client key begins with {client_key_prefix}{host}, and no installation has the entitlement id or installation \
         id {entitlement_id} now"
    )
}
