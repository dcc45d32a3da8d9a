//! Exit codes: part of the interface, never renumbered.

use std::process::ExitCode;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed; the message says what to do.
    Failed,
    /// 2: wrong usage of the command line.
    Usage,
    /// 3: a verification found a difference.
    Difference,
    /// 4: the data directory has a newer format, or belongs to another cluster or topic.
    OtherLedger,
}

impl Exit {
    /// The number that the caller of the program sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Difference => 3,
            Self::OtherLedger => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
