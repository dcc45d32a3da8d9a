//! An event. The key that its stream already has, the client key or for app-level events the app key, is
//! not repeated.

use bincode::{BorrowDecode, Encode};
use ledger_core::event::{self, Evidence, InstallationFact, SubscriptionState, TenantFact};
use ledger_core::ids::{AppKey, EventId, MigrationId};
use ledger_core::realm::Realm;

use crate::codec::DecodeError;
use crate::record::Stream;
use crate::stored::parts::{Code, Instant, Place, Text, instant, owned, place, tagged};
use crate::stored::v1::descriptor::{Descriptor, Policy};
use crate::stored::v1::state::InstallationName;

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Event<'a> {
    id: Text<'a>,
    time: Instant,
    actor: Option<Text<'a>>,
    reason: Option<Text<'a>>,
    body: Body<'a>,
}

tagged! {
    pub(crate) enum Body<'a> {
        1 => Installation(OfInstallation<'a>),
        2 => Tenant(OfTenant),
        3 => App(OfApp<'a>),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct OfInstallation<'a> {
    app: Text<'a>,
    fact: Fact<'a>,
}

tagged! {
    pub(crate) enum Fact<'a> {
        1 => Installed(Installed<'a>),
        2 => Uninstalled(Uninstalled<'a>),
        3 => Enabled(()),
        4 => Disabled(()),
        5 => MigrationScheduled(Scheduled<'a>),
        6 => MigrationStarted(Hook<'a>),
        7 => MigrationCommitted(Hook<'a>),
        8 => MigrationRolledBack(Text<'a>),
        9 => Migrated(Migrated<'a>),
        10 => Override(Override),
        11 => DataLocated(Place),
        12 => SubscriptionObserved(Code<SubscriptionState>),
        13 => Continued(Continued<'a>),
        14 => Superseded(Superseded<'a>),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Installed<'a> {
    endpoint_realm: Option<Place>,
    product_realm: Option<Place>,
    descriptor: Option<Descriptor<'a>>,
    installation_id: Option<Text<'a>>,
    entitlement_id: Option<Text<'a>>,
    site_url: Option<Text<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Uninstalled<'a> {
    endpoint_realm: Option<Place>,
    installation_id: Option<Text<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Continued<'a> {
    from: InstallationName<'a>,
    from_realm: Option<Place>,
    evidence: Text<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Superseded<'a> {
    to: InstallationName<'a>,
    evidence: Text<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Scheduled<'a> {
    migration: Text<'a>,
    target: Place,
    start_time: Option<Instant>,
    end_time: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Hook<'a> {
    migration: Text<'a>,
    target: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Migrated<'a> {
    target: Place,
    source: Option<Place>,
    migration: Option<Text<'a>>,
}

tagged! {
    pub(crate) enum Override {
        1 => Pin(Place),
        2 => Release(()),
        3 => Forget(()),
    }
}

tagged! {
    pub(crate) enum OfTenant {
        1 => ProductMoved(Place),
    }
}

tagged! {
    pub(crate) enum OfApp<'a> {
        1 => DescriptorPublished(Descriptor<'a>),
        2 => PolicySet(Policy),
    }
}

impl<'a> Event<'a> {
    pub(crate) fn of(event: &'a event::Event) -> Self {
        let event::Event { id, time, actor, reason, body } = event;
        Self {
            id: Text(id.as_str()),
            time: Instant(*time),
            actor: actor.as_deref().map(Text),
            reason: reason.as_deref().map(Text),
            body: Body::of(body),
        }
    }

    pub(crate) fn restore(self, stream: &Stream) -> Result<event::Event, DecodeError> {
        let Self { id, time, actor, reason, body } = self;
        Ok(event::Event {
            id: EventId::new(id.0)?,
            time: time.0,
            actor: owned(actor),
            reason: owned(reason),
            body: body.restore(stream)?,
        })
    }
}

impl<'a> Body<'a> {
    fn of(body: &'a event::Body) -> Self {
        match body {
            event::Body::Installation { client: _, app, fact } => {
                Self::Installation(OfInstallation { app: Text(app.as_str()), fact: Fact::of(fact) })
            }
            event::Body::Tenant { client: _, fact: TenantFact::ProductMoved { product_realm } } => {
                Self::Tenant(OfTenant::ProductMoved(Place(*product_realm)))
            }
            event::Body::App { app: _, fact } => Self::App(OfApp::of(fact)),
        }
    }

    fn restore(self, stream: &Stream) -> Result<event::Body, DecodeError> {
        match (self, stream) {
            (Self::Installation(OfInstallation { app, fact }), Stream::Tenant(client)) => {
                let (client, app) = (client.clone(), AppKey::new(app.0)?);
                Ok(event::Body::Installation { client, app, fact: fact.restore()? })
            }
            (Self::Tenant(OfTenant::ProductMoved(realm)), Stream::Tenant(client)) => {
                let fact = TenantFact::ProductMoved { product_realm: realm.0 };
                Ok(event::Body::Tenant { client: client.clone(), fact })
            }
            (Self::App(fact), Stream::App(app)) => {
                Ok(event::Body::App { app: app.clone(), fact: fact.restore()? })
            }
            (Self::Installation(_) | Self::Tenant(_) | Self::App(_), _) => Err(DecodeError::OtherStream),
        }
    }
}

impl<'a> Fact<'a> {
    fn of(fact: &'a InstallationFact) -> Self {
        match fact {
            InstallationFact::Installed(installed) => Self::Installed(Installed::of(installed)),
            InstallationFact::Uninstalled { endpoint_realm, installation_id } => {
                Self::Uninstalled(Uninstalled {
                    endpoint_realm: endpoint_realm.map(Place),
                    installation_id: installation_id.as_deref().map(Text),
                })
            }
            InstallationFact::Enabled => Self::Enabled(()),
            InstallationFact::Disabled => Self::Disabled(()),
            InstallationFact::MigrationScheduled { migration, target, start_time, end_time } => {
                Self::MigrationScheduled(Scheduled {
                    migration: Text(migration.as_str()),
                    target: Place(*target),
                    start_time: start_time.map(Instant),
                    end_time: end_time.map(Instant),
                })
            }
            InstallationFact::MigrationStarted { migration, target } => {
                Self::MigrationStarted(Hook::of(migration, *target))
            }
            InstallationFact::MigrationCommitted { migration, target } => {
                Self::MigrationCommitted(Hook::of(migration, *target))
            }
            InstallationFact::MigrationRolledBack { migration } => {
                Self::MigrationRolledBack(Text(migration.as_str()))
            }
            InstallationFact::Migrated { target, source, migration } => Self::Migrated(Migrated {
                target: Place(*target),
                source: source.map(Place),
                migration: migration.as_ref().map(|id| Text(id.as_str())),
            }),
            InstallationFact::Override(action) => Self::Override(Override::of(*action)),
            InstallationFact::DataLocated { realm } => Self::DataLocated(Place(*realm)),
            InstallationFact::SubscriptionObserved { state } => Self::SubscriptionObserved(Code(*state)),
            InstallationFact::Continued { from, from_realm, evidence } => Self::Continued(Continued {
                from: InstallationName::of(from),
                from_realm: from_realm.map(Place),
                evidence: Text(evidence.as_str()),
            }),
            InstallationFact::Superseded { to, evidence } => Self::Superseded(Superseded {
                to: InstallationName::of(to),
                evidence: Text(evidence.as_str()),
            }),
        }
    }

    fn restore(self) -> Result<InstallationFact, DecodeError> {
        Ok(match self {
            Self::Installed(installed) => InstallationFact::Installed(Box::new(installed.restore()?)),
            Self::Uninstalled(Uninstalled { endpoint_realm, installation_id }) => {
                InstallationFact::Uninstalled {
                    endpoint_realm: place(endpoint_realm),
                    installation_id: owned(installation_id),
                }
            }
            Self::Enabled(()) => InstallationFact::Enabled,
            Self::Disabled(()) => InstallationFact::Disabled,
            Self::MigrationScheduled(Scheduled { migration, target, start_time, end_time }) => {
                InstallationFact::MigrationScheduled {
                    migration: MigrationId::new(migration.0)?,
                    target: target.0,
                    start_time: instant(start_time),
                    end_time: instant(end_time),
                }
            }
            Self::MigrationStarted(Hook { migration, target }) => {
                let migration = MigrationId::new(migration.0)?;
                InstallationFact::MigrationStarted { migration, target: place(target) }
            }
            Self::MigrationCommitted(Hook { migration, target }) => {
                let migration = MigrationId::new(migration.0)?;
                InstallationFact::MigrationCommitted { migration, target: place(target) }
            }
            Self::MigrationRolledBack(migration) => {
                InstallationFact::MigrationRolledBack { migration: MigrationId::new(migration.0)? }
            }
            Self::Migrated(Migrated { target, source, migration }) => InstallationFact::Migrated {
                target: target.0,
                source: place(source),
                migration: migration.map(|id| MigrationId::new(id.0)).transpose()?,
            },
            Self::Override(action) => InstallationFact::Override(action.restore()),
            Self::DataLocated(realm) => InstallationFact::DataLocated { realm: realm.0 },
            Self::SubscriptionObserved(state) => InstallationFact::SubscriptionObserved { state: state.0 },
            Self::Continued(Continued { from, from_realm, evidence }) => InstallationFact::Continued {
                from: from.restore()?,
                from_realm: place(from_realm),
                evidence: Evidence::new(evidence.0)?,
            },
            Self::Superseded(Superseded { to, evidence }) => {
                InstallationFact::Superseded { to: to.restore()?, evidence: Evidence::new(evidence.0)? }
            }
        })
    }
}

impl<'a> Hook<'a> {
    fn of(migration: &'a MigrationId, target: Option<Realm>) -> Self {
        Self { migration: Text(migration.as_str()), target: target.map(Place) }
    }
}

impl<'a> Installed<'a> {
    fn of(installed: &'a event::Installed) -> Self {
        let event::Installed {
            endpoint_realm,
            product_realm,
            descriptor,
            installation_id,
            entitlement_id,
            site_url,
        } = installed;
        Self {
            endpoint_realm: endpoint_realm.map(Place),
            product_realm: product_realm.map(Place),
            descriptor: descriptor.as_ref().map(Descriptor::of),
            installation_id: installation_id.as_deref().map(Text),
            entitlement_id: entitlement_id.as_deref().map(Text),
            site_url: site_url.as_deref().map(Text),
        }
    }

    fn restore(self) -> Result<event::Installed, DecodeError> {
        Ok(event::Installed {
            endpoint_realm: place(self.endpoint_realm),
            product_realm: place(self.product_realm),
            descriptor: self.descriptor.map(Descriptor::restore).transpose()?,
            installation_id: owned(self.installation_id),
            entitlement_id: owned(self.entitlement_id),
            site_url: owned(self.site_url),
        })
    }
}

impl Override {
    fn of(action: event::OverrideAction) -> Self {
        match action {
            event::OverrideAction::Pin(realm) => Self::Pin(Place(realm)),
            event::OverrideAction::Release => Self::Release(()),
            event::OverrideAction::Forget => Self::Forget(()),
        }
    }

    fn restore(self) -> event::OverrideAction {
        match self {
            Self::Pin(realm) => event::OverrideAction::Pin(realm.0),
            Self::Release(()) => event::OverrideAction::Release,
            Self::Forget(()) => event::OverrideAction::Forget,
        }
    }
}

impl<'a> OfApp<'a> {
    fn of(fact: &'a event::AppFact) -> Self {
        match fact {
            event::AppFact::DescriptorPublished(descriptor) => {
                Self::DescriptorPublished(Descriptor::of(descriptor))
            }
            event::AppFact::PolicySet(policy) => Self::PolicySet(Policy::of(*policy)),
        }
    }

    fn restore(self) -> Result<event::AppFact, DecodeError> {
        Ok(match self {
            Self::DescriptorPublished(descriptor) => {
                event::AppFact::DescriptorPublished(descriptor.restore()?)
            }
            Self::PolicySet(policy) => event::AppFact::PolicySet(policy.restore()),
        })
    }
}
