//! The program: command line, configuration, telemetry, wiring, shutdown, demo.
//!
//! ```text
//!   args ─► cli (grammar) ─► config (defaults ← file ← environment ← flags) ─► command
//!                                                                               │
//!     serve, demo ── server: DataDir · Ingest · Publisher · HTTP ──────────────┤
//!     state, log, explain … ── backend: data directory or server, same answer ──┤
//!     import, publish, rebuild, backup, quarantine retry ── the other crates ───┤
//!                                                                               ▼
//!          data on stdout (output) · everything else on stderr · exit code, error and hint (failure)
//! ```
//!
//! Begin with [`run`] and `command`. What this crate is *not*: it decides nothing about realms, stores
//! nothing and decodes nothing. The rules are in `ledger-core`, and every answer comes from `ledger-api`.
//!
//! `main` is one line, so that a test can do whatever a user can ([`Env`]).

mod access_events;
mod allocator;
mod app_copies;
mod ask_error;
mod backend;
mod background;
mod backups;
mod cli;
mod command;
mod commands;
pub mod config;
mod demo;
mod descriptors;
mod env;
mod evidence;
mod failure;
mod gateway;
mod known;
mod local;
mod memory;
#[cfg(feature = "object-store")]
mod object_store;
mod output;
mod partner_list;
mod sampling;
mod secret;
mod server;
pub mod telemetry;
mod traces;

use std::ffi::OsString;

pub use allocator::give_back_free_memory;
pub use cli::Cli;
pub use env::Env;
pub use failure::{Exit, Failure};

/// Runs the program. `args` begin with its name.
pub fn run(args: impl IntoIterator<Item = OsString>, env: &mut Env<'_>) -> Exit {
    // Reading a large ledger takes as many open files as serving it.
    descriptors::raise();
    let cli = match Cli::from_args(args) {
        Ok(cli) => cli,
        Err(refusal) => return print_refusal(&refusal, env),
    };
    match command::run(cli, env) {
        Ok(exit) => exit,
        Err(failure) => {
            let colours = env.colours(env.messages_are_terminal);
            failure.report(&mut env.messages, colours);
            failure.code()
        }
    }
}

/// Help and version are data; everything else that the parser reports is a mistake of the caller.
fn print_refusal(refusal: &clap::Error, env: &mut Env<'_>) -> Exit {
    let mistake = refusal.use_stderr();
    let terminal = if mistake { env.messages_are_terminal } else { env.output_is_terminal };
    let text = refusal.render();
    let text = if env.colours(terminal) { text.ansi().to_string() } else { text.to_string() };
    let stream = if mistake { &mut env.messages } else { &mut env.output };
    // A reader that closed the stream does not want the rest.
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.flush();
    if mistake { Exit::Usage } else { Exit::Done }
}
