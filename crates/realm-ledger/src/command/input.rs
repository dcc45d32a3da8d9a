//! Files that commands read: opened, unpacked, checked for NDJSON.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use ledger_ingest::text::{Lines, Text};

use super::Context;
use crate::Failure;

/// A file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputFile {
    Standard,
    File(PathBuf),
}

impl InputFile {
    pub(crate) fn new(argument: PathBuf) -> Self {
        if argument.as_os_str() == "-" { Self::Standard } else { Self::File(argument) }
    }

    pub(crate) fn name(&self) -> &Path {
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

    pub(crate) fn unreadable(&self, error: io::Error) -> Failure {
        Failure::unreadable(self.name(), error)
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
    /// All bytes of a file.
    pub(crate) fn read(&mut self, input: &InputFile) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = match input {
            InputFile::Standard => self.env.input.read_to_end(&mut bytes),
            InputFile::File(path) => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
        };
        read.map(|_| bytes).map_err(|error| input.unreadable(error))
    }

    /// The text of a file, unpacked. The bar follows the bytes that are read of it.
    pub(crate) fn open_text(&mut self, input: &InputFile, bar: &ProgressBar) -> Result<Text<'b>, Failure> {
        match input {
            InputFile::Standard => {
                let standard = std::mem::replace(&mut self.env.input, Box::new(io::empty()));
                Text::open(bar.wrap_read(standard))
            }
            InputFile::File(path) => {
                let open = File::open(path).and_then(|file| {
                    bar.set_length(file.metadata()?.len());
                    Ok(file)
                });
                open.and_then(|file| Text::open(BufReader::new(bar.wrap_read(file))))
            }
        }
        .map_err(|error| input.unreadable(error))
    }

    /// The lines of NDJSON; anything else is refused before a line of it is taken. A compressed file is read to its
    /// end first: only there is its checksum.
    pub(crate) fn open_lines(
        &mut self,
        input: &InputFile,
        bar: &ProgressBar,
    ) -> Result<Lines<Text<'b>>, Failure> {
        let mut text = self.open_text(input, bar)?;
        if text.is_packed() && input.is_regular() {
            io::copy(&mut text, &mut io::sink()).map_err(|error| input.unreadable(error))?;
            bar.reset();
            text = self.open_text(input, bar)?;
        }
        text.lines().map_err(|error| {
            let remedy = error.remedy(&input.in_command());
            Failure::caused(format!("nothing was taken from {}", input.name().display()), error).hint(remedy)
        })
    }

    /// A bar for a person who waits for a file, as long as it is known to be.
    pub(crate) fn reading_progress(&self, input: &InputFile) -> ProgressBar {
        match input {
            InputFile::File(_) => {
                self.bar(ProgressBar::new(0), "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
            }
            InputFile::Standard => self.bar(ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
        }
    }
}
