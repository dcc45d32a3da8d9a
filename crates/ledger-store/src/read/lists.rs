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
    /// Of an app, known by a name of this number, by client. A few may be known by another name of the same number.
    Named(AppKey, u64),
}

/// What the apps have that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppsWith {
    /// Installations that are known by a name.
    Names,
    /// Installations with a predecessor or a successor.
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
            Self::Named(app, number) => prefixed(index::name_prefix(app, *number)),
        }
    }
}

impl AlignmentClass {
    fn prefix(&self) -> Vec<u8> {
        index::alignment_class_prefix(&self.app, self.pinned, self.product)
    }
}

impl<'a> Snapshot<'a> {
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
            page.installations.push(installation(decode(key)?));
        }
        Ok(page)
    }

    /// Tenants whose client key begins with a text, in order, from behind one of them on; with an app, those that have it.
    pub fn tenants_beginning_with(
        &self,
        text: &str,
        app: Option<&AppKey>,
        after: Option<&ClientKey>,
    ) -> Result<impl Iterator<Item = Result<ClientKey, ReadError>> + use<'a>, ReadError> {
        let family = if app.is_some() { Family::Index } else { Family::Tenants };
        let before = app.map(index::app_prefix).unwrap_or_default();
        let of = |text: &[u8]| [&before[..], text].concat();
        let mut range = prefixed(of(text.as_bytes()));
        if let Some(after) = after {
            // Nothing lies between a key and the same with a zero.
            range.start = range.start.max([&of(after.as_bytes())[..], &[0]].concat());
        }
        let scan = self.database().scan(family, range, self.options())?;
        Ok(Items::new(scan, move |key, _| match family {
            Family::Index => Ok(installation(IndexEntry::decode(key)?).0),
            _ => Ok(key::parse_tenant(key)?),
        }))
    }

    /// The tenants that have an app with a predecessor or a successor, in order, from behind one of them on.
    pub fn tenants_linked(
        &self,
        app: &AppKey,
        after: Option<&ClientKey>,
    ) -> Result<impl Iterator<Item = Result<ClientKey, ReadError>> + use<'a>, ReadError> {
        let mut range = prefixed(index::links_prefix(Some(app)));
        if let Some(client) = after.cloned() {
            range.start = [&IndexEntry::Link { app: app.clone(), client }.encode()[..], &[0]].concat();
        }
        let scan = self.database().scan(Family::Index, range, self.options())?;
        Ok(Items::new(scan, |key, _| Ok(installation(IndexEntry::decode(key)?).0)))
    }

    /// The names of an app by their numbers, with their tenants: by number, then by client, from a number on.
    pub fn names(
        &self,
        app: &AppKey,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, ClientKey), ReadError>> + use<'a>, ReadError> {
        let range = index::name_prefix(app, from)..prefixed(index::names_prefix(Some(app))).end;
        let scan = self.database().scan(Family::Index, range, self.options())?;
        Ok(Items::new(scan, |key, _| match IndexEntry::decode(key)? {
            IndexEntry::Name { number, client, .. } => Ok((number, client)),
            _ => Err(Damage::Misplaced),
        }))
    }

    /// The apps that have installations with names, or with links, in order. One seek for each.
    pub fn apps_with(&self, what: AppsWith) -> Result<Vec<AppKey>, ReadError> {
        let prefix = match what {
            AppsWith::Names => index::names_prefix,
            AppsWith::Links => index::links_prefix,
        };
        self.groups(prefix(None), |entry| {
            let (_, app) = installation(decode(entry)?);
            let all = prefix(Some(&app));
            Ok((app, all))
        })
    }

    /// The classes of alignment that have installations, of one app or of all, in order. One seek for each.
    pub fn alignment_classes(&self, app: Option<&AppKey>) -> Result<Vec<AlignmentClass>, ReadError> {
        self.groups(index::alignment_prefix(app), |entry| {
            let IndexEntry::Alignment { app, pinned, product, .. } = decode(entry)? else {
                return Err(damaged(Family::Index, entry, Damage::Misplaced).into());
            };
            let class = AlignmentClass { app, pinned, product };
            let all = class.prefix();
            Ok((class, all))
        })
    }

    /// What groups of entries there are below a prefix, in order. `group` answers which an entry is of, and what all of
    /// that begin with. One seek for each.
    fn groups<T>(
        &self,
        below: Vec<u8>,
        group: impl Fn(&[u8]) -> Result<(T, Vec<u8>), ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let mut scan = self.database().scan(Family::Index, prefixed(below), self.options())?;
        let mut groups = Vec::new();
        let mut entry = scan.step()?;
        while let Some((key, _)) = entry {
            let (found, all) = group(key)?;
            entry = scan.skip_to(&after_prefix(&all))?;
            groups.push(found);
        }
        Ok(groups)
    }
}

pub(crate) fn decode(key: &[u8]) -> Result<IndexEntry, ReadError> {
    Ok(IndexEntry::decode(key).map_err(|error: KeyError| damaged(Family::Index, key, error))?)
}

fn installation(entry: IndexEntry) -> (ClientKey, AppKey) {
    match entry {
        IndexEntry::Realm { client, app, .. }
        | IndexEntry::Alignment { client, app, .. }
        | IndexEntry::SplitBrain { client, app }
        | IndexEntry::WindowEnd { client, app, .. }
        | IndexEntry::Anomalous { client, app }
        | IndexEntry::App { client, app }
        | IndexEntry::OwnDrift { client, app }
        | IndexEntry::Migration { client, app }
        | IndexEntry::Name { client, app, .. }
        | IndexEntry::Link { client, app } => (client, app),
    }
}
