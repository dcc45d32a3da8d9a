//! What librdkafka says, at the levels that mean something to an operator.
//!
//! It calls a broker that is away an error; here an error is what a person must act on now, and brokers come
//! back. That a property is meant for the other kind of client is no news either: one set of properties
//! serves consumer and producers.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing::{debug, info, warn};

const PROPERTY_OF_OTHERS: &str = "CONFWARN";

pub(super) fn tell(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        _ if facility == PROPERTY_OF_OTHERS => debug!(facility, "{message}"),
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            warn!(facility, "{message}");
        }
        Level::Notice => info!(facility, "{message}"),
        Level::Info | Level::Debug => debug!(facility, "{message}"),
    }
}

pub(super) fn tell_error(error: &KafkaError, reason: &str) {
    debug!(%error, reason, "kafka client");
}
