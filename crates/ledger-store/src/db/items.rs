//! A scan as an iterator of decoded items.

use crate::db::database::damaged;
use crate::db::scan::Scan;
use crate::error::{Damage, ReadError};

/// Decodes each entry of a scan; ends after the first that fails.
pub(crate) struct Items<'a, D> {
    scan: Scan<'a>,
    decode: D,
    failed: bool,
}

impl<'a, D> Items<'a, D> {
    pub(crate) fn new<T>(scan: Scan<'a>, decode: D) -> Self
    where
        D: FnMut(&[u8], &[u8]) -> Result<T, Damage>,
    {
        Self { scan, decode, failed: false }
    }
}

impl<T, D: FnMut(&[u8], &[u8]) -> Result<T, Damage>> Iterator for Items<'_, D> {
    type Item = Result<T, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let family = self.scan.family();
        let item = match self.scan.step() {
            Ok(None) => return None,
            Ok(Some((key, value))) => {
                (self.decode)(key, value).map_err(|cause| ReadError::from(damaged(family, key, cause)))
            }
            Err(error) => Err(error.into()),
        };
        self.failed = item.is_err();
        Some(item)
    }
}
