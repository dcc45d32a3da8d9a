//! Every problem that an answer can have instead of an answer, in one table for every door: its stable code, its
//! HTTP status, its title for people, and whether asking again a little later can help.

/// A row for each kind: when it occurs, HTTP status, code, title, and `passes` where asking again can help.
macro_rules! problems {
    ($($(#[$when:meta])+ $kind:ident: $status:literal $code:literal $title:literal $($passes:ident)?;)+) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemKind {
            $($(#[$when])+ $kind,)+
        }

        impl ProblemKind {
            /// Every kind, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            const fn row(self) -> (u16, &'static str, &'static str, bool) {
                match self {
                    $(Self::$kind => ($status, $code, $title, !concat!($(stringify!($passes))?).is_empty()),)+
                }
            }
        }
    };
}

problems! {
    /// The route has no such parameter, or it is given twice.
    UnknownParameter: 400 "unknown-parameter" "Unknown parameter";
    /// Its value is not what is expected, or contradicts another one.
    InvalidParameter: 400 "invalid-parameter" "Invalid parameter";
    /// A part of the path cannot be what it stands for.
    InvalidKey: 400 "invalid-key" "Invalid key";
    /// The body is not what the route takes.
    InvalidBody: 400 "invalid-body" "Invalid body";
    /// No cursor, or one of another list.
    InvalidCursor: 400 "invalid-cursor" "Invalid cursor";
    /// It is not HTTP; the connection is closed.
    MalformedRequest: 400 "malformed-request" "Malformed request";
    /// No credentials, or bad ones.
    Unauthenticated: 401 "unauthenticated" "Who asks is not known";
    /// The credentials are good, and not for this question.
    ScopeMissing: 403 "scope-missing" "Scope missing";
    /// Nothing is recorded of it.
    NotFound: 404 "not-found" "Not found";
    /// `knownSeq` is beyond the tenant's last record.
    SeqNotRecorded: 404 "seq-not-recorded" "Seq not recorded";
    /// No route has this path.
    NoSuchRoute: 404 "no-such-route" "No such route";
    /// The route takes another method.
    MethodNotAllowed: 405 "method-not-allowed" "Method not allowed";
    /// The head or the body did not come in time; the connection is closed.
    RequestTimeout: 408 "request-timeout" "Request did not come in time";
    /// No shard has the tenant's whole history.
    TenantInTwoPartitions: 409 "tenant-in-two-partitions" "Tenant in two partitions";
    /// The body is longer than any question.
    BodyTooLarge: 413 "body-too-large" "Body too large";
    /// Path and parameters together are too long.
    UriTooLong: 414 "uri-too-long" "Request target too long";
    /// The proof is longer than is handed out: the command line writes it.
    BundleTooLong: 422 "bundle-too-long" "Bundle too long";
    /// More requests than `access.rate` came with these credentials.
    RateLimited: 429 "rate-limited" "Too many requests of one principal" passes;
    /// First line and headers together are too long; the connection is closed.
    HeadTooLarge: 431 "head-too-large" "Head too large";
    /// What a shard has does not read any more: the detail names it, and what to do.
    ShardDamaged: 500 "shard-damaged" "Shard damaged";
    /// Stored data could not be read.
    Storage: 500 "storage" "Stored data could not be read";
    /// A mistake of the program.
    Internal: 500 "internal" "Internal error";
    /// Too many requests at a time.
    Overloaded: 503 "overloaded" "Too many requests at a time" passes;
    /// The server ends: ask the one that follows.
    Stopping: 503 "stopping" "Stopping" passes;
    /// The answer took too long.
    Timeout: 503 "timeout" "Took too long" passes;
    /// `minPosition` is not recorded yet.
    PositionNotReached: 503 "position-not-reached" "Position not reached" passes;
    /// `minPosition` is not recorded, and the shard takes nothing more.
    ShardHalted: 503 "shard-halted" "Shard halted";
    /// No proof, as what it would rest on is not signed yet.
    NotSigned: 503 "not-signed" "Not signed yet" passes;
    /// Not found, but not every shard that could have it was read to its end, here; `freshness` has all of them. With
    /// `Retry-After` unless only a person ends it.
    /// From `/readyz`: an assigned shard is too far behind or halted, or none is assigned.
    NotReady: 503 "not-ready" "Not ready" passes;
}

impl ProblemKind {
    /// Stable, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// Whether asking again a little later can help.
    #[must_use]
    pub const fn passes(self) -> bool {
        self.row().3
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_problem_kind_has_its_own_code() {
        let codes: BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ProblemKind::ALL.len());
    }

    #[test]
    fn only_429_and_503_problems_are_temporary() {
        for kind in ProblemKind::ALL {
            assert!(!kind.passes() || matches!(kind.status(), 429 | 503), "{kind:?}");
        }
    }
}
