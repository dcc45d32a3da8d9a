//! The tenants that play what the ledger is for: `cast.ndjson`, at moments before now.

use ledger_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{EventDraft, Sample, ago};

const SCRIPT: &str = include_str!("cast.ndjson");

pub(crate) const ROADMAP: &str = "com.example.roadmap";
pub(crate) const TIMESHEETS: &str = "com.example.timesheets";
pub(super) const WHITEBOARD: &str = "com.example.whiteboard";

pub(crate) const ACME: &str = "acme.atlassian.net";
pub(crate) const GLOBEX: &str = "globex.atlassian.net";

/// A line of the script. Moments are days and hours before now, as `6d 20h`.
#[derive(Deserialize)]
struct ScriptLine {
    ago: String,
    sent: Option<String>,
    #[serde(default)]
    event: Map<String, Value>,
    text: Option<String>,
}

/// The script up to `now`.
pub(super) fn play(now: Timestamp) -> Vec<Sample> {
    let lines = SCRIPT.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.zip(1..).filter_map(|(line, number)| sample(line, number, now));
    lines.collect()
}

/// The message of a line; none for one that cannot be read, which a test excludes.
fn sample(line: &str, number: u32, now: Timestamp) -> Option<Sample> {
    let line: ScriptLine = serde_json::from_str(line).ok()?;
    let time = moment(&line.ago, now)?;
    let sent = line.sent.map_or(Some(time), |sent| moment(&sent, now))?;
    if let Some(text) = line.text {
        return Some(Sample { time, sent, text, malformed: Some(ACME) });
    }
    let mut draft = EventDraft::new(&format!("cast-{number:03}"), "", time);
    draft.fields.extend(line.event);
    Some(draft.sent_at(sent))
}

fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let (days, hours) = text.split_once(' ')?;
    Some(ago(now, days.strip_suffix('d')?.parse().ok()?, hours.strip_suffix('h')?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_script_is_played() {
        let lines = SCRIPT.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(play(Timestamp::from_millis(1_780_000_000_000)).len(), lines);
    }
}
