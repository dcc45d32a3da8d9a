//! Records of tenants that live: installed, re-sent, moved, uninstalled, installed again.

use ledger_core::event::{Body, Event, InstallationFact, Installed};
use ledger_core::ids::{AppKey, ClientKey, EventId, MigrationId};
use ledger_core::realm::Realm;
use ledger_core::tenant::{Entry, Outcome, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::record::{Content, Coordinates, RULES, Record, Stream};

use super::Failure;

const APP: &str = "com.example.residency-app";
const STEPS: u64 = 20;
const DAY_MS: i64 = 86_400_000;

/// The life of one tenant, step by step, with what the fold made of it; and how far every tenant is.
pub(crate) struct Lives {
    steps: Vec<(Event, Outcome)>,
    seqs: Vec<u64>,
    random: u64,
}

/// The key of a tenant: a UUID, as in the field, so that neighbours in number are none in order.
pub(crate) fn client(number: u64) -> Result<ClientKey, Failure> {
    let a = mix(number);
    let b = mix(a);
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    );
    Ok(ClientKey::new(text)?)
}

impl Lives {
    pub(crate) fn new(tenants: u64) -> Result<Self, Failure> {
        let mut tenant = Tenant::default();
        let apps = AppTimelines::default();
        let mut steps = Vec::new();
        for step in 0..STEPS {
            let event = event(step)?;
            let outcome = tenant.append(Entry { seq: step + 1, event: &event }, &apps);
            steps.push((event, outcome));
        }
        Ok(Self { steps, seqs: vec![0; usize::try_from(tenants)?], random: 42 })
    }

    /// The next event of some tenant: its seq, and what the fold made of it.
    pub(crate) fn next(&mut self, position: u64) -> Result<(u64, Event, Outcome), Failure> {
        self.random = mix(self.random);
        let number = self.random % self.seqs.len() as u64;
        let seq = &mut self.seqs[usize::try_from(number)?];
        let (event, outcome) = &self.steps[usize::try_from(*seq % STEPS)?];
        *seq += 1;
        let mut event = event.clone();
        // A life is lived again and again.
        event.time = event.time.plus_millis(i64::try_from((*seq - 1) / STEPS * STEPS)? * DAY_MS);
        if let Body::Installation { client: of, .. } = &mut event.body {
            *of = client(number)?;
        }
        event.id = EventId::new(format!("01JD{:022X}", mix(position)))?;
        Ok((*seq, event, outcome.clone()))
    }

    /// The next record of some tenant, as it is stored.
    pub(crate) fn next_record(&mut self, position: u64) -> Result<(Stream, u64, Vec<u8>), Failure> {
        let (seq, event, outcome) = self.next(position)?;
        let stream = Stream::Tenant(event.client().ok_or("an event without a tenant")?.clone());
        let content = Content::Event { event, time_defaulted: false, outcome };
        let record = Record {
            position,
            stream: stream.clone(),
            seq,
            source: coordinates(position),
            recorded: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(position)? * 100),
            rules: RULES,
            content,
        };
        Ok((stream, seq, record.encode()))
    }
}

pub(crate) fn coordinates(offset: u64) -> Coordinates {
    Coordinates { source: "realm.lifecycle".into(), partition: 0, offset }
}

fn event(step: u64) -> Result<Event, Failure> {
    let eu = Realm::parse("EU")?;
    let us = Realm::parse("US")?;
    let installed = |at, details: bool| {
        InstallationFact::Installed(Box::new(Installed {
            endpoint_realm: Some(at),
            product_realm: details.then_some(at),
            descriptor: None,
            installation_id: details
                .then(|| "ari:cloud:ecosystem::installation/5a7ce9dd-3d2c-4b1e-9d51-3b5ad0a1e1f7".to_owned()),
            entitlement_id: details.then(|| "41bb3ac2-9a07-4b36-9b1a-0d3b8b2f1c55".to_owned()),
            site_url: Some("https://some-customer.atlassian.net".to_owned()),
        }))
    };
    let migration = MigrationId::new("57500")?;
    let fact = match step % 10 {
        0 => installed(eu, true),
        1 | 5 => InstallationFact::Enabled,
        2 | 3 => installed(eu, false),
        4 => InstallationFact::DataLocated { realm: eu },
        6 => InstallationFact::MigrationStarted { migration, target: Some(us) },
        7 => InstallationFact::MigrationCommitted { migration, target: Some(us) },
        8 => InstallationFact::Disabled,
        _ => InstallationFact::Uninstalled { endpoint_realm: Some(us), installation_id: None },
    };
    Ok(Event {
        id: EventId::new("template")?,
        time: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(step)? * DAY_MS),
        actor: None,
        reason: None,
        body: Body::Installation { client: client(0)?, app: AppKey::new(APP)?, fact },
    })
}

/// A step of `SplitMix64`.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
