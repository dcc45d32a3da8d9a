//! What happened (rules 3): one lifecycle event, decoded and normalised.

use std::fmt;

use serde::de::{EnumAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::descriptor::Descriptor;
use crate::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use crate::limits::EVIDENCE_MAX_BYTES;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::time::Timestamp;
use crate::words;
use crate::words::read_named;

/// A lifecycle event. Absent, `null` and ignored fields are gone; realms are upper-cased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique within its subject: the installation, the tenant or the app that the event is about.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// Whom it concerns, and what it says.
    #[serde(rename = "")]
    pub body: Body,
    /// Who did it, opaque.
    pub actor: Option<String>,
    /// Why, free text.
    pub reason: Option<String>,
}

/// An event by level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "", remote = "Self")]
pub enum Body {
    /// About one installation.
    Installation {
        /// The tenant.
        #[serde(rename = "clientKey")]
        client: ClientKey,
        /// The app.
        #[serde(rename = "appKey")]
        app: AppKey,
        /// What happened to it.
        #[serde(rename = "")]
        fact: InstallationFact,
    },
    /// About a tenant, whatever its apps.
    Tenant {
        /// The tenant.
        #[serde(rename = "clientKey")]
        client: ClientKey,
        /// What happened to it.
        #[serde(rename = "")]
        fact: TenantFact,
    },
    /// About an app, whatever its tenants; every partition has a copy.
    App {
        /// The app.
        #[serde(rename = "appKey")]
        app: AppKey,
        /// What happened to it.
        #[serde(rename = "")]
        fact: AppFact,
    },
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Body {
    /// People write no level: it follows from the type.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Self::deserialize(deserializer);
        }
        deserializer.deserialize_enum("type", &[], ByType)
    }
}

struct ByType;

impl<'de> Visitor<'de> for ByType {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, event: A) -> Result<Body, A::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OfInstallation {
            client_key: ClientKey,
            app_key: AppKey,
            #[serde(rename = "")]
            fact: InstallationFact,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OfTenant {
            client_key: ClientKey,
            #[serde(rename = "")]
            fact: TenantFact,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OfApp {
            app_key: AppKey,
            #[serde(rename = "")]
            fact: AppFact,
        }
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "kebab-case")]
        enum Type {
            ProductMoved,
            DescriptorPublished,
            PolicySet,
            #[serde(other)]
            OfInstallation,
        }
        let (of, rest) = event.variant()?;
        match of {
            Type::ProductMoved => {
                let OfTenant { client_key: client, fact } = rest.newtype_variant()?;
                Ok(Body::Tenant { client, fact })
            }
            Type::DescriptorPublished | Type::PolicySet => {
                let OfApp { app_key: app, fact } = rest.newtype_variant()?;
                Ok(Body::App { app, fact })
            }
            Type::OfInstallation => {
                let OfInstallation { client_key: client, app_key: app, fact } = rest.newtype_variant()?;
                Ok(Body::Installation { client, app, fact })
            }
        }
    }
}

/// What can happen to an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
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
        #[serde(rename = "migrationId")]
        migration: MigrationId,
        /// Where to.
        #[serde(rename = "targetRealm")]
        target: Realm,
        /// Start of the agreed time span.
        start_time: Option<Timestamp>,
        /// End of the agreed time span.
        end_time: Option<Timestamp>,
    },
    /// `migration-started`
    MigrationStarted {
        /// Which migration.
        #[serde(rename = "migrationId")]
        migration: MigrationId,
        /// Where to.
        #[serde(rename = "targetRealm")]
        target: Option<Realm>,
    },
    /// `migration-committed`
    MigrationCommitted {
        /// Which migration.
        #[serde(rename = "migrationId")]
        migration: MigrationId,
        /// Where to.
        #[serde(rename = "targetRealm")]
        target: Option<Realm>,
    },
    /// `migration-rolled-back`
    MigrationRolledBack {
        /// Which migration.
        #[serde(rename = "migrationId")]
        migration: MigrationId,
    },
    /// `migrated`: a whole migration in one event, for sources without phases.
    Migrated {
        /// Where to.
        #[serde(rename = "targetRealm")]
        target: Realm,
        /// Where from.
        #[serde(rename = "sourceRealm")]
        source: Option<Realm>,
        /// Which migration.
        #[serde(rename = "migrationId")]
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
        #[serde(rename = "", with = "FromKey")]
        from: InstallationKey,
        /// Where that one was.
        from_realm: Option<Realm>,
        /// How this is known.
        evidence: Evidence,
    },
    /// `superseded`: another installation goes on where it was.
    Superseded {
        /// The other one.
        #[serde(rename = "", with = "ToKey")]
        to: InstallationKey,
        /// How this is known.
        evidence: Evidence,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "InstallationKey")]
struct FromKey {
    #[serde(rename = "fromClientKey")]
    client: ClientKey,
    #[serde(rename = "fromAppKey")]
    app: AppKey,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "InstallationKey")]
struct ToKey {
    #[serde(rename = "toClientKey")]
    client: ClientKey,
    #[serde(rename = "toAppKey")]
    app: AppKey,
}

/// How it is known that one installation goes on as another: `connect-installed`, `app-property`, `forge-token`,
/// `operator`, or any other text of 1 to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence(String);

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_named(deserializer, "Evidence", |text| Self::new(text))
    }
}

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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "action", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OverrideAction {
    /// Pin to a realm, whatever is observed, until released.
    Pin {
        /// Where.
        realm: Realm,
    },
    /// Release the pin; the realm stays until something is observed.
    Release,
    /// End the open window now.
    Forget,
}

words! {
    /// Whether the tenant pays for the app.
    pub enum SubscriptionState {
        /// Paying.
        Active = "ACTIVE",
        /// Not paying.
        Inactive = "INACTIVE",
    }
}

/// What can happen to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum TenantFact {
    /// `product-moved`
    ProductMoved {
        /// Where the product is now.
        product_realm: Realm,
    },
}

/// What can happen to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum AppFact {
    /// `descriptor-published`
    DescriptorPublished {
        /// What it declares.
        descriptor: Descriptor,
    },
    /// `policy-set`
    PolicySet {
        /// From now on.
        policy: Policy,
    },
}

impl Event {
    /// The `type` of the event, as it is written everywhere.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.body {
            Body::Installation { fact, .. } => fact.type_name(),
            Body::Tenant { fact: TenantFact::ProductMoved { .. }, .. } => "product-moved",
            Body::App { fact: AppFact::DescriptorPublished { .. }, .. } => "descriptor-published",
            Body::App { fact: AppFact::PolicySet { .. }, .. } => "policy-set",
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
