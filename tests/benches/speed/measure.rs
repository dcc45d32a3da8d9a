//! Time and processor time, medians, and what they were measured on.

use std::fs;
use std::time::{Duration, Instant};

/// Wall time and CPU time of a run.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// A watch that runs.
pub(crate) struct Watch {
    begun: Instant,
    cpu: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), cpu: process_cpu() }
    }

    pub(crate) fn stop(&self) -> Took {
        Took { wall: self.begun.elapsed(), cpu: process_cpu().saturating_sub(self.cpu) }
    }
}

/// User and system time of this process: fields 14 and 15 of its line, in ticks of 10 ms.
fn process_cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, after_name) = text.rsplit_once(')').expect("a name in parentheses");
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Prints the median of several runs over this number of events.
pub(crate) fn report(what: &str, events: usize, runs: &[Took]) {
    let millions = events as f64 / 1e6;
    let rate = median(runs.iter().map(|took| events as f64 / took.wall.as_secs_f64()));
    let cpu = median(runs.iter().map(|took| took.cpu.as_secs_f64() / millions));
    println!("  {what:<44} {rate:>10.0} events/s {cpu:>7.1} CPU s/million");
}

/// Prints the median of the ratios of rates, pair by pair, and all of them.
pub(crate) fn tell_ratio(what: &str, runs: &[Took], against: &[Took]) {
    let ratios: Vec<f64> = runs
        .iter()
        .zip(against)
        .map(|(took, least)| least.wall.as_secs_f64() / took.wall.as_secs_f64())
        .collect();
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("  {what:<44} {:>10.2} of {}", median(ratios.into_iter()), all.join(" "));
}

/// The one in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&mut values.collect::<Vec<_>>(), 0.5)
}

/// The value that this part of all values does not exceed.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slice")]
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Processor, cores, kernel, and how busy it was.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, Linux {}, realm-ledger {}, load {}",
        model.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        env!("CARGO_PKG_VERSION"),
        read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
    )
}
