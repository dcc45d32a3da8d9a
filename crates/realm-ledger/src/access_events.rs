//! Lines of the log target `access` as events (`access.topic`), whatever `log.level` leaves of the log.
//!
//! ```text
//!   tracing, target access ─► AccessEvents: a CloudEvent as JSON ─► ledger_ingest::publish::AccessTopic
//! ```
//!
//! The members of `data` are the fields of the line under their names in camel case. Their key on the topic is the principal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ledger_core::time::Timestamp;
use ledger_ingest::publish::AccessTopic;
use ledger_record::json::time::format_instant;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::Failure;
use crate::command::now;
use crate::config::Config;

const TARGET: &str = "access";

/// Where the lines of this process go.
static TOPIC: RwLock<Option<EventsTopic>> = RwLock::new(None);

struct EventsTopic {
    topic: AccessTopic,
    /// What makes the ids of this run of the program its own.
    run: String,
    lines: AtomicU64,
}

/// Sends the lines to the topic of this configuration from now on, if it names one.
pub(crate) fn start(config: &Config) -> Result<(), Failure> {
    let Some(topic) = &config.kafka.access_topic else { return Ok(()) };
    let topic = AccessTopic::new(&config.kafka, topic)
        .map_err(|error| Failure::caused("lines about access cannot be published", error))?;
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::caused("the system gives no random bytes", error))?;
    let run = format!("{:016x}", u64::from_be_bytes(random));
    let destination = EventsTopic { topic, run, lines: AtomicU64::new(0) };
    *TOPIC.write().unwrap_or_else(PoisonError::into_inner) = Some(destination);
    Ok(())
}

/// Sends none any more; whether what was sent came to its end in time.
pub(crate) fn stop(within: Duration) -> bool {
    let before = TOPIC.write().unwrap_or_else(PoisonError::into_inner).take();
    before.is_none_or(|destination| destination.topic.settle(within))
}

/// The layer that sees the lines. Without a topic it asks for none.
pub(crate) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>() -> impl Layer<S> {
    let is_on = || TOPIC.read().unwrap_or_else(PoisonError::into_inner).is_some();
    let is_line = |line: &Metadata<'_>| line.is_event() && line.target() == TARGET;
    let filter = dynamic_filter_fn(move |line, _| is_line(line) && is_on())
        .with_callsite_filter(
            move |line| if is_line(line) { Interest::sometimes() } else { Interest::never() },
        )
        .with_max_level_hint(LevelFilter::INFO);
    AccessEvents.with_filter(filter)
}

struct AccessEvents;

impl<S: Subscriber> Layer<S> for AccessEvents {
    fn on_event(&self, line: &Event<'_>, _: Context<'_, S>) {
        let topic = TOPIC.read().unwrap_or_else(PoisonError::into_inner);
        let Some(EventsTopic { topic, run, lines }) = &*topic else { return };
        let mut members = EventMembers::default();
        line.record(&mut members);
        let id = format!("{run}-{}", lines.fetch_add(1, Ordering::Relaxed));
        let event = cloud_event(&id, now(), members);
        topic.send(event["data"]["principal"].as_str(), event.to_string().as_bytes());
    }
}

fn cloud_event(id: &str, time: Timestamp, EventMembers(data): EventMembers) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/realm-ledger/access", "type": "realmledger.access",
        "time": format_instant(time), "datacontenttype": "application/json", "data": data,
    })
}

/// The fields of a line.
#[derive(Default)]
struct EventMembers(Map<String, Value>);

impl EventMembers {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(camel_case(field.name()), value);
    }
}

impl Visit for EventMembers {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut joined = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut signs = word.chars();
        joined.extend(signs.next().map(|first| first.to_ascii_uppercase()));
        joined.push_str(signs.as_str());
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_become_names_of_members() {
        assert_eq!(["code", "client_key", "took_ms"].map(camel_case), ["code", "clientKey", "tookMs"]);
    }

    #[test]
    fn a_line_is_a_cloud_event() {
        let mut members = EventMembers::default();
        members.0.insert("code".to_owned(), "ok".into());
        let event = cloud_event("7-1", Timestamp::from_millis(0), members);
        assert_eq!((&event["type"], &event["data"]["code"]), (&json!("realmledger.access"), &json!("ok")));
        assert_eq!(event["time"], "1970-01-01T00:00:00.000Z");
    }
}
