//! The program: command line, configuration, telemetry, wiring, shutdown, demo.
//!
//! ```text
//!   args ─► cli (grammar) ─► config (defaults ← file ← environment ← flags) ─► command
//!                                                                               │
//!     serve, demo ── serving: DataDir · Ingest · Publisher · HTTP ──────────────┤
//!     state, log, explain … ── ask: data directory or server, same answer ──────┤
//!     import, publish, rebuild, quarantine retry ── the other crates ───────────┤
//!                                                                               ▼
//!                          data on stdout (output) · everything else on stderr · exit code (exit)
//! ```
//!
//! Begin with [`run`] and `command`. What this crate is *not*: it decides nothing about realms, stores
//! nothing and decodes nothing. The rules are in `ledger-core`, and every answer comes from `ledger-api`.
//!
//! `main` is one line, so that a test can do whatever a user can ([`Surroundings`]).

mod app_copies;
mod backend;
mod cli;
mod command;
pub mod config;
mod demo;
mod descriptors;
mod evidence;
mod exit;
mod failure;
mod output;
mod partner_list;
mod sampling;
mod secret;
mod serving;
mod surroundings;
pub mod telemetry;

use std::ffi::OsString;

use clap::Parser as _;

pub use cli::Cli;
pub use exit::Exit;
pub use failure::Failure;
pub use surroundings::Surroundings;

/// Runs the program. `args` begin with its name.
pub fn run(args: impl IntoIterator<Item = OsString>, surroundings: &mut Surroundings<'_>) -> Exit {
    // Reading a large ledger takes as many open files as serving it.
    descriptors::raise();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(said) => return usage(&said, surroundings),
    };
    match command::run(cli, surroundings) {
        Ok(exit) => exit,
        Err(failure) => {
            let colours = surroundings.colours(surroundings.messages_are_terminal);
            failure.tell(&mut surroundings.messages, colours);
            failure.code()
        }
    }
}

/// Help and version are data; everything else that the parser says is a mistake of the caller.
fn usage(said: &clap::Error, surroundings: &mut Surroundings<'_>) -> Exit {
    let mistake = said.use_stderr();
    let terminal = if mistake { surroundings.messages_are_terminal } else { surroundings.output_is_terminal };
    let colours = surroundings.colours(terminal);
    let text = said.render();
    let text = if colours { text.ansi().to_string() } else { text.to_string() };
    let stream = if mistake { &mut surroundings.messages } else { &mut surroundings.output };
    // Whoever closed the stream did not want to read it.
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.flush();
    if mistake { Exit::Usage } else { Exit::Done }
}
