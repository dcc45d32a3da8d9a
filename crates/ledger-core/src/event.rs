//! What happened (rules 3): one lifecycle event, decoded and normalised.

use crate::descriptor::Descriptor;
use crate::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use crate::limits::EVIDENCE_MAX_BYTES;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::time::Timestamp;

/// A lifecycle event. Absent, `null` and ignored fields are gone; realms are upper-cased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique within its subject: the installation, the tenant or the app that the event is about.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// Who did it, opaque.
    pub actor: Option<String>,
    /// Why, free text.
    pub reason: Option<String>,
    /// Whom it concerns, and what it says.
    pub body: Body,
}

/// An event by level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// About one installation.
    Installation {
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
        /// What happened to it.
        fact: InstallationFact,
    },
    /// About a tenant, whatever its apps.
    Tenant {
        /// The tenant.
        client: ClientKey,
        /// What happened to it.
        fact: TenantFact,
    },
    /// About an app, whatever its tenants; every partition has a copy.
    App {
        /// The app.
        app: AppKey,
        /// What happened to it.
        fact: AppFact,
    },
}

/// What can happen to an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallationFact {
    /// `installed`: also re-sent for descriptor updates, secret rotation, renames, restarts. Boxed, as it
    /// is several times larger than the others.
    Installed(Box<Installed>),
    /// `uninstalled`
    Uninstalled {
        /// The realm whose URL received the hook.
        endpoint_realm: Option<Realm>,
        /// Names the installation at Atlassian.
        installation_id: Option<String>,
    },
    /// `enabled`
    Enabled,
    /// `disabled`
    Disabled,
    /// `migration-scheduled`
    MigrationScheduled {
        /// Which migration.
        migration: MigrationId,
        /// Where to.
        target: Realm,
        /// Start of the agreed time span.
        start_time: Option<Timestamp>,
        /// End of the agreed time span.
        end_time: Option<Timestamp>,
    },
    /// `migration-started`
    MigrationStarted {
        /// Which migration.
        migration: MigrationId,
        /// Where to.
        target: Option<Realm>,
    },
    /// `migration-committed`
    MigrationCommitted {
        /// Which migration.
        migration: MigrationId,
        /// Where to.
        target: Option<Realm>,
    },
    /// `migration-rolled-back`
    MigrationRolledBack {
        /// Which migration.
        migration: MigrationId,
    },
    /// `migrated`: a whole migration in one event, for sources without phases.
    Migrated {
        /// Where to.
        target: Realm,
        /// Where from.
        source: Option<Realm>,
        /// Which migration.
        migration: Option<MigrationId>,
    },
    /// `override`: an operator's word. `actor` and `reason` are always there.
    Override(OverrideAction),
    /// `data-located`: the partner's word on where the data rests.
    DataLocated {
        /// Where.
        realm: Realm,
    },
    /// `subscription-observed`
    SubscriptionObserved {
        /// As it was seen.
        state: SubscriptionState,
    },
    /// `continued`: it goes on where another installation was.
    Continued {
        /// The other one.
        from: InstallationKey,
        /// Where that one was.
        from_realm: Option<Realm>,
        /// How this is known.
        evidence: Evidence,
    },
    /// `superseded`: another installation goes on where it was.
    Superseded {
        /// The other one.
        to: InstallationKey,
        /// How this is known.
        evidence: Evidence,
    },
}

/// How it is known that one installation goes on as another: `connect-installed`, `app-property`, `forge-token`,
/// `operator`, or any other text of 1 to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence(String);

/// The text cannot be evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not evidence, expected text of 1 to {EVIDENCE_MAX_BYTES} bytes")]
pub struct InvalidEvidence;

impl Evidence {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// The text is empty, or longer than 64 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidEvidence> {
        let text = text.into();
        if (1..=EVIDENCE_MAX_BYTES).contains(&text.len()) { Ok(Self(text)) } else { Err(InvalidEvidence) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An operator says so: then the event names the operator and the reason.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.0 == "operator"
    }
}

/// What an `installed` event carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// The realm whose URL received the hook.
    pub endpoint_realm: Option<Realm>,
    /// Where the tenant's product is.
    pub product_realm: Option<Realm>,
    /// The descriptor that was installed.
    pub descriptor: Option<Descriptor>,
    /// Names the installation at Atlassian.
    pub installation_id: Option<String>,
    /// Names the entitlement at Atlassian.
    pub entitlement_id: Option<String>,
    /// The tenant's site.
    pub site_url: Option<String>,
}

/// What an operator can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideAction {
    /// Pin to a realm, whatever is observed, until released.
    Pin(Realm),
    /// Release the pin; the realm stays until something is observed.
    Release,
    /// End the open window now.
    Forget,
}

/// Whether the tenant pays for the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Paying.
    Active,
    /// Not paying.
    Inactive,
}

/// What can happen to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantFact {
    /// `product-moved`
    ProductMoved {
        /// Where the product is now.
        product_realm: Realm,
    },
}

/// What can happen to an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppFact {
    /// `descriptor-published`
    DescriptorPublished(Descriptor),
    /// `policy-set`
    PolicySet(Policy),
}

impl Event {
    /// The `type` of the event, as it is written everywhere.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.body {
            Body::Installation { fact, .. } => fact.type_name(),
            Body::Tenant { fact: TenantFact::ProductMoved { .. }, .. } => "product-moved",
            Body::App { fact: AppFact::DescriptorPublished(_), .. } => "descriptor-published",
            Body::App { fact: AppFact::PolicySet(_), .. } => "policy-set",
        }
    }

    /// The tenant, for events below app level.
    #[must_use]
    pub fn client(&self) -> Option<&ClientKey> {
        match &self.body {
            Body::Installation { client, .. } | Body::Tenant { client, .. } => Some(client),
            Body::App { .. } => None,
        }
    }

    /// The app, for events not at tenant level.
    #[must_use]
    pub fn app(&self) -> Option<&AppKey> {
        match &self.body {
            Body::Installation { app, .. } | Body::App { app, .. } => Some(app),
            Body::Tenant { .. } => None,
        }
    }

    /// The product realm that the event tells, for every app of its tenant.
    #[must_use]
    pub fn product_realm(&self) -> Option<Realm> {
        match &self.body {
            Body::Tenant { fact: TenantFact::ProductMoved { product_realm }, .. } => Some(*product_realm),
            Body::Installation { fact: InstallationFact::Installed(installed), .. } => {
                installed.product_realm
            }
            Body::Installation { .. } | Body::App { .. } => None,
        }
    }
}

impl InstallationFact {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Installed(_) => "installed",
            Self::Uninstalled { .. } => "uninstalled",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::MigrationScheduled { .. } => "migration-scheduled",
            Self::MigrationStarted { .. } => "migration-started",
            Self::MigrationCommitted { .. } => "migration-committed",
            Self::MigrationRolledBack { .. } => "migration-rolled-back",
            Self::Migrated { .. } => "migrated",
            Self::Override(_) => "override",
            Self::DataLocated { .. } => "data-located",
            Self::SubscriptionObserved { .. } => "subscription-observed",
            Self::Continued { .. } => "continued",
            Self::Superseded { .. } => "superseded",
        }
    }
}
