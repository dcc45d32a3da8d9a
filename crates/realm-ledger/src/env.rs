//! The streams, terminals and environment of a run.
//!
//! They are a parameter, so that a test sees exactly what a user would see.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};

/// Streams and environment of one run.
pub struct Env<'a> {
    /// Environment variables, without those that are not Unicode.
    pub environment: BTreeMap<String, String>,
    /// Names of variables of ours that are not Unicode: settings that cannot be read.
    pub not_unicode: Vec<String>,
    /// Standard input.
    pub input: Box<dyn BufRead + Send + 'a>,
    /// Standard output: data, nothing else.
    pub output: Box<dyn Write + Send + 'a>,
    /// Standard error: everything that is not data.
    pub messages: Box<dyn Write + Send + 'a>,
    /// A person reads the output.
    pub output_is_terminal: bool,
    /// A person reads the messages.
    pub messages_are_terminal: bool,
}

impl Env<'static> {
    /// Those of this process.
    pub fn from_process() -> Self {
        let (mut environment, mut not_unicode) = (BTreeMap::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            let shown = name.to_string_lossy().into_owned();
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => {
                    environment.insert(name, value);
                }
                _ if shown.starts_with(crate::config::PREFIX) => not_unicode.push(shown),
                _ => {}
            }
        }
        Self {
            environment,
            not_unicode,
            input: Box::new(BufReader::new(std::io::stdin())),
            output: Box::new(BufWriter::new(std::io::stdout())),
            messages: Box::new(std::io::stderr()),
            output_is_terminal: std::io::stdout().is_terminal(),
            messages_are_terminal: std::io::stderr().is_terminal(),
        }
    }
}

impl Env<'_> {
    /// Whether a stream may be coloured: a terminal, and the user did not object (<https://no-color.org>).
    pub fn colours(&self, terminal: bool) -> bool {
        terminal && self.environment.get("NO_COLOR").is_none_or(String::is_empty)
    }

    /// From here on a reader that goes away does not end the command: its exit code is still a verdict.
    pub(crate) fn outlive_reader(&mut self) {
        let output = std::mem::replace(&mut self.output, Box::new(io::sink()));
        self.output = Box::new(OutlivingOutput { output, is_gone: false });
    }
}

/// Accepts output also after its reader has gone.
struct OutlivingOutput<'a> {
    output: Box<dyn Write + Send + 'a>,
    is_gone: bool,
}

impl OutlivingOutput<'_> {
    fn unless_gone<T>(&mut self, written: io::Result<T>, lost: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_gone = true;
                Ok(lost)
            }
            written => written,
        }
    }
}

impl Write for OutlivingOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = if self.is_gone { Ok(bytes.len()) } else { self.output.write(bytes) };
        self.unless_gone(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = if self.is_gone { Ok(()) } else { self.output.flush() };
        self.unless_gone(flushed, ())
    }
}

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("output_is_terminal", &self.output_is_terminal)
            .field("messages_are_terminal", &self.messages_are_terminal)
            .finish_non_exhaustive()
    }
}
