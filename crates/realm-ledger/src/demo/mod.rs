//! The sample stream of `demo`: a pure function of a seed and an instant.
//!
//! A few tenants play what the ledger is for ([`cast`]), a few hundred others install and uninstall around them
//! ([`load_generator`]). All of it is native JSON that goes the way of any `publish`; only what is malformed on
//! purpose is sent as it is.

mod cast;
mod load_generator;

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use serde_json::{Map, Value};

pub(crate) use cast::{ACME, GLOBEX, ROADMAP, TIMESHEETS};
pub(crate) use load_generator::LoadGenerator;

/// A message of the sample stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// When it happened.
    pub(crate) time: Timestamp,
    /// When it is sent; later than it happened if the event is late.
    pub(crate) sent: Timestamp,
    /// The message.
    pub(crate) text: String,
    /// It is no event, and is sent as it is, with this key.
    pub(crate) malformed: Option<&'static str>,
}

/// Everything up to `now`, in the order in which it is sent; the generator goes on from there.
pub(crate) fn history(seed: u64, tenants: u32, now: Timestamp) -> (Vec<Sample>, LoadGenerator) {
    let mut load_generator = LoadGenerator::new(seed, tenants);
    let mut samples = cast::play(now);
    samples.extend(load_generator.until(now));
    samples.sort_by_key(|sample| sample.sent);
    (samples, load_generator)
}

/// An event under construction, in the native form.
#[derive(Debug, Clone)]
struct EventDraft {
    time: Timestamp,
    fields: Map<String, Value>,
}

impl EventDraft {
    fn new(id: &str, kind: &str, time: Timestamp) -> Self {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), id.into());
        fields.insert("type".to_owned(), kind.into());
        fields.insert("time".to_owned(), format_instant(time).into());
        Self { time, fields }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    fn sent(self) -> Sample {
        let time = self.time;
        self.sent_at(time)
    }

    fn sent_at(self, sent: Timestamp) -> Sample {
        Sample { time: self.time, sent, text: Value::Object(self.fields).to_string(), malformed: None }
    }
}

/// `now` less so many days and hours.
fn ago(now: Timestamp, days: i64, hours: i64) -> Timestamp {
    Timestamp::from_millis(now.as_millis() - (days * 24 + hours) * 3_600_000)
}

/// Small, fast, and the same everywhere (`SplitMix64`).
#[derive(Debug, Clone)]
struct SeededRandom(u64);

impl SeededRandom {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ledger_ingest::decode::{Message, decode};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_780_000_000_000);

    #[test]
    fn the_same_seed_plays_the_same_stream_and_another_another() {
        assert_eq!(history(22, 50, NOW).0, history(22, 50, NOW).0);
        assert_ne!(history(22, 50, NOW).0, history(23, 50, NOW).0);
    }

    #[test]
    fn what_is_an_event_decodes_and_what_is_malformed_does_not() {
        let (samples, _) = history(22, 50, NOW);
        for Sample { text, malformed, .. } in &samples {
            let message =
                Message { key: None, value: Some(text.as_bytes()), headers: &[], timestamp: Some(NOW) };
            assert_eq!(decode(&message).is_err(), malformed.is_some(), "{text}");
        }
        assert!(samples.iter().any(|sample| sample.malformed.is_some()));
    }

    #[test]
    fn nothing_lies_in_the_future_and_something_is_late_and_something_repeats() {
        let (samples, _) = history(22, 50, NOW);
        assert!(samples.iter().all(|sample| sample.time <= sample.sent && sample.sent <= NOW));
        assert!(samples.iter().any(|sample| sample.time < sample.sent));
        assert!(samples.is_sorted_by_key(|sample| sample.sent));
        let texts: BTreeSet<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
        assert_eq!(texts.len(), samples.len() - 1, "one repeat");
    }

    #[test]
    fn the_crowd_goes_on_after_now_without_ids_twice() {
        let (samples, mut load_generator) = history(22, 50, NOW);
        let mut ids: BTreeSet<String> = samples.iter().map(|sample| sample.text.clone()).collect();
        for second in 0..500 {
            let at = Timestamp::from_millis(NOW.as_millis() + second * 1000);
            let sample = load_generator.next(at);
            assert_eq!(sample.time, at);
            assert!(ids.insert(sample.text), "an event twice");
        }
    }
}
