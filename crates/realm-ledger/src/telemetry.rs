//! Logs and metrics.
//!
//! A level is what the operator must do: **error** act now, **warn** look soon, **info** nothing, the life
//! of the process (started, assigned, drained), **debug** nothing, for its developers. Logs go to stderr:
//! text on a terminal, else JSON, one object a line. Metrics are kept in one Prometheus recorder; the server of
//! `/metrics` gets the function that renders them.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ledger_record::token::without_tokens;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::background::Background;
use crate::{Failure, access_events};

/// What the process logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// A level, or one per module.
    pub level: String,
    /// `auto`, `text` or `json`.
    pub format: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: "auto".to_owned() }
    }
}

/// The Kafka client logs a member that a crashed broker fenced as an error when it is dropped. The ledger has logged that
/// and joined anew by then, so the operator has nothing to do (the level `error`).
const SILENCED: &str = "rdkafka::consumer::base_consumer=off";

/// Clients that write requests into the log below this level, with their tokens: whatever the level is, they do not.
const CLIENTS: [&str; 6] = ["ureq", "ureq_proto", "hyper", "hyper_util", "h2", "rustls"];

/// Whether a line may be logged, as far as its source and level tell.
fn has_no_token(metadata: &tracing::Metadata<'_>) -> bool {
    let source = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= tracing::Level::INFO || !CLIENTS.contains(&source)
}

/// The filter of a level; none if it is no level.
pub(crate) fn filter(level: &str) -> Option<EnvFilter> {
    EnvFilter::try_new(level).ok().filter(|_| !level.trim().is_empty())?;
    EnvFilter::try_new(format!("{SILENCED},{level}")).ok()
}

/// Writes lines without the tokens of the service, whatever line one got into: it may have been pasted for a key.
struct WithoutTokens<W>(W);

impl<W: Write> Write for WithoutTokens<W> {
    /// The subscriber writes a line as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line).map(without_tokens) {
            Ok(Cow::Owned(masked)) => self.0.write_all(masked.as_bytes())?,
            Ok(Cow::Borrowed(_)) | Err(_) => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Begins to log to stderr. `verbosity` counts the `-v`: 1 is debug, 2 is trace, whatever the level is.
pub(crate) fn start_logs(
    options: &LogOptions,
    verbosity: u8,
    terminal: bool,
    colours: bool,
) -> Result<(), Failure> {
    let level = match verbosity {
        0 => options.level.as_str(),
        1 => "debug",
        _ => "trace",
    };
    let filter = filter(level).ok_or_else(|| Failure::new(format!("log.level {level:?} is no level")))?;
    let json = match options.format.as_str() {
        "json" => true,
        "text" => false,
        _ => !terminal,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(|| WithoutTokens(std::io::stderr()));
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.with_ansi(colours).with_target(verbosity > 0).boxed()
    };
    // Without the hint nobody knows that no line of a finer level is wanted, and librdkafka's wrapper makes one for each
    // message.
    let filter = filter.and(filter_fn(has_no_token).with_max_level_hint(LevelFilter::TRACE));
    let layers = tracing_subscriber::registry().with(lines.with_filter(filter)).with(access_events::layer());
    layers.try_init().map_err(|error| Failure::caused("logging cannot begin", error))
}

const BUILD_INFO: &str = "realm_ledger_build_info";

/// Upper bounds of the histograms in seconds: from a cached read to a stuck disk.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often samples are folded into their histograms. Otherwise only a scrape does it, and there may be none.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to count, once for the process; returns what renders the metrics.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, Failure> {
    static STARTED: Mutex<Option<(PrometheusHandle, Background)>> = Mutex::new(None);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((handle, _)) = &*started {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Failure::caused("metrics cannot begin", error))?;
    let samples = handle.clone();
    let upkeep = Background::start("metrics", UPKEEP, move || {
        samples.run_upkeep();
        UPKEEP
    });
    let upkeep = upkeep.map_err(|error| Failure::caused("metrics cannot be looked after", error))?;
    describe_gauge!(BUILD_INFO, "Always 1; which program this is.");
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    ledger_ingest::metric::describe();
    ledger_api::http::describe();
    ledger_gateway::describe();
    ledger_gateway::journal::describe();
    crate::backups::describe();
    crate::memory::describe();
    crate::sampling::describe();
    Ok(started.insert((handle, upkeep)).0.clone())
}

#[cfg(test)]
mod tests {
    use ledger_api::http::report_freshness;
    use ledger_api::ledger::FreshnessJson;

    use super::*;

    /// Samples that are not folded pile up in memory, which shows nowhere else.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_samples_are_looked_after_without_a_scrape() {
        let _handle = start_metrics().unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let names = threads.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
        assert!(names.into_iter().any(|name| name.trim() == "metrics"));
    }

    #[test]
    fn levels_and_modules_are_filters_and_nonsense_is_none() {
        assert!(filter("info").is_some());
        assert!(filter("info,ledger_ingest=debug").is_some());
        assert!(filter("").is_none());
        assert!(filter("info,ledger_ingest=loud").is_none());
    }

    #[test]
    fn lines_are_written_without_tokens() {
        let token = ledger_record::token::new_token([3; 32]);
        let mut lines = WithoutTokens(Vec::new());
        let line = format!("{{\"message\":\"no such key: {token}\"}}\n");
        lines.write_all(line.as_bytes()).unwrap();
        lines.write_all(b"\xff and on\n").unwrap();
        assert_eq!(lines.0, b"{\"message\":\"no such key: rl_***\"}\n\xff and on\n");
    }

    #[test]
    fn the_build_is_among_the_metrics() {
        let rendered = start_metrics().unwrap().render();
        let expected = format!("realm_ledger_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(rendered.contains(&expected), "{rendered}");
    }

    #[test]
    fn a_shard_is_told_apart_by_its_label() {
        let metrics = start_metrics().unwrap();
        let shard = FreshnessJson {
            topic: "t".to_owned(),
            partition: 3,
            phase: "LIVE".into(),
            stale: false,
            assigned: true,
            offset: None,
            lag: Some(7),
            lag_seconds: None,
            position: None,
            halted: None,
            partitioner: None,
            split_tenants: 2,
            mismatched_tenants: 0,
            missing_app_events: 0,
            missing_copies: None,
            unsigned: None,
            stalled: None,
            ahead: None,
            ahead_seconds: 61,
        };
        report_freshness(&[shard]);
        let reported = metrics.render();
        for line in [
            "realm_ledger_lag_events{shard=\"t/3\"} 7",
            "realm_ledger_lag_seconds{shard=\"t/3\"} NaN",
            "realm_ledger_shard_assigned{shard=\"t/3\"} 1",
            "realm_ledger_split_tenants{shard=\"t/3\"} 2",
            "realm_ledger_recorded_ahead_seconds{shard=\"t/3\"} 61",
            "realm_ledger_shard_phase{shard=\"t/3\",phase=\"LIVE\"} 1",
            "realm_ledger_shard_phase{shard=\"t/3\",phase=\"HALTED\"} 0",
        ] {
            assert!(reported.lines().any(|reported| reported == line), "{line} in\n{reported}");
        }
    }

    #[test]
    fn a_level_leaves_out_what_the_ledger_says_better_itself() {
        let all = filter("info").map(|filter| filter.to_string()).unwrap_or_default();
        assert!(all.contains(SILENCED) && all.contains("info"), "{all}");
        assert!(filter("").is_none() && filter(" ").is_none() && filter("no=such=level").is_none());
    }
}
