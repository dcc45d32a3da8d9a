//! Keys of `index`: which installations a list has to look at. Values are empty.
//!
//! ```text
//! 01 realm            realm ‖ 00 ‖ client ‖ 00 ‖ app                        pinned there
//! 02 alignment        app ‖ 00 ‖ pinned ‖ 00 ‖ product ‖ 00 ‖ client        installed, both known
//! 03 split brain      client ‖ 00 ‖ app                                     installed, data elsewhere
//! 04 window end       end u64 ‖ client ‖ 00 ‖ app                           uninstalled, with a window
//! 05 anomalous        client ‖ 00 ‖ app                                     at least one anomaly
//! 06 app              app ‖ 00 ‖ client                                     all
//! 07 own drift        client ‖ 00 ‖ app                                     installed, see below
//! 08 migration        client ‖ 00 ‖ app                                     with a pending migration
//! 09 name             app ‖ 00 ‖ name u64 ‖ client                          known by it, see below
//! 0a link             app ‖ 00 ‖ client                                     with a predecessor or a successor
//! ```
//!
//! An entry says nothing that depends on the moment of asking, so entries change only when a record changes
//! the tenant, and one write has both. Drift is computed for each class (app, pinned, product) of
//! `alignment` with the published descriptor: publishing one touches no entry. Only where an installation
//! brought a descriptor of its own can it drift while its class does not; those that would by their own
//! stand in `own drift`. Whether a window is still open is told by where its end stands to the instant that
//! is asked for.
//!
//! A `name` is a site host, an entitlement id or an installation id, as its FNV-1a of 64 bits: it takes eight bytes,
//! however long it is. Two names may have one number, so the reader compares what it finds with the tenant's row. Names
//! and links are sorted by app first, so that a reader that may see some apps only reads nothing of the others.
//!
//! `end` is the instant in milliseconds with its sign bit inverted, so that byte order is time order; a
//! window without end stands at the last instant, after all others.

use std::hash::Hasher as _;

use fnv::FnvHasher;
use ledger_core::descriptor::aligned;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::site::site_host;
use ledger_core::state::{Installation, Status};
use ledger_core::tenant::Tenant;
use ledger_core::time::Timestamp;

use super::{END, KeyError, split_part, text};

const REALM: u8 = 1;
const ALIGNMENT: u8 = 2;
const SPLIT_BRAIN: u8 = 3;
const WINDOW_END: u8 = 4;
const ANOMALOUS: u8 = 5;
const APP: u8 = 6;
const OWN_DRIFT: u8 = 7;
const MIGRATION: u8 = 8;
const NAME: u8 = 9;
const LINK: u8 = 10;

ledger_core::words! {
    /// What an installation is known by besides its keys.
    pub enum NameKind {
        /// The host of its site.
        SiteHost = "SITE_HOST",
        /// Atlassian's name of the entitlement.
        EntitlementId = "ENTITLEMENT_ID",
        /// Atlassian's name of the installation.
        InstallationId = "INSTALLATION_ID",
    }
}

impl NameKind {
    /// The name of this kind that an installation has.
    #[must_use]
    pub fn of(self, installation: &Installation) -> Option<String> {
        match self {
            Self::SiteHost => installation.site_url.as_deref().and_then(site_host),
            Self::EntitlementId => installation.entitlement_id.clone(),
            Self::InstallationId => installation.installation_id.clone(),
        }
    }

    /// The number under which a name is in the index.
    #[must_use]
    pub fn number(self, name: &str) -> u64 {
        let mut hasher = FnvHasher::default();
        hasher.write(&[self as u8]);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    fn number_of(self, installation: &Installation) -> Option<u64> {
        let given = match self {
            Self::SiteHost => return self.of(installation).map(|host| self.number(&host)),
            Self::EntitlementId => installation.entitlement_id.as_deref(),
            Self::InstallationId => installation.installation_id.as_deref(),
        };
        given.map(|name| self.number(name))
    }
}

/// An entry of the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexEntry {
    /// The installation has a pin.
    Realm {
        /// Where it is pinned.
        realm: Realm,
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
    },
    /// The installation is there, and both its pin and the product realm are known.
    Alignment {
        /// The app.
        app: AppKey,
        /// Where it is pinned.
        pinned: Realm,
        /// Where the product is.
        product: Realm,
        /// The tenant.
        client: ClientKey,
    },
    /// The installation is there, and its data rests elsewhere than it is pinned.
    SplitBrain {
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
    },
    /// The installation is gone, and a window was opened.
    WindowEnd {
        /// End of the window, [`Timestamp::MAX`] for none.
        end: Timestamp,
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
    },
    /// Something was odd about the installation.
    Anomalous {
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
    },
    /// The installation exists.
    App {
        /// The app.
        app: AppKey,
        /// The tenant.
        client: ClientKey,
    },
    /// The installation is there, and by the descriptor that it brought itself the product's realm would put
    /// it elsewhere than it is pinned. It drifts as long as no later descriptor is published.
    OwnDrift {
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
    },
    /// A migration is pending.
    Migration {
        /// The tenant.
        client: ClientKey,
        /// The app.
        app: AppKey,
    },
    /// The installation is known by a name.
    Name {
        /// The app.
        app: AppKey,
        /// The number of the name.
        number: u64,
        /// The tenant.
        client: ClientKey,
    },
    /// The installation has a predecessor or a successor.
    Link {
        /// The app.
        app: AppKey,
        /// The tenant.
        client: ClientKey,
    },
}

impl IndexEntry {
    /// The key as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Realm { realm, client, app } => {
                parts(REALM, &[realm.as_str(), client.as_str(), app.as_str()])
            }
            Self::Alignment { app, pinned, product, client } => {
                parts(ALIGNMENT, &[app.as_str(), pinned.as_str(), product.as_str(), client.as_str()])
            }
            Self::SplitBrain { client, app } => parts(SPLIT_BRAIN, &[client.as_str(), app.as_str()]),
            Self::WindowEnd { end, client, app } => {
                let mut key = windows_from(*end);
                push_parts(&mut key, &[client.as_str(), app.as_str()]);
                key
            }
            Self::Anomalous { client, app } => parts(ANOMALOUS, &[client.as_str(), app.as_str()]),
            Self::App { app, client } => parts(APP, &[app.as_str(), client.as_str()]),
            Self::OwnDrift { client, app } => parts(OWN_DRIFT, &[client.as_str(), app.as_str()]),
            Self::Migration { client, app } => parts(MIGRATION, &[client.as_str(), app.as_str()]),
            Self::Name { app, number, client } => named(app, *number, client),
            Self::Link { app, client } => parts(LINK, &[app.as_str(), client.as_str()]),
        }
    }

    /// Reads a key of `index`.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        let (&family, rest) = key.split_first().ok_or(KeyError::Truncated { length: 0 })?;
        match family {
            REALM => {
                let (realm, rest) = split_part(rest)?;
                let (client, app) = client_and_app(rest)?;
                Ok(Self::Realm { realm: parse_realm(realm)?, client, app })
            }
            ALIGNMENT => {
                let (app, rest) = split_part(rest)?;
                let (pinned, rest) = split_part(rest)?;
                let (product, client) = split_part(rest)?;
                Ok(Self::Alignment {
                    app: AppKey::new(text(app)?)?,
                    pinned: parse_realm(pinned)?,
                    product: parse_realm(product)?,
                    client: ClientKey::new(text(client)?)?,
                })
            }
            SPLIT_BRAIN => client_and_app(rest).map(|(client, app)| Self::SplitBrain { client, app }),
            WINDOW_END => {
                let (end, rest) =
                    rest.split_first_chunk().ok_or(KeyError::Truncated { length: key.len() })?;
                let (client, app) = client_and_app(rest)?;
                Ok(Self::WindowEnd { end: parse_ordered(*end), client, app })
            }
            ANOMALOUS => client_and_app(rest).map(|(client, app)| Self::Anomalous { client, app }),
            APP => {
                let (app, client) = app_and_client(rest)?;
                Ok(Self::App { app, client })
            }
            OWN_DRIFT => client_and_app(rest).map(|(client, app)| Self::OwnDrift { client, app }),
            MIGRATION => client_and_app(rest).map(|(client, app)| Self::Migration { client, app }),
            NAME => {
                let (app, rest) = split_part(rest)?;
                let (number, client) =
                    rest.split_first_chunk().ok_or(KeyError::Truncated { length: key.len() })?;
                let client = ClientKey::new(text(client)?)?;
                Ok(Self::Name { app: AppKey::new(text(app)?)?, number: u64::from_be_bytes(*number), client })
            }
            LINK => app_and_client(rest).map(|(app, client)| Self::Link { app, client }),
            found => Err(KeyError::UnknownKind { found }),
        }
    }
}

/// What the keys of all installations pinned to a realm begin with, in order of client and app.
#[must_use]
pub fn realm_prefix(realm: Realm) -> Vec<u8> {
    ended_parts(REALM, &[realm.as_str()])
}

/// What the keys of `alignment` of an app, or of all apps, begin with.
#[must_use]
pub fn alignment_prefix(app: Option<&AppKey>) -> Vec<u8> {
    app.map_or_else(|| vec![ALIGNMENT], |app| ended_parts(ALIGNMENT, &[app.as_str()]))
}

/// What the keys of one class of an app begin with: all tenants with this pin and this product realm.
#[must_use]
pub fn alignment_class_prefix(app: &AppKey, pinned: Realm, product: Realm) -> Vec<u8> {
    ended_parts(ALIGNMENT, &[app.as_str(), pinned.as_str(), product.as_str()])
}

/// What the keys of all split brains begin with, in order of client and app.
#[must_use]
pub fn split_brain_prefix() -> Vec<u8> {
    vec![SPLIT_BRAIN]
}

/// What the keys of all windows begin with, in order of their end.
#[must_use]
pub fn windows_prefix() -> Vec<u8> {
    vec![WINDOW_END]
}

/// The first key a window that ends at this instant or later can have; those before it end earlier.
#[must_use]
pub fn windows_from(end: Timestamp) -> Vec<u8> {
    [&[WINDOW_END], &ordered(end)[..]].concat()
}

/// What the keys of all installations with anomalies begin with, in order of client and app.
#[must_use]
pub fn anomalous_prefix() -> Vec<u8> {
    vec![ANOMALOUS]
}

/// What the keys of all installations that drift by their own descriptor begin with, in order of client and
/// app.
#[must_use]
pub fn own_drift_prefix() -> Vec<u8> {
    vec![OWN_DRIFT]
}

/// What the keys of all pending migrations begin with, in order of client and app.
#[must_use]
pub fn migrations_prefix() -> Vec<u8> {
    vec![MIGRATION]
}

/// What the keys of the links of an app, or of all apps, begin with, in order of app and client.
#[must_use]
pub fn links_prefix(app: Option<&AppKey>) -> Vec<u8> {
    app.map_or_else(|| vec![LINK], |app| ended_parts(LINK, &[app.as_str()]))
}

/// What the keys of the names of an app, or of all apps, begin with, in order of app, number and client.
#[must_use]
pub fn names_prefix(app: Option<&AppKey>) -> Vec<u8> {
    app.map_or_else(|| vec![NAME], |app| ended_parts(NAME, &[app.as_str()]))
}

/// What the keys of the installations of an app that are known by a name begin with, in order of client.
#[must_use]
pub fn name_prefix(app: &AppKey, number: u64) -> Vec<u8> {
    let mut key = names_prefix(Some(app));
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn named(app: &AppKey, number: u64, client: &ClientKey) -> Vec<u8> {
    let mut key = name_prefix(app, number);
    key.extend_from_slice(client.as_bytes());
    key
}

/// What the keys of all installations of an app begin with, in order of client.
#[must_use]
pub fn app_prefix(app: &AppKey) -> Vec<u8> {
    ended_parts(APP, &[app.as_str()])
}

/// What the index has of one installation: its entries, without the names in their keys. As long as this
/// stays the same, so do they; told without making a key.
#[expect(clippy::struct_excessive_bools, reason = "one for each list that an installation is on or not")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedInstallation {
    pinned: Option<Realm>,
    /// Where the product is, of one that is installed and pinned.
    product: Option<Realm>,
    own_drift: bool,
    split_brain: bool,
    window_end: Option<Timestamp>,
    anomalous: bool,
    migrating: bool,
    linked: bool,
    /// By kind.
    names: [Option<u64>; NameKind::ALL.len()],
}

impl IndexedInstallation {
    /// Of an installation of a tenant whose product is in that realm.
    #[must_use]
    pub fn of(installation: &Installation, product: Option<Realm>) -> Self {
        let pinned = installation.pinned_realm();
        let installed = pinned.filter(|_| installation.status == Status::Installed);
        let elsewhere = |realm: Option<Realm>| installed.is_some() && realm.is_some() && realm != installed;
        let own = installation.own_descriptor.as_ref().map(|own| &own.descriptor);
        let window = installation.window.filter(|_| installation.status == Status::Uninstalled);
        Self {
            pinned,
            product: installed.and(product),
            own_drift: elsewhere(aligned(product, own)),
            split_brain: elsewhere(installation.data_realm),
            window_end: window.map(|window| window.end.unwrap_or(Timestamp::MAX)),
            anomalous: installation.anomalies.count() > 0,
            migrating: installation.migration.is_some(),
            linked: installation.predecessor.is_some() || installation.successor.is_some(),
            names: [
                NameKind::SiteHost.number_of(installation),
                NameKind::EntitlementId.number_of(installation),
                NameKind::InstallationId.number_of(installation),
            ],
        }
    }

    fn push_keys(&self, client: &ClientKey, app: &AppKey, keys: &mut Vec<Vec<u8>>) {
        keys.extend(self.names.iter().flatten().map(|number| named(app, *number, client)));
        let (client, app) = (client.as_str(), app.as_str());
        if let Some(realm) = self.pinned {
            keys.push(parts(REALM, &[realm.as_str(), client, app]));
        }
        if let (Some(pinned), Some(product)) = (self.pinned, self.product) {
            keys.push(parts(ALIGNMENT, &[app, pinned.as_str(), product.as_str(), client]));
        }
        if self.own_drift {
            keys.push(parts(OWN_DRIFT, &[client, app]));
        }
        if self.split_brain {
            keys.push(parts(SPLIT_BRAIN, &[client, app]));
        }
        if let Some(end) = self.window_end {
            let mut key = windows_from(end);
            push_parts(&mut key, &[client, app]);
            keys.push(key);
        }
        if self.anomalous {
            keys.push(parts(ANOMALOUS, &[client, app]));
        }
        if self.migrating {
            keys.push(parts(MIGRATION, &[client, app]));
        }
        if self.linked {
            keys.push(parts(LINK, &[app, client]));
        }
        keys.push(parts(APP, &[app, client]));
    }
}

/// What the index has of a tenant, by app.
#[must_use]
pub fn listed(tenant: &Tenant) -> Vec<(AppKey, IndexedInstallation)> {
    let listed = |(app, installation): (&AppKey, &Installation)| {
        (app.clone(), IndexedInstallation::of(installation, tenant.product_realm))
    };
    tenant.installations.iter().map(listed).collect()
}

/// All index keys of a tenant, in byte order: what must be in `index`, and nothing else, as long as the
/// tenant is as it is. The difference between two states of a tenant is what a write has to change.
#[must_use]
pub fn index_keys(client: &ClientKey, listed: &[(AppKey, IndexedInstallation)]) -> Vec<Vec<u8>> {
    let mut keys = Vec::with_capacity(listed.len() * 8);
    for (app, listed) in listed {
        listed.push_keys(client, app, &mut keys);
    }
    keys.sort_unstable();
    keys
}

fn parts(family: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    key.push(family);
    push_parts(&mut key, parts);
    key
}

fn push_parts(key: &mut Vec<u8>, parts: &[&str]) {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            key.push(END);
        }
        key.extend_from_slice(part.as_bytes());
    }
}

fn ended_parts(family: u8, leading: &[&str]) -> Vec<u8> {
    let mut key = parts(family, leading);
    key.push(END);
    key
}

fn client_and_app(rest: &[u8]) -> Result<(ClientKey, AppKey), KeyError> {
    let (client, app) = split_part(rest)?;
    Ok((ClientKey::new(text(client)?)?, AppKey::new(text(app)?)?))
}

fn app_and_client(rest: &[u8]) -> Result<(AppKey, ClientKey), KeyError> {
    let (app, client) = split_part(rest)?;
    Ok((AppKey::new(text(app)?)?, ClientKey::new(text(client)?)?))
}

fn parse_realm(part: &[u8]) -> Result<Realm, KeyError> {
    let text = text(part)?;
    // Reading a realm upper-cases it; a key that is stored otherwise is none.
    Realm::parse(text).ok().filter(|realm| realm.as_str() == text).ok_or(KeyError::Realm)
}

const SIGN: u64 = 1 << 63;

fn ordered(instant: Timestamp) -> [u8; 8] {
    (instant.as_millis().cast_unsigned() ^ SIGN).to_be_bytes()
}

fn parse_ordered(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_millis((u64::from_be_bytes(bytes) ^ SIGN).cast_signed())
}

#[cfg(test)]
mod tests;
