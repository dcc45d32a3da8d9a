//! The events of a call on their way into the journal: all of them or none.

use ledger_core::event::Event;
use ledger_ingest::decode::to_native_json;

use crate::gateway::GatewayState;
use crate::journal::{AppendError, Journal, Reservation, now};
use crate::metric;
use crate::refusal::Refusal;

/// An event as the journal takes it.
pub(crate) struct NativeEvent {
    pub(crate) type_name: &'static str,
    pub(crate) text: Vec<u8>,
}

pub(crate) fn native(events: &[Event]) -> Vec<NativeEvent> {
    let native = |event: &Event| NativeEvent { type_name: event.type_name(), text: to_native_json(event) };
    events.iter().map(native).collect()
}

/// Room in the journal for each event.
pub(crate) fn reserve(journal: &Journal, events: &[NativeEvent]) -> Result<Vec<Reservation>, Refusal> {
    let reserve = |event: &NativeEvent| journal.reserve(event.text.len());
    events.iter().map(reserve).collect::<Result<_, _>>().map_err(|error| refusal_of(&error))
}

/// Records events in this order, in the room that was reserved for each, if it was; all of them are on disk when it returns.
pub(crate) async fn record(
    shared: &GatewayState,
    events: &[NativeEvent],
    room: Option<Vec<Reservation>>,
) -> Result<(), Refusal> {
    let (mut pending, journal) = (Vec::with_capacity(events.len()), &shared.journal);
    let room = match room {
        Some(room) => room,
        None => reserve(journal, events)?,
    };
    for (event, room) in events.iter().zip(&room) {
        let queued = journal.enqueue_reserved(&event.text, now(), room).await;
        pending.push(queued.map_err(|error| refusal_of(&error))?);
    }
    for (event, pending) in events.iter().zip(pending) {
        pending.wait().await.map_err(|error| refusal_of(&error))?;
        metric::recorded(event.type_name);
    }
    Ok(())
}

fn refusal_of(error: &AppendError) -> Refusal {
    match error {
        AppendError::TooLong => Refusal::BadBody,
        AppendError::Full { .. } => Refusal::JournalFull,
        AppendError::Broken { .. } => Refusal::JournalBroken,
    }
}
