//! Lists over all installations, answered by the index.

use std::ops::Range;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::key::index::{self, IndexEntry};
use ledger_record::key::{self, Family, KeyError};

use crate::db::database::damaged;
use crate::db::scan::{Items, after_prefix, prefixed};
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// A list over installations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// All installations of an app, by client.
    App(AppKey),
    /// Pinned to a realm, by client and app.
    Realm(Realm),
    /// Installed with this pin and this product realm, by client.
    Alignment(AlignmentClass),
    /// Installed, with data elsewhere than the pin, by client and app.
    SplitBrain,
    /// Uninstalled, with a window that ends in this span, by end; a window without end stands at
    /// [`Timestamp::MAX`].
    Windows {
        /// Those that end at this instant or later; `None`: from the first on.
        from: Option<Timestamp>,
        /// Those that end before it; `None`: all, those without end too.
        before: Option<Timestamp>,
    },
    /// With at least one anomaly, by client and app.
    Anomalous,
    /// Installed elsewhere than the descriptor that it brought itself would put it, by client and app: those
    /// that can drift while their class does not.
    OwnDrift,
    /// With a pending migration, by client and app.
    Migrations,
    /// With a predecessor or a successor, by client and app.
    Links,
}

/// Installations of an app that share pin and product realm: by the published descriptor drift is the same
/// for all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlignmentClass {
    /// The app.
    pub app: AppKey,
    /// Where they are pinned.
    pub pinned: Realm,
    /// Where their product is.
    pub product: Realm,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationPage {
    /// Whose installations.
    pub installations: Vec<(ClientKey, AppKey)>,
    /// Where the next page begins; none: this was the last one.
    pub next: Option<Vec<u8>>,
}

impl List {
    fn range(&self) -> Range<Vec<u8>> {
        match self {
            Self::App(app) => prefixed(index::app_prefix(app)),
            Self::Realm(realm) => prefixed(index::realm_prefix(*realm)),
            Self::Alignment(class) => prefixed(class.prefix()),
            Self::SplitBrain => prefixed(index::split_brain_prefix()),
            Self::Windows { from, before } => {
                let all = prefixed(index::windows_prefix());
                from.map_or(all.start, index::windows_from)..before.map_or(all.end, index::windows_from)
            }
            Self::Anomalous => prefixed(index::anomalous_prefix()),
            Self::OwnDrift => prefixed(index::own_drift_prefix()),
            Self::Migrations => prefixed(index::migrations_prefix()),
            Self::Links => prefixed(index::links_prefix()),
        }
    }
}

impl AlignmentClass {
    fn prefix(&self) -> Vec<u8> {
        index::alignment_class_prefix(&self.app, self.pinned, self.product)
    }
}

impl Snapshot<'_> {
    /// A page of a list. `cursor` is the `next` of the page before; entries that appear or go between two
    /// pages are seen or not, all others exactly once.
    pub fn list(
        &self,
        list: &List,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<InstallationPage, ReadError> {
        let mut range = list.range();
        if let Some(cursor) = cursor {
            range.start = range.start.max(cursor.to_vec());
        }
        let mut page = InstallationPage { installations: Vec::new(), next: None };
        let mut scan = self.database().scan(Family::Index, range, self.options())?;
        while let Some((key, _)) = scan.step()? {
            if page.installations.len() == limit {
                page.next = Some(key.to_vec());
                break;
            }
            let found = installation(decode(key)?);
            page.installations.push(found.ok_or_else(|| damaged(Family::Index, key, Damage::Misplaced))?);
        }
        Ok(page)
    }

    /// Tenants whose client key begins with a text, in order, from behind one of them on.
    pub fn tenants_beginning_with(
        &self,
        text: &str,
        after: Option<&ClientKey>,
    ) -> Result<impl Iterator<Item = Result<ClientKey, ReadError>> + use<'_>, ReadError> {
        let prefix = text.as_bytes().to_vec();
        let range = from_behind(prefixed(prefix), after.map(|client| key::tenant(client).to_vec()));
        let scan = self.database().scan(Family::Tenants, range, self.options())?;
        Ok(Items::new(scan, |key, _| Ok(key::parse_tenant(key)?)))
    }

    /// Tenants with a name, by its number ([`NameKind::number`]), in order, from behind one of them on. A few may have
    /// another name of the same number.
    ///
    /// [`NameKind::number`]: ledger_record::key::NameKind::number
    pub fn tenants_named(
        &self,
        number: u64,
        after: Option<&ClientKey>,
    ) -> Result<impl Iterator<Item = Result<ClientKey, ReadError>> + use<'_>, ReadError> {
        let behind = after.map(|client| IndexEntry::Name { number, client: client.clone() }.encode());
        let range = from_behind(prefixed(index::name_prefix(number)), behind);
        let scan = self.database().scan(Family::Index, range, self.options())?;
        Ok(Items::new(scan, |key, _| Ok(name(key)?.1)))
    }

    /// All names by their numbers, with their tenants: by number, then by client, from a number on.
    pub fn names(
        &self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, ClientKey), ReadError>> + use<'_>, ReadError> {
        let range = index::name_prefix(from)..prefixed(index::names_prefix()).end;
        let scan = self.database().scan(Family::Index, range, self.options())?;
        Ok(Items::new(scan, |key, _| name(key)))
    }

    /// The classes of alignment that have installations, of one app or of all, in order. One seek for each.
    pub fn alignment_classes(&self, app: Option<&AppKey>) -> Result<Vec<AlignmentClass>, ReadError> {
        let range = prefixed(index::alignment_prefix(app));
        let mut scan = self.database().scan(Family::Index, range, self.options())?;
        let mut classes = Vec::new();
        let mut entry = scan.step()?;
        while let Some((key, _)) = entry {
            let IndexEntry::Alignment { app, pinned, product, .. } = decode(key)? else {
                return Err(damaged(Family::Index, key, Damage::Misplaced).into());
            };
            let class = AlignmentClass { app, pinned, product };
            entry = scan.skip_to(&after_prefix(&class.prefix()))?;
            classes.push(class);
        }
        Ok(classes)
    }
}

fn from_behind(range: Range<Vec<u8>>, key: Option<Vec<u8>>) -> Range<Vec<u8>> {
    let Some(mut key) = key else { return range };
    // Nothing lies between a key and the same with a zero.
    key.push(0);
    range.start.max(key)..range.end
}

fn name(key: &[u8]) -> Result<(u64, ClientKey), Damage> {
    match IndexEntry::decode(key)? {
        IndexEntry::Name { number, client } => Ok((number, client)),
        _ => Err(Damage::Misplaced),
    }
}

pub(crate) fn decode(key: &[u8]) -> Result<IndexEntry, ReadError> {
    Ok(IndexEntry::decode(key).map_err(|error: KeyError| damaged(Family::Index, key, error))?)
}

/// None: the entry is of a tenant.
fn installation(entry: IndexEntry) -> Option<(ClientKey, AppKey)> {
    Some(match entry {
        IndexEntry::Realm { client, app, .. }
        | IndexEntry::Alignment { client, app, .. }
        | IndexEntry::SplitBrain { client, app }
        | IndexEntry::WindowEnd { client, app, .. }
        | IndexEntry::Anomalous { client, app }
        | IndexEntry::App { client, app }
        | IndexEntry::OwnDrift { client, app }
        | IndexEntry::Migration { client, app }
        | IndexEntry::Link { client, app } => (client, app),
        IndexEntry::Name { .. } => return None,
    })
}
