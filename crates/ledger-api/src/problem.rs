//! Every problem that an answer can have instead of an answer, in one table for every door: its stable code, its
//! status over HTTP and gRPC, its title for people, and whether asking again a little later can help.

/// The statuses of gRPC that a problem can have, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "gRPC says what they are")]
pub enum GrpcStatus {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// A row for each kind: when it occurs, HTTP status, gRPC status, code, title, and `passes` where asking again can
/// help.
macro_rules! problems {
    ($($(#[$when:meta])+ $kind:ident: $status:literal $grpc:ident $code:literal $title:literal $($passes:ident)?;)+) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemKind {
            $($(#[$when])+ $kind,)+
        }

        impl ProblemKind {
            /// Every kind, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            const fn row(self) -> (u16, GrpcStatus, &'static str, &'static str, bool) {
                match self {
                    $(Self::$kind => ($status, GrpcStatus::$grpc, $code, $title, !concat!($(stringify!($passes))?).is_empty()),)+
                }
            }
        }
    };
}

problems! {
    /// The route has no such parameter, or it is given twice.
    UnknownParameter: 400 InvalidArgument "unknown-parameter" "Unknown parameter";
    /// Its value is not what is expected, or contradicts another one.
    InvalidParameter: 400 InvalidArgument "invalid-parameter" "Invalid parameter";
    /// A part of the path cannot be what it stands for.
    InvalidKey: 400 InvalidArgument "invalid-key" "Invalid key";
    /// The body is not what the route takes.
    InvalidBody: 400 InvalidArgument "invalid-body" "Invalid body";
    /// No cursor, or one of another list.
    InvalidCursor: 400 InvalidArgument "invalid-cursor" "Invalid cursor";
    /// It is not HTTP; the connection is closed.
    MalformedRequest: 400 InvalidArgument "malformed-request" "Malformed request";
    /// No credentials, or bad ones.
    Unauthenticated: 401 Unauthenticated "unauthenticated" "Who asks is not known";
    /// The credentials are good, and not for this question.
    ScopeMissing: 403 PermissionDenied "scope-missing" "Scope missing";
    /// A server without access control was asked under a name that is none of this machine, or by a page of another site.
    ForeignSite: 403 PermissionDenied "foreign-site" "Asked by another site";
    /// Nothing is recorded of it.
    NotFound: 404 NotFound "not-found" "Not found";
    /// `knownSeq` is beyond the tenant's last record.
    SeqNotRecorded: 404 NotFound "seq-not-recorded" "Seq not recorded";
    /// No route has this path.
    NoSuchRoute: 404 Unimplemented "no-such-route" "No such route";
    /// The route takes another method.
    MethodNotAllowed: 405 Unimplemented "method-not-allowed" "Method not allowed";
    /// The head or the body did not come in time; the connection is closed.
    RequestTimeout: 408 DeadlineExceeded "request-timeout" "Request did not come in time";
    /// No shard has the tenant's whole history.
    TenantInTwoPartitions: 409 FailedPrecondition "tenant-in-two-partitions" "Tenant in two partitions";
    /// The id of a command is recorded with other content.
    EventIdConflict: 409 AlreadyExists "event-id-conflict" "Event id conflict";
    /// The server takes no commands.
    NoCommands: 409 FailedPrecondition "no-commands" "No commands are taken here";
    /// `backup.dir` is not set.
    NoBackupDir: 409 FailedPrecondition "no-backup-dir" "No directory for backups";
    /// Another backup is being made there.
    BackupRunning: 409 FailedPrecondition "backup-running" "Another backup is running";
    /// The last backup has what is not here any more; nothing is made, and nothing removed.
    BackupDiffers: 409 FailedPrecondition "backup-differs" "The last backup has what is not here";
    /// The body is longer than any question.
    BodyTooLarge: 413 ResourceExhausted "body-too-large" "Body too large";
    /// Path and parameters together are too long.
    UriTooLong: 414 InvalidArgument "uri-too-long" "Request target too long";
    /// An event of this type is no command.
    NotACommand: 422 InvalidArgument "not-a-command" "Not a command";
    /// Ingestion would refuse the event.
    EventRefused: 422 InvalidArgument "event-refused" "Event refused";
    /// The proof is longer than is handed out: the command line writes it.
    BundleTooLong: 422 ResourceExhausted "bundle-too-long" "Bundle too long";
    /// More requests than `access.rate` came with these credentials.
    RateLimited: 429 ResourceExhausted "rate-limited" "Too many requests of one principal" passes;
    /// First line and headers together are too long; the connection is closed.
    HeadTooLarge: 431 ResourceExhausted "head-too-large" "Head too large";
    /// What a shard has does not read any more: the detail names it, and what to do.
    ShardDamaged: 500 DataLoss "shard-damaged" "Shard damaged";
    /// Stored data could not be read.
    Storage: 500 Internal "storage" "Stored data could not be read";
    /// The backup could not be made; nothing of it counts.
    BackupFailed: 500 Internal "backup-failed" "Backup failed";
    /// A mistake of the program.
    Internal: 500 Internal "internal" "Internal error";
    /// Too many requests at a time.
    Overloaded: 503 Unavailable "overloaded" "Too many requests at a time" passes;
    /// A subscription did not take what came; its cursor says where to go on.
    SlowConsumer: 503 ResourceExhausted "slow-consumer" "Too slow for what comes" passes;
    /// The server ends: ask the one that follows.
    Stopping: 503 Unavailable "stopping" "Stopping" passes;
    /// The answer took too long.
    Timeout: 503 DeadlineExceeded "timeout" "Took too long" passes;
    /// `minPosition` is not recorded yet.
    PositionNotReached: 503 Unavailable "position-not-reached" "Position not reached" passes;
    /// `minPosition` is not recorded, and the shard takes nothing more.
    ShardHalted: 503 FailedPrecondition "shard-halted" "Shard halted";
    /// The brokers did not take the command, or not in time.
    NotPublished: 503 Unavailable "not-published" "Not published" passes;
    /// No proof, as what it would rest on is not signed yet.
    NotSigned: 503 Unavailable "not-signed" "Not signed yet" passes;
    /// Not found, but not every shard that could have it was read to its end, here; `freshness` has all of them. With
    /// `Retry-After` unless only a person ends it.
    /// From `/readyz`: an assigned shard is too far behind or halted, or none is assigned.
    NotReady: 503 Unavailable "not-ready" "Not ready" passes;
}

impl ProblemKind {
    /// Stable, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().2
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// Status in gRPC.
    #[must_use]
    pub const fn grpc(self) -> GrpcStatus {
        self.row().1
    }

    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().3
    }

    /// Whether asking again a little later can help.
    #[must_use]
    pub const fn passes(self) -> bool {
        self.row().4
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
