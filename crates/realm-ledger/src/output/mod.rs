//! Data on standard output: NDJSON as it was answered, or tables for people.
//!
//! In JSON nothing is touched: what a server or the data directory answered goes out letter by letter, one
//! object a line. Tables show the columns that matter, a page at a time, so that a list of any length needs
//! no more memory than a page.

mod columns;
mod details;
mod escape_control;
mod plot;

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use ledger_api::query::Raw;
use ledger_record::json;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use columns::{
    ANOMALIES, CHANGES, CORRECTIONS, Column, DECISIONS, FOUND, LINEAGE, LOG, MIGRATIONS, QUARANTINE,
    SPLIT_BRAIN, STATES, WINDOWS, duration, items_at, policy, text_at,
};
pub(crate) use details::details;
pub(crate) use escape_control::{escape_control, escape_control_lines};
pub(crate) use plot::{GapBin, plot_svg, plot_text};

use crate::cli::Format;

/// Rows of one table; a longer list is printed as several.
const ROWS_PER_TABLE: usize = 500;

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub(crate) struct OutputError(#[from] pub(crate) io::Error);

impl OutputError {
    /// The reader went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Prints items of one kind.
pub(crate) struct Printer<'a> {
    out: &'a mut dyn Write,
    format: Format,
    terminal: bool,
    columns: &'static [Column],
    rows: Vec<Vec<String>>,
    items: u64,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(
        out: &'a mut dyn Write,
        format: Format,
        terminal: bool,
        columns: &'static [Column],
    ) -> Self {
        Self { out, format, terminal, columns, rows: Vec::new(), items: 0 }
    }

    /// Prints an item, at once or with the table it is in.
    pub(crate) fn item(&mut self, item: &RawValue) -> Result<(), OutputError> {
        self.items += 1;
        match self.format {
            Format::Json => writeln!(self.out, "{}", item.get())?,
            Format::Table => {
                // What this program or its server has written is JSON.
                let value: Value = serde_json::from_str(item.get()).unwrap_or_default();
                let cell = |column: &Column| escape_control(&column.cell(&value)).into_owned();
                self.rows.push(self.columns.iter().map(cell).collect());
                if self.rows.len() >= ROWS_PER_TABLE {
                    self.print_rows()?;
                }
            }
        }
        Ok(())
    }

    /// Prints what is left. Returns whether there was any item at all.
    pub(crate) fn finish(mut self) -> Result<bool, OutputError> {
        if !self.rows.is_empty() {
            self.print_rows()?;
        }
        self.out.flush()?;
        Ok(self.items > 0)
    }

    fn print_rows(&mut self) -> Result<(), OutputError> {
        let rows = std::mem::take(&mut self.rows);
        // A column that is empty throughout is left out.
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|at| rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // A terminal of unknown width gives 0.
        if self.terminal && fits_into(table.width()) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty();
        }
        table.set_header(used.iter().map(|at| self.columns[*at].title.to_uppercase()));
        for mut row in rows {
            table.add_row(used.iter().map(|at| std::mem::take(&mut row[*at])));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn fits_into(width: Option<u16>) -> bool {
    width.is_some_and(|width| width > 0)
}

/// An item that this program makes itself, as JSON.
pub(crate) fn raw(item: &impl Serialize) -> Result<Raw, OutputError> {
    let text = json::to_string(item).and_then(RawValue::from_string);
    text.map_err(|error| OutputError(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_of_unknown_width_takes_lines_as_they_are() {
        assert!(fits_into(Some(80)) && !fits_into(Some(0)) && !fits_into(None));
    }
}
