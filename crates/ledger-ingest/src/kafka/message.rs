//! The parts of a message as librdkafka hands it out.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// A header without value is absent.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let owned =
        |header: rdkafka::message::Header<'_, &[u8]>| Some((header.key.to_owned(), header.value?.to_vec()));
    message.headers().map_or_else(Vec::new, |headers| headers.iter().filter_map(owned).collect())
}
