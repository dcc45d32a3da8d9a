//! librdkafka's log, at the levels that mean something to an operator.
//!
//! It calls a broker that is away an error; here an error is what a person must act on now, and brokers come
//! back. That a property is meant for the other kind of client is no news either: one set of properties
//! serves consumer and producers.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tracing::{debug, info, warn};

const PROPERTY_OF_OTHERS: &str = "CONFWARN";

/// Connections that fail, requests and sessions that time out: one fact, however many clients and brokers log it,
/// and reported in one place (`consume::contact`). Offsets are committed as a courtesy, so that fails quietly, too.
const OF_TRANSPORT: [&str; 5] = ["FAIL", "ERROR", "REQTMOUT", "SESSTMOUT", "COMMITFAIL"];

/// The context of a client without one of its own.
#[derive(Clone, Copy)]
pub(crate) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for LogContext {}

impl ProducerContext for LogContext {
    type DeliveryOpaque = ();

    /// A message that was not delivered fails its transaction.
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// What the last connection failed of.
static LAST_FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// What the last connection failed of, if one did: a refused connection, a certificate, a password.
pub(crate) fn last_failure() -> Option<String> {
    LAST_FAILURE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        _ if facility == PROPERTY_OF_OTHERS => debug!(facility, "{message}"),
        _ if OF_TRANSPORT.contains(&facility) => {
            if facility == "FAIL" {
                *LAST_FAILURE.lock().unwrap_or_else(PoisonError::into_inner) = Some(without_client(message));
            }
            debug!(facility, "{message}");
        }
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            warn!(facility, "{message}");
        }
        Level::Notice => info!(facility, "{message}"),
        Level::Info | Level::Debug => debug!(facility, "{message}"),
    }
}

pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    debug!(%error, reason, "kafka client");
}

/// Messages begin with the thread and the client: `[thrd:…]: …`.
fn without_client(message: &str) -> String {
    let said = message.rsplit_once("]: ").map_or(message, |(_, said)| said);
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_without_the_client_that_had_it() {
        let message = "[thrd:127.0.0.1:9/bootstrap]: 127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: \
                       Connection refused (after 0ms in state CONNECT)";
        let told = without_client(message);
        assert!(told.starts_with("127.0.0.1:9/bootstrap: Connect to") && told.contains("refused"), "{told}");
        assert_eq!(without_client("no thread is named"), "no thread is named");
    }
}
