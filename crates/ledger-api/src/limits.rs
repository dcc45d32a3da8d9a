//! Every bound of the API, in one place. Units stand last in the names.

/// Installations on a page, unless the caller asks for another number.
pub const LIST_DEFAULT: usize = 100;

/// Most installations on a page.
pub const LIST_MAX: usize = 1000;

/// Records on a page of a log, unless the caller asks for another number.
pub const LOG_DEFAULT: usize = 100;

/// Most records on a page of a log.
pub const LOG_MAX: usize = 1000;

/// Items on a page of the quarantine, unless the caller asks for another number.
pub const QUARANTINE_DEFAULT: usize = 100;

/// Most items on a page of the quarantine.
pub const QUARANTINE_MAX: usize = 1000;
