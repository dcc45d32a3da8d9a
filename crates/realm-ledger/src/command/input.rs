//! Files that commands read: opened, unpacked, looked at.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use ledger_ingest::text::{Lines, NotNdjson, Text};

use super::Context;
use crate::Failure;

/// A file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Standard,
    File(PathBuf),
}

/// A file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read", path = path.display())]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

/// Nothing was read but the beginning.
#[derive(Debug, thiserror::Error)]
#[error("nothing was taken from {path}", path = path.display())]
struct NotTaken {
    path: PathBuf,
    #[source]
    source: NotNdjson,
}

impl Input {
    pub(crate) fn of(argument: PathBuf) -> Self {
        if argument.as_os_str() == "-" { Self::Standard } else { Self::File(argument) }
    }

    fn name(&self) -> &Path {
        match self {
            Self::Standard => Path::new("standard input"),
            Self::File(path) => path,
        }
    }

    /// Its path in a command that a message proposes.
    pub(crate) fn in_command(&self) -> Cow<'_, str> {
        match self {
            Self::Standard => "FILE".into(),
            Self::File(path) => path.to_string_lossy(),
        }
    }

    pub(crate) fn unreadable(&self, source: io::Error) -> Failure {
        Failure::new(Unreadable { path: self.name().to_owned(), source })
    }

    /// It can be read twice.
    fn is_regular(&self) -> bool {
        match self {
            Self::Standard => false,
            Self::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        }
    }
}

impl<'b> Context<'_, 'b> {
    /// The text of a file, unpacked. The bar follows the bytes that are read of it.
    pub(crate) fn open_text(&mut self, input: &Input, bar: &ProgressBar) -> Result<Text<'b>, Failure> {
        match input {
            Input::Standard => {
                let standard = std::mem::replace(&mut self.env.input, Box::new(io::empty()));
                Text::open(bar.wrap_read(standard))
            }
            Input::File(path) => {
                let open = File::open(path).and_then(|file| {
                    bar.set_length(file.metadata()?.len());
                    Ok(file)
                });
                open.and_then(|file| Text::open(BufReader::new(bar.wrap_read(file))))
            }
        }
        .map_err(|source| input.unreadable(source))
    }

    /// The lines of NDJSON; anything else is refused before a line of it is taken. A compressed file is read to its
    /// end first: only there is its checksum.
    pub(crate) fn open_lines(
        &mut self,
        input: &Input,
        bar: &ProgressBar,
    ) -> Result<Lines<Text<'b>>, Failure> {
        let mut text = self.open_text(input, bar)?;
        if text.is_packed() && input.is_regular() {
            io::copy(&mut text, &mut io::sink()).map_err(|source| input.unreadable(source))?;
            bar.reset();
            text = self.open_text(input, bar)?;
        }
        text.lines().map_err(|source| {
            let remedy = source.remedy(&input.in_command());
            Failure::new(NotTaken { path: input.name().to_owned(), source }).hint(remedy)
        })
    }

    /// A bar for people who wait for a file, as long as it is known to be.
    pub(crate) fn reading_progress(&self, input: &Input) -> ProgressBar {
        if !self.env.messages_are_terminal {
            return ProgressBar::hidden();
        }
        let (bar, template) = match input {
            Input::File(_) => {
                (ProgressBar::new(0), "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
            }
            Input::Standard => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(template);
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}
