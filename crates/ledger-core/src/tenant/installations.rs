//! The installations of one tenant, by app.

use std::collections::{BTreeMap, btree_map};
use std::ops::Index;

use serde::{Deserialize, Serialize};

use crate::ids::AppKey;
use crate::state::Installation;
use crate::words::read_map;

/// A map from app to installation, in order of the app keys.
///
/// The states lie beside the map: a node of it has room for eleven entries, most tenants have one or two
/// apps, and a state is half a kilobyte.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Installations(#[serde(deserialize_with = "read_map")] BTreeMap<AppKey, Box<Installation>>);

impl Installations {
    /// The installation of an app.
    #[must_use]
    pub fn get(&self, app: &AppKey) -> Option<&Installation> {
        self.0.get(app).map(Box::as_ref)
    }

    /// The installation of an app, to be changed.
    pub fn get_mut(&mut self, app: &AppKey) -> Option<&mut Installation> {
        self.0.get_mut(app).map(Box::as_mut)
    }

    /// The installation of an app, a new one when there is none.
    pub fn get_or_default(&mut self, app: AppKey) -> &mut Installation {
        self.0.entry(app).or_default()
    }

    /// Puts an installation in its place.
    pub fn insert(&mut self, app: AppKey, installation: Installation) {
        self.0.insert(app, Box::new(installation));
    }

    /// Takes the installation of an app out.
    pub fn remove(&mut self, app: &AppKey) -> Option<Installation> {
        self.0.remove(app).map(|installation| *installation)
    }

    /// Whether the tenant has, or had, the app.
    #[must_use]
    pub fn contains_key(&self, app: &AppKey) -> bool {
        self.0.contains_key(app)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The apps, in order.
    pub fn keys(&self) -> impl Iterator<Item = &AppKey> {
        self.0.keys()
    }

    /// The installations, by app.
    pub fn values(&self) -> impl Iterator<Item = &Installation> {
        self.0.values().map(Box::as_ref)
    }

    /// The installations, by app, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Installation> {
        self.0.values_mut().map(Box::as_mut)
    }

    /// Apps and installations, by app.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }
}

impl Index<&AppKey> for Installations {
    type Output = Installation;

    fn index(&self, app: &AppKey) -> &Installation {
        &self.0[app]
    }
}

impl FromIterator<(AppKey, Installation)> for Installations {
    fn from_iter<I: IntoIterator<Item = (AppKey, Installation)>>(installations: I) -> Self {
        Self(installations.into_iter().map(|(app, installation)| (app, Box::new(installation))).collect())
    }
}

impl<const N: usize> From<[(AppKey, Installation); N]> for Installations {
    fn from(installations: [(AppKey, Installation); N]) -> Self {
        installations.into_iter().collect()
    }
}

/// Goes over apps and installations, by app.
#[derive(Debug, Clone)]
pub struct Iter<'a>(btree_map::Iter<'a, AppKey, Box<Installation>>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a AppKey, &'a Installation);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(app, installation)| (app, installation.as_ref()))
    }
}

impl<'a> IntoIterator for &'a Installations {
    type Item = (&'a AppKey, &'a Installation);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Takes apps and installations out, by app.
#[derive(Debug)]
pub struct IntoIter(btree_map::IntoIter<AppKey, Box<Installation>>);

impl Iterator for IntoIter {
    type Item = (AppKey, Installation);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(app, installation)| (app, *installation))
    }
}

impl IntoIterator for Installations {
    type Item = (AppKey, Installation);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self.0.into_iter())
    }
}
