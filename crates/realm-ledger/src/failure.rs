//! How a command fails: an exit code, the error with its causes, and a hint what to do.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ledger_store::{OpenError, with_causes};

use crate::exit::Exit;
use crate::output::{OutputError, escape_control_lines};

#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written", path = path.display())]
struct Unwritable {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Failed, error: error.into(), hint: None }
    }

    /// A file cannot be written.
    pub fn unwritable(path: &Path, source: std::io::Error) -> Self {
        Self::new(Unwritable { path: path.to_owned(), source })
    }

    /// The same with another exit code.
    #[must_use]
    pub fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The exit code.
    pub fn code(&self) -> Exit {
        if self.is_closed_output() { Exit::Done } else { self.exit }
    }

    /// The error with its causes, in one line.
    pub fn reason(&self) -> String {
        with_causes(&*self.error)
    }

    /// Whoever read the output has seen enough (`| head`): nothing to complain about.
    fn is_closed_output(&self) -> bool {
        self.error.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed)
    }

    /// Tells it: the error, its causes, the hint.
    pub fn tell(&self, messages: &mut dyn Write, colours: bool) {
        if self.is_closed_output() {
            return;
        }
        let (red, bold, plain) = if colours { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        // What a server or a file says may stand in an error.
        let mut lines =
            vec![format!("{red}error:{plain} {}\n", escape_control_lines(&self.error.to_string()))];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            lines.push(format!("{bold}caused by:{plain} {}\n", escape_control_lines(&error.to_string())));
            cause = error.source();
        }
        lines.extend(self.hint.iter().map(|hint| format!("{bold}hint:{plain} {hint}\n")));
        // There is nobody left to tell when this fails.
        let _ = messages.write_all(lines.concat().as_bytes());
        let _ = messages.flush();
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::new(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match error {
            OpenError::NewerFormat { .. } | OpenError::WrongShard { .. } => Exit::OtherLedger,
            _ => Exit::Failed,
        };
        let remedy = match &error {
            OpenError::Io { source, .. } if source.kind() == ErrorKind::NotADirectory => {
                Some("a data directory is a directory, which `import` and `serve` make".to_owned())
            }
            error => error.is_damage().then(|| error.remedy()),
        };
        Self { hint: remedy, ..Self::new(error).exit(exit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the shard is gone")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_error_its_causes_and_the_hint_are_told_in_this_order() {
        let mut told = Vec::new();
        let cause = std::io::Error::other("no such disk");
        Failure::new(Outer(cause)).hint("plug it in").tell(&mut told, false);
        assert_eq!(
            String::from_utf8(told).unwrap(),
            "error: the shard is gone\ncaused by: no such disk\nhint: plug it in\n"
        );
        let mut told = Vec::new();
        Failure::new(Outer(std::io::Error::other("\x1b[2J"))).tell(&mut told, false);
        assert!(String::from_utf8(told).unwrap().contains("caused by: \\u{1b}[2J\n"));
    }

    #[test]
    fn a_newer_format_has_an_exit_code_of_its_own() {
        let newer = OpenError::NewerFormat { path: "ledger".into(), found: 9, supported: 1 };
        assert_eq!(Failure::from(newer).code(), Exit::OtherLedger);
        assert_eq!(Failure::from(OpenError::NotALedger { path: "ledger".into() }).code(), Exit::Failed);
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let closed = OutputError(std::io::ErrorKind::BrokenPipe.into());
        let failure = Failure::from(closed);
        let mut told = Vec::new();
        failure.tell(&mut told, false);
        assert!(told.is_empty());
        assert_eq!(failure.code(), Exit::Done);
        let full = Failure::from(OutputError(std::io::ErrorKind::StorageFull.into()));
        assert_eq!(full.code(), Exit::Failed);
    }
}
