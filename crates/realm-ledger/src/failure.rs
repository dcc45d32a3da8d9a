//! How a command ends: the exit code, and for a failure the error with its causes and a hint what to do.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use ledger_api::problem::ProblemKind;
use ledger_ingest::consume::IngestError;
use ledger_ingest::import::ImportError;
use ledger_ingest::retry::RetryError;
use ledger_store::{
    BackupError, BindError, OpenError, ProveError, ReadError, RebuildError, RefillError, StopCode,
    VerifyError, with_causes,
};

use crate::ask_error::{AskError, SIGNED_BY_SERVE};
use crate::output::{OutputError, escape_control_lines};

/// How the program ended: part of the interface, never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed; the message says what to do.
    Failed = 1,
    /// Wrong usage of the command line.
    Usage = 2,
    /// A verification found a difference.
    Difference = 3,
    /// The data directory has a newer format, or belongs to another cluster or topic.
    OtherLedger = 4,
}

impl Exit {
    /// The number that the caller of the program sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What a command could not do, and the error that stopped it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Caused {
    message: String,
    #[source]
    cause: Box<dyn Error + Send + Sync>,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

/// A library's error as it is, with the exit code and the hint that [`advice`] has for it.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let (exit, hint) = advice(&error);
        Self { exit, error: Box::new(error), hint }
    }
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, error: message.into().into(), hint: None }
    }

    /// The same, with the error that caused it.
    pub fn caused(message: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = Caused { message: message.into(), cause: cause.into() };
        Self { exit: Exit::Failed, error: error.into(), hint: None }
    }

    /// A file cannot be read.
    pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Self {
        Self::caused(format!("{} cannot be read", path.display()), error)
    }

    /// A file cannot be written.
    pub(crate) fn unwritable(path: &Path, error: std::io::Error) -> Self {
        Self::caused(format!("{} cannot be written", path.display()), error)
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

    /// Whether it is an error of a library that is so.
    pub(crate) fn is<E: Error + 'static>(&self, so: impl Fn(&E) -> bool) -> bool {
        self.error.downcast_ref::<E>().is_some_and(so)
    }

    /// The exit code.
    pub fn code(&self) -> Exit {
        if self.is_closed_output() { Exit::Done } else { self.exit }
    }

    /// The error with its causes, in one line.
    pub fn reason(&self) -> String {
        with_causes(&*self.error)
    }

    /// The reader of the output has seen enough (`| head`), which is no fault.
    fn is_closed_output(&self) -> bool {
        self.error.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed)
    }

    /// Reports it: the error, its causes, the hint.
    pub fn report(&self, messages: &mut dyn Write, colours: bool) {
        if self.is_closed_output() {
            return;
        }
        let (red, bold, plain) = if colours { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        // An error can quote a server or a file.
        let mut lines =
            vec![format!("{red}error:{plain} {}\n", escape_control_lines(&self.error.to_string()))];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            lines.push(format!("{bold}caused by:{plain} {}\n", escape_control_lines(&error.to_string())));
            cause = error.source();
        }
        lines.extend(self.hint.iter().map(|hint| format!("{bold}hint:{plain} {hint}\n")));
        // A failure here has no stream left to go to.
        let _ = messages.write_all(lines.concat().as_bytes());
        let _ = messages.flush();
    }
}

/// The exit code and the hint of each error that has one of its own. An error that passes another one on as it is has
/// those of that one.
fn advice(error: &(dyn Error + 'static)) -> (Exit, Option<String>) {
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return of_opening(error);
    }
    if let Some(error) = error.downcast_ref::<AskError>() {
        return match error {
            AskError::Open(error) => of_opening(error),
            error if error.code() == Some(ProblemKind::BackupDiffers.code()) => (Exit::Difference, None),
            error => (Exit::Failed, error.hint().map(str::to_owned)),
        };
    }
    if let Some(error) = error.downcast_ref::<BindError>() {
        return match error {
            BindError::Open(error) => of_opening(error),
            BindError::Differs { .. } => (Exit::OtherLedger, None),
        };
    }
    if let Some(RebuildError::Open(error)) = error.downcast_ref() {
        return of_opening(error);
    }
    match error.downcast_ref() {
        Some(ImportError::Open(error)) => return of_opening(error),
        Some(ImportError::Bind(error)) => return advice(error),
        _ => {}
    }
    if let Some(RetryError::Open(error)) = error.downcast_ref() {
        return advice(error);
    }
    match error.downcast_ref() {
        Some(IngestError::Open(error)) => return of_opening(error),
        Some(IngestError::OtherCluster(_)) => {
            return (Exit::OtherLedger, Some(StopCode::OtherCluster.remedy().to_owned()));
        }
        _ => {}
    }
    if let Some(error) = error.downcast_ref::<RefillError>() {
        return of_refill(error);
    }
    if let Some(error) = error.downcast_ref::<BackupError>() {
        return of_backup(error);
    }
    error.downcast_ref().map_or((Exit::Failed, None), of_proof)
}

fn of_opening(error: &OpenError) -> (Exit, Option<String>) {
    let exit = match error {
        OpenError::NewerFormat { .. } | OpenError::WrongShard { .. } => Exit::OtherLedger,
        _ => Exit::Failed,
    };
    let hint = match error {
        OpenError::Io { source, .. } if source.kind() == ErrorKind::NotADirectory => {
            Some("a data directory is a directory, which `import` and `serve` make".to_owned())
        }
        error => error.is_damage().then(|| error.remedy()),
    };
    (exit, hint)
}

fn of_backup(error: &BackupError) -> (Exit, Option<String>) {
    match error {
        BackupError::Open(error) => of_opening(error),
        BackupError::NewerFormat { .. } => (Exit::OtherLedger, None),
        BackupError::Damaged(_) | BackupError::Differs { .. } => {
            let hint = "`backup DIR --verify` names everything that is damaged; an earlier generation may be whole \
                        (`restore --generation N`)";
            (Exit::Difference, Some(hint.to_owned()))
        }
        BackupError::LostLines { .. } => (Exit::Difference, None),
        _ => (Exit::Failed, None),
    }
}

fn of_refill(error: &RefillError) -> (Exit, Option<String>) {
    match error {
        RefillError::Open(error) => of_opening(error),
        RefillError::Bind(error) => advice(error),
        RefillError::Spread(_)
        | RefillError::Verify {
            source: VerifyError::Differs(_) | VerifyError::Read(ReadError::Damaged(_)),
            ..
        } => (Exit::Difference, Some("`verify` says more; restore a backup".to_owned())),
        RefillError::Made { .. } | RefillError::MadeSpread(_) => {
            let hint = "it is a fault of this program: keep both directories, and report it";
            (Exit::Failed, Some(hint.to_owned()))
        }
        _ => (Exit::Failed, None),
    }
}

fn of_proof(error: &ProveError) -> (Exit, Option<String>) {
    let hint = match error {
        ProveError::NotSigned { .. } => SIGNED_BY_SERVE,
        ProveError::Behind { .. } => "let `serve` fill it up from Kafka, then it signs again",
        ProveError::PinnedNewer { .. } => {
            "is it a checkpoint of this log? `realm-ledger checkpoint` lists the last ones"
        }
        ProveError::Differs { .. } => return (Exit::Difference, None),
        ProveError::Unsealed | ProveError::Read(_) => return (Exit::Failed, None),
    };
    (Exit::Failed, Some(hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_its_causes_and_the_hint_are_reported_in_this_order() {
        let mut reported = Vec::new();
        let cause = std::io::Error::other("no such disk");
        Failure::caused("the shard is gone", cause).hint("plug it in").report(&mut reported, false);
        assert_eq!(
            String::from_utf8(reported).unwrap(),
            "error: the shard is gone\ncaused by: no such disk\nhint: plug it in\n"
        );
        let mut reported = Vec::new();
        Failure::caused("the shard is gone", std::io::Error::other("\x1b[2J")).report(&mut reported, false);
        assert!(String::from_utf8(reported).unwrap().contains("caused by: \\u{1b}[2J\n"));
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
        let mut reported = Vec::new();
        failure.report(&mut reported, false);
        assert!(reported.is_empty());
        assert_eq!(failure.code(), Exit::Done);
        let full = Failure::from(OutputError(std::io::ErrorKind::StorageFull.into()));
        assert_eq!(full.code(), Exit::Failed);
    }
}
