//! `token create`: a token for someone who asks a server.

use ledger_api::access::{Grants, TokenOptions, new_token, token_hash};
use ledger_core::ids::AppKey;

use super::Context;
use crate::cli::{TokenCommand, TokenCreate};
use crate::config::token_lines;
use crate::{Exit, Failure};

pub(super) fn run(context: &mut Context<'_, '_>, command: TokenCommand) -> Result<Exit, Failure> {
    let TokenCommand::Create(TokenCreate { name, scope, app, all_apps, expires }) = command;
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::caused("the system gives no random bytes", error))?;
    let token = new_token(random);
    let keys: Vec<&str> = if all_apps { vec!["*"] } else { app.iter().map(AppKey::as_str).collect() };
    let entry = TokenOptions {
        name,
        sha256: token_hash(&token),
        scopes: scope.into_iter().map(Into::into).collect(),
        apps: Grants::parse(&keys).map_err(|key| Failure::new(format!("{key} is no app key")))?,
        expires,
    };
    let lines = token_lines(&entry);
    context.print_text(format!("{token}\n\n{lines}").as_bytes())?;
    context.report(
        "the first line is the token: it is shown once, keep it where secrets are kept (a file for --token-file); the \
         others go into the configuration of the server, which knows only its hash",
    );
    Ok(Exit::Done)
}
