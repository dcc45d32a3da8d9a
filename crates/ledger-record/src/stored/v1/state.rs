//! The state of an installation, and of a tenant.

use bincode::{BorrowDecode, Encode};
use ledger_core::event::SubscriptionState;
use ledger_core::ids::{AppKey, ClientKey, InstallationKey, MigrationId};
use ledger_core::limits::ANOMALIES_KEPT;
use ledger_core::state::{
    self, Anomalies, AnomalyCode, MigrationOutcome, MigrationPhase, PinnedBy, Rule, Status,
};
use ledger_core::tenant;

use crate::codec::DecodeError;
use crate::stored::parts::{Code, Instant, List, Place, Text, instant, owned, place};
use crate::stored::v1::descriptor::{Descriptor, Policy};

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Tenant<'a> {
    product_realm: Option<Place>,
    shared_latest: Option<Instant>,
    installations: List<Entry<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Entry<'a> {
    app: Text<'a>,
    installation: Installation<'a>,
}

#[expect(clippy::struct_field_names, reason = "named as in the domain, where Atlassian named it")]
#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Installation<'a> {
    status: Code<Status>,
    enabled: bool,
    pin: Option<Pin>,
    window: Option<Window>,
    migration: Option<PendingMigration<'a>>,
    override_realm: Option<Place>,
    data_realm: Option<Place>,
    subscription: Option<Subscription>,
    installation_id: Option<Text<'a>>,
    entitlement_id: Option<Text<'a>>,
    site_url: Option<Text<'a>>,
    predecessor: Option<Predecessor<'a>>,
    successor: Option<InstallationName<'a>>,
    decision: Option<Decision>,
    anomalies: List<Anomaly>,
    anomaly_count: u64,
    last_known_realm: Option<Place>,
    links: Links,
    installation_id_is_current: bool,
    finished: List<FinishedMigration<'a>>,
    implied_at: Option<Instant>,
    own_descriptor: Option<OwnDescriptor<'a>>,
    latest: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(super) struct InstallationName<'a> {
    client: Text<'a>,
    app: Text<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Predecessor<'a> {
    installation: InstallationName<'a>,
    realm: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Links {
    last_known: bool,
    previous: bool,
    uninstall_expected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(super) struct Pin {
    realm: Place,
    since: Instant,
    by: Code<PinnedBy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(super) struct Window {
    policy: Policy,
    start: Instant,
    end: Option<Instant>,
    forgotten: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct PendingMigration<'a> {
    id: Text<'a>,
    target: Option<Place>,
    phase: Code<MigrationPhase>,
    start_time: Option<Instant>,
    end_time: Option<Instant>,
    phase_since: Instant,
    source: Option<Place>,
    arrived: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct FinishedMigration<'a> {
    id: Option<Text<'a>>,
    outcome: Code<MigrationOutcome>,
    source: Option<Place>,
    target: Option<Place>,
    at: Instant,
    data_realm_before: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Subscription {
    state: Code<SubscriptionState>,
    since: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(super) struct Decision {
    seq: Option<u64>,
    at: Instant,
    rule: Code<Rule>,
    expected_realm: Option<Place>,
    observed_realm: Option<Place>,
    pinned_realm: Option<Place>,
    previous_realm: Option<Place>,
    product_realm: Option<Place>,
    moved: bool,
    divergent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Anomaly {
    seq: u64,
    code: Code<AnomalyCode>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct OwnDescriptor<'a> {
    time: Instant,
    descriptor: Descriptor<'a>,
}

impl<'a> Tenant<'a> {
    pub(crate) fn of(tenant: &'a tenant::Tenant) -> Self {
        let tenant::Tenant { product_realm, shared_latest, installations } = tenant;
        Self {
            product_realm: product_realm.map(Place),
            shared_latest: shared_latest.map(Instant),
            installations: installations
                .iter()
                .map(|(app, state)| Entry { app: Text(app.as_str()), installation: Installation::of(state) })
                .collect(),
        }
    }

    pub(crate) fn restore(self) -> Result<tenant::Tenant, DecodeError> {
        let entries = self.installations.0;
        if !entries.is_sorted_by(|one, next| one.app < next.app) {
            return Err(DecodeError::NotCanonical);
        }
        let installations =
            entries.into_iter().map(|entry| Ok((AppKey::new(entry.app.0)?, entry.installation.restore()?)));
        Ok(tenant::Tenant {
            product_realm: place(self.product_realm),
            shared_latest: instant(self.shared_latest),
            installations: installations.collect::<Result<_, DecodeError>>()?,
        })
    }
}

impl<'a> Installation<'a> {
    fn of(installation: &'a state::Installation) -> Self {
        // Spelled out, so that a new field does not compile until it is stored.
        let state::Installation {
            status,
            enabled,
            pin,
            window,
            migration,
            override_realm,
            data_realm,
            subscription,
            installation_id,
            entitlement_id,
            site_url,
            predecessor,
            successor,
            decision,
            anomalies,
            last_known_realm,
            links,
            installation_id_is_current,
            finished,
            implied_at,
            own_descriptor,
            latest,
        } = installation;
        Self {
            status: Code(*status),
            enabled: *enabled,
            pin: pin.map(Pin::of),
            window: window.map(Window::of),
            migration: migration.as_ref().map(PendingMigration::of),
            override_realm: override_realm.map(Place),
            data_realm: data_realm.map(Place),
            subscription: subscription.map(Subscription::of),
            installation_id: installation_id.as_deref().map(Text),
            entitlement_id: entitlement_id.as_deref().map(Text),
            site_url: site_url.as_deref().map(Text),
            predecessor: predecessor.as_ref().map(Predecessor::of),
            successor: successor.as_ref().map(InstallationName::of),
            decision: decision.map(Decision::of),
            anomalies: anomalies.recent().iter().copied().map(Anomaly::of).collect(),
            anomaly_count: anomalies.count(),
            last_known_realm: last_known_realm.map(Place),
            links: Links::of(*links),
            installation_id_is_current: *installation_id_is_current,
            finished: finished.iter().map(FinishedMigration::of).collect(),
            implied_at: implied_at.map(Instant),
            own_descriptor: own_descriptor.as_ref().map(OwnDescriptor::of),
            latest: latest.map(Instant),
        }
    }

    fn restore(self) -> Result<state::Installation, DecodeError> {
        Ok(state::Installation {
            status: self.status.0,
            enabled: self.enabled,
            pin: self.pin.map(Pin::restore),
            window: self.window.map(Window::restore),
            migration: self.migration.map(PendingMigration::restore).transpose()?,
            override_realm: place(self.override_realm),
            data_realm: place(self.data_realm),
            subscription: self.subscription.map(Subscription::restore),
            installation_id: owned(self.installation_id),
            entitlement_id: owned(self.entitlement_id),
            site_url: owned(self.site_url),
            predecessor: self.predecessor.map(Predecessor::restore).transpose()?,
            successor: self.successor.map(InstallationName::restore).transpose()?,
            decision: self.decision.map(Decision::restore),
            anomalies: restore_anomalies(self.anomalies, self.anomaly_count)?,
            last_known_realm: place(self.last_known_realm),
            links: self.links.restore(),
            installation_id_is_current: self.installation_id_is_current,
            finished: restore_finished(self.finished)?,
            implied_at: instant(self.implied_at),
            own_descriptor: self.own_descriptor.map(OwnDescriptor::restore).transpose()?,
            latest: instant(self.latest),
        })
    }
}

fn restore_anomalies(recent: List<Anomaly>, count: u64) -> Result<Anomalies, DecodeError> {
    let kept = count.min(ANOMALIES_KEPT as u64);
    if recent.0.len() as u64 != kept {
        return Err(DecodeError::NotCanonical);
    }
    Ok(Anomalies::restore(recent.0.into_iter().map(Anomaly::restore).collect(), count))
}

fn restore_finished(entries: List<FinishedMigration<'_>>) -> Result<state::FinishedMigrations, DecodeError> {
    let stored = entries.0.len();
    let finished = entries
        .0
        .into_iter()
        .map(FinishedMigration::restore)
        .collect::<Result<state::FinishedMigrations, _>>()?;
    // Two of one id would become one.
    if finished.len() == stored { Ok(finished) } else { Err(DecodeError::NotCanonical) }
}

impl<'a> InstallationName<'a> {
    pub(super) fn of(key: &'a InstallationKey) -> Self {
        let InstallationKey { client, app } = key;
        Self { client: Text(client.as_str()), app: Text(app.as_str()) }
    }

    pub(super) fn restore(self) -> Result<InstallationKey, DecodeError> {
        Ok(InstallationKey { client: ClientKey::new(self.client.0)?, app: AppKey::new(self.app.0)? })
    }
}

impl<'a> Predecessor<'a> {
    fn of(predecessor: &'a state::Predecessor) -> Self {
        let state::Predecessor { installation, realm } = predecessor;
        Self { installation: InstallationName::of(installation), realm: realm.map(Place) }
    }

    fn restore(self) -> Result<state::Predecessor, DecodeError> {
        Ok(state::Predecessor { installation: self.installation.restore()?, realm: place(self.realm) })
    }
}

impl Links {
    fn of(links: state::Links) -> Self {
        let state::Links { last_known, previous, uninstall_expected } = links;
        Self { last_known, previous, uninstall_expected }
    }

    fn restore(self) -> state::Links {
        let Self { last_known, previous, uninstall_expected } = self;
        state::Links { last_known, previous, uninstall_expected }
    }
}

impl Pin {
    pub(super) fn of(pin: state::Pin) -> Self {
        let state::Pin { realm, since, by } = pin;
        Self { realm: Place(realm), since: Instant(since), by: Code(by) }
    }

    pub(super) fn restore(self) -> state::Pin {
        state::Pin { realm: self.realm.0, since: self.since.0, by: self.by.0 }
    }
}

impl Window {
    pub(super) fn of(window: state::Window) -> Self {
        let state::Window { policy, start, end, forgotten } = window;
        Self { policy: Policy::of(policy), start: Instant(start), end: end.map(Instant), forgotten }
    }

    pub(super) fn restore(self) -> state::Window {
        state::Window {
            policy: self.policy.restore(),
            start: self.start.0,
            end: instant(self.end),
            forgotten: self.forgotten,
        }
    }
}

impl<'a> PendingMigration<'a> {
    fn of(pending: &'a state::PendingMigration) -> Self {
        let state::PendingMigration { id, target, phase, start_time, end_time, phase_since, source, arrived } =
            pending;
        Self {
            id: Text(id.as_str()),
            target: target.map(Place),
            phase: Code(*phase),
            start_time: start_time.map(Instant),
            end_time: end_time.map(Instant),
            phase_since: Instant(*phase_since),
            source: source.map(Place),
            arrived: *arrived,
        }
    }

    fn restore(self) -> Result<state::PendingMigration, DecodeError> {
        Ok(state::PendingMigration {
            id: MigrationId::new(self.id.0)?,
            target: place(self.target),
            phase: self.phase.0,
            start_time: instant(self.start_time),
            end_time: instant(self.end_time),
            phase_since: self.phase_since.0,
            source: place(self.source),
            arrived: self.arrived,
        })
    }
}

impl<'a> FinishedMigration<'a> {
    fn of(finished: &'a state::FinishedMigration) -> Self {
        let state::FinishedMigration { id, outcome, source, target, at, data_realm_before } = finished;
        Self {
            id: id.as_ref().map(|id| Text(id.as_str())),
            outcome: Code(*outcome),
            source: source.map(Place),
            target: target.map(Place),
            at: Instant(*at),
            data_realm_before: data_realm_before.map(Place),
        }
    }

    fn restore(self) -> Result<state::FinishedMigration, DecodeError> {
        Ok(state::FinishedMigration {
            id: self.id.map(|id| MigrationId::new(id.0)).transpose()?,
            outcome: self.outcome.0,
            source: place(self.source),
            target: place(self.target),
            at: self.at.0,
            data_realm_before: place(self.data_realm_before),
        })
    }
}

impl Subscription {
    fn of(subscription: state::Subscription) -> Self {
        let state::Subscription { state, since } = subscription;
        Self { state: Code(state), since: Instant(since) }
    }

    fn restore(self) -> state::Subscription {
        state::Subscription { state: self.state.0, since: self.since.0 }
    }
}

impl Decision {
    pub(super) fn of(decision: state::Decision) -> Self {
        let state::Decision {
            seq,
            at,
            rule,
            expected_realm,
            observed_realm,
            pinned_realm,
            previous_realm,
            product_realm,
            moved,
            divergent,
        } = decision;
        Self {
            seq,
            at: Instant(at),
            rule: Code(rule),
            expected_realm: expected_realm.map(Place),
            observed_realm: observed_realm.map(Place),
            pinned_realm: pinned_realm.map(Place),
            previous_realm: previous_realm.map(Place),
            product_realm: product_realm.map(Place),
            moved,
            divergent,
        }
    }

    pub(super) fn restore(self) -> state::Decision {
        state::Decision {
            seq: self.seq,
            at: self.at.0,
            rule: self.rule.0,
            expected_realm: place(self.expected_realm),
            observed_realm: place(self.observed_realm),
            pinned_realm: place(self.pinned_realm),
            previous_realm: place(self.previous_realm),
            product_realm: place(self.product_realm),
            moved: self.moved,
            divergent: self.divergent,
        }
    }
}

impl Anomaly {
    fn of(anomaly: state::Anomaly) -> Self {
        let state::Anomaly { seq, code } = anomaly;
        Self { seq, code: Code(code) }
    }

    fn restore(self) -> state::Anomaly {
        state::Anomaly { seq: self.seq, code: self.code.0 }
    }
}

impl<'a> OwnDescriptor<'a> {
    fn of(own: &'a state::OwnDescriptor) -> Self {
        let state::OwnDescriptor { time, descriptor } = own;
        Self { time: Instant(*time), descriptor: Descriptor::of(descriptor) }
    }

    fn restore(self) -> Result<state::OwnDescriptor, DecodeError> {
        Ok(state::OwnDescriptor { time: self.time.0, descriptor: self.descriptor.restore()? })
    }
}
