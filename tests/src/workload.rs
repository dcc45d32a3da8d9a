//! A stream of lifecycle events as partners send it, and the ledger's expected result.
//!
//! A pure function of a seed: tenants go through installs, migrations, overrides and uninstalls; some events are
//! late, some duplicates, some conflicts, some malformed; every encoding is used. Each message has its expected fate,
//! so a test can fold the sent events from zero and compare.

mod encoding;
mod lives;
mod random;

use std::collections::BTreeMap;

use ledger_core::event::Event;
use ledger_core::ids::ClientKey;
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::timeline::AppTimelines;

use crate::kafka::Message;
pub use encoding::to_protobuf;
pub use random::Random as Chance;
use random::Random;

/// The proportions of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub seed: u64,
    pub tenants: usize,
    pub events: usize,
    pub partitions: i32,
    /// In a hundred: events that arrive after later ones.
    pub late_percent: u64,
    /// In a thousand: events sent again as they are, or in another encoding.
    pub repeats_per_mille: u64,
    /// In a thousand: an id sent again with other content.
    pub conflicts_per_mille: u64,
    /// In a thousand: messages that are no events.
    pub malformed_per_mille: u64,
    /// Adds in the middle a descriptor and a policy of every app that are older than most earlier events.
    pub late_app_events: bool,
}

/// A message and its expected fate.
#[derive(Clone, Debug)]
pub struct Sent {
    pub message: Message,
    pub fate: Fate,
}

/// The expected fate of a message.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Recorded.
    Appended(Box<Event>),
    /// Counted as a repeat.
    Duplicate,
    /// Refused with this reason and path.
    Refused(&'static str, Option<&'static str>),
}

/// The whole stream in sending order, which is the arrival order of each partition.
pub fn stream(mix: Mix) -> Vec<Sent> {
    let mut random = Random::new(mix.seed);
    let mut sent = Vec::with_capacity(mix.events + mix.events / 10);
    let broadcast = |sent: &mut Vec<Sent>, events: Vec<Event>| {
        for event in events {
            for partition in 0..mix.partitions {
                let message = encoding::native(&event).to_partition(partition);
                sent.push(Sent { message, fate: Fate::Appended(Box::new(event.clone())) });
            }
        }
    };
    broadcast(&mut sent, lives::app_events());
    let events = lives::tenant_events(mix, &mut random);
    let late_at = events.len() / 2;
    for (number, event) in events.into_iter().enumerate() {
        if mix.late_app_events && number == late_at {
            broadcast(&mut sent, lives::late_app_events());
        }
        let message = place(encoding::any(&event, &mut random), &event, mix.partitions);
        sent.push(Sent { message, fate: Fate::Appended(Box::new(event.clone())) });
        if random.per_mille(mix.repeats_per_mille) {
            let message = place(encoding::any(&event, &mut random), &event, mix.partitions);
            sent.push(Sent { message, fate: Fate::Duplicate });
        }
        if random.per_mille(mix.conflicts_per_mille) {
            let other = Event { reason: Some(format!("another word {number}")), ..event.clone() };
            let message = place(encoding::native(&other), &event, mix.partitions);
            sent.push(Sent { message, fate: Fate::Refused("event-id-conflict", Some("id")) });
        }
        if random.per_mille(mix.malformed_per_mille) {
            let (message, reason, path) = encoding::malformed(number, &mut random);
            let partition = i32::try_from(number).unwrap_or(0) % mix.partitions;
            let message = message.to_partition(partition);
            sent.push(Sent { message, fate: Fate::Refused(reason, path) });
        }
    }
    sent
}

fn place(message: Message, event: &Event, partitions: i32) -> Message {
    let client = event.client().expect("the events of a life have a tenant");
    message.to_partition(partition_of(client, partitions))
}

/// The partition of a tenant in this stream. Any placement that keeps a tenant together will do.
pub fn partition_of(client: &ClientKey, partitions: i32) -> i32 {
    let sum: i32 = client.as_bytes().iter().map(|byte| i32::from(*byte)).sum();
    sum % partitions
}

/// The fold from zero of what was sent.
pub fn fold(sent: &[Sent]) -> BTreeMap<ClientKey, Tenant> {
    let mut apps = AppTimelines::default();
    let mut logs: BTreeMap<ClientKey, Vec<&Event>> = BTreeMap::new();
    for Sent { fate, .. } in sent {
        let Fate::Appended(event) = fate else { continue };
        match (&event.body, event.client()) {
            (ledger_core::event::Body::App { app, fact }, _) => {
                apps.insert(app, event.time, event.id.clone(), fact);
            }
            (_, Some(client)) => logs.entry(client.clone()).or_default().push(event),
            (_, None) => unreachable!("only app-level events have no tenant"),
        }
    }
    let folded = logs.into_iter().map(|(client, events)| {
        let entries: Vec<Entry<'_>> = (1..).zip(events).map(|(seq, event)| Entry { seq, event }).collect();
        (client, Tenant::from_history(&entries, &apps))
    });
    folded.collect()
}

/// The valid events of a stream, their repeats and conflicts, as native NDJSON: what `import` and `publish` take.
pub fn native_lines(mix: Mix) -> String {
    let mut random = Random::new(mix.seed);
    let mut lines = String::new();
    let mut write = |event: &Event| {
        let message = encoding::native(event);
        lines.push_str(&String::from_utf8(message.value.unwrap_or_default()).expect("JSON is text"));
        lines.push('\n');
    };
    lives::app_events().iter().for_each(&mut write);
    let events = lives::tenant_events(mix, &mut random);
    let late_at = events.len() / 2;
    for (number, event) in events.into_iter().enumerate() {
        if mix.late_app_events && number == late_at {
            lives::late_app_events().iter().for_each(&mut write);
        }
        write(&event);
        if random.per_mille(mix.repeats_per_mille) {
            write(&event);
        }
        if random.per_mille(mix.conflicts_per_mille) {
            write(&Event { reason: Some("another word".to_owned()), ..event });
        }
    }
    lines
}
