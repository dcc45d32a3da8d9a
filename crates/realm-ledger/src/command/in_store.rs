//! `backup` and `restore` with an object store, where the program is built with it.

use std::num::NonZeroUsize;
use std::path::Path;

use tempfile::TempDir;

use super::Context;
use crate::cli::STORE_SCHEME;
use crate::{Exit, Failure};

/// The place in a store that a path is.
pub(super) fn place(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| path.starts_with(STORE_SCHEME))
}

#[cfg(feature = "object-store")]
mod with {
    use indicatif::HumanBytes;

    use super::{Context, Exit, Failure, NonZeroUsize, Path, TempDir};
    use crate::object_store::{self, Copied, Store};

    fn open(context: &Context<'_, '_>, place: &str) -> Result<Store, Failure> {
        Ok(Store::open(place, &context.env.environment)?)
    }

    pub(crate) fn copy(
        context: &mut Context<'_, '_>,
        dir: &Path,
        place: &str,
        keep: Option<NonZeroUsize>,
    ) -> Result<Exit, Failure> {
        let store = open(context, place)?;
        let copied =
            context.with_bytes("copying to the store", |bytes| object_store::copy(&store, dir, keep, bytes));
        let Copied { generation, bytes, removed } = copied?;
        context
            .report(&format!("generation {generation} is in {place}, {} are new there", HumanBytes(bytes)));
        if !removed.is_empty() {
            let removed = removed.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            context.report(&format!("removed generation {removed} there, and what only that needed"));
        }
        Ok(Exit::Done)
    }

    /// Beside the directory that is made: there has to be room for both.
    pub(crate) fn fetch(
        context: &mut Context<'_, '_>,
        place: &str,
        generation: Option<u64>,
        data_dir: &Path,
    ) -> Result<TempDir, Failure> {
        let store = open(context, place)?;
        let beside =
            data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(beside).map_err(|error| Failure::unreadable(beside, error))?;
        let to = tempfile::Builder::new().prefix(".restoring-").tempdir_in(beside);
        let to = to.map_err(|error| Failure::unreadable(beside, error))?;
        context.with_bytes("fetching", |bytes| object_store::fetch(&store, generation, to.path(), bytes))?;
        Ok(to)
    }

    pub(crate) fn check(context: &mut Context<'_, '_>, place: &str) -> Result<Exit, Failure> {
        let (read, damaged) = object_store::check(&open(context, place)?)?;
        if damaged.is_empty() {
            context.report(&format!("{read} blobs of {place} read: not a byte differs"));
            return Ok(Exit::Done);
        }
        context.report(&format!(
            "of {read} blobs of {place} these are gone or differ: {}. Remove them there, and copy once more",
            damaged.join(", ")
        ));
        Ok(Exit::Difference)
    }
}

#[cfg(not(feature = "object-store"))]
mod with {
    use super::{Context, Exit, Failure, NonZeroUsize, Path, TempDir};

    fn none<T>() -> Result<T, Failure> {
        Err(Failure::new("this build knows no object stores; build with --features object-store")
            .exit(Exit::Usage))
    }

    pub(crate) fn copy(
        _: &mut Context<'_, '_>,
        _: &Path,
        _: &str,
        _: Option<NonZeroUsize>,
    ) -> Result<Exit, Failure> {
        none()
    }

    pub(crate) fn fetch(
        _: &mut Context<'_, '_>,
        _: &str,
        _: Option<u64>,
        _: &Path,
    ) -> Result<TempDir, Failure> {
        none()
    }

    pub(crate) fn check(_: &mut Context<'_, '_>, _: &str) -> Result<Exit, Failure> {
        none()
    }
}

pub(super) use with::{check, copy, fetch};
