//! `completions`: what a shell needs to complete this command line.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::Context;
use crate::cli::{Cli, Completions};
use crate::output::OutputError;
use crate::{Exit, Failure};

pub(super) fn run(context: &mut Context<'_, '_>, args: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "realm-ledger", &mut script);
    let out = &mut context.env.output;
    out.write_all(&script).and_then(|()| out.flush()).map_err(OutputError)?;
    Ok(Exit::Done)
}
