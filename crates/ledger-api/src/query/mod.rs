//! The questions (interfaces 3 and 4), answered from snapshots: pure reading, no clock.

mod answer;
mod cursor;
mod error;
mod filter;
mod ledger;

pub use answer::{
    ExplanationAnswer, FreshnessJson, HaltedJson, InstallationAnswer, InstallationList, LogAnswer,
    PreviewAnswer, QuarantineAnswer, QuarantineList, RefusedTenant, TenantAnswer,
};
pub use cursor::{Cursor, InvalidCursor};
pub use error::QueryError;
pub use filter::{AsOf, Filter, Preview, WindowFilter};
pub use ledger::Ledger;
