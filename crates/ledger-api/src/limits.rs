//! Every bound of the API, in one place. Units stand last in the names.

use std::time::Duration;

/// Installations on a page, unless the caller asks for another number.
pub const LIST_DEFAULT: usize = 100;

/// Most installations on a page.
pub const LIST_MAX: usize = 1000;

/// Longest text that is searched for: a URL.
pub const SEARCH_MAX_BYTES: usize = 2048;

/// Tenants that can share a name and still be told apart by it: a name that more have proposes no lineage.
pub const LINEAGE_SHARED_MOST: usize = 64;

/// Records on a page of a log, unless the caller asks for another number.
pub const LOG_DEFAULT: usize = 100;

/// Most records on a page of a log.
pub const LOG_MAX: usize = 1000;

/// Decisions on a page, unless the caller asks for another number.
pub const DECISIONS_DEFAULT: usize = 100;

/// Most decisions on a page.
pub const DECISIONS_MAX: usize = 1000;

/// Items on a page of the quarantine, unless the caller asks for another number.
pub const QUARANTINE_DEFAULT: usize = 100;

/// Most items on a page of the quarantine.
pub const QUARANTINE_MAX: usize = 1000;

/// A page ends once its items have so many bytes as JSON, however few they are: one message can be a megabyte.
pub const PAGE_FULL_BYTES: usize = 1024 * 1024;

/// Memory for what questions keep for the ones that follow: decoded timelines of apps, windows of the past in their
/// order, where pages of corrections ended, states of long histories.
pub const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Records from which on the states of a history are kept at intervals, for questions about the past.
pub const LONG_HISTORY_RECORDS: usize = 4096;

/// Records between two of these states, at least: so many are folded for a question.
pub const RECORDS_PER_STATE: usize = 512;

/// Memory for the states of one history.
pub const HISTORY_STATES_BYTES: usize = 8 * 1024 * 1024;

/// Windows of the past that are sorted of a shard at a time, for many pages.
pub const WINDOWS_SORTED_AT_A_TIME: usize = 20_000;

/// Installations that are looked at for one page, and records that are folded for it: a page of a rare kind, or
/// of the past, is short rather than late.
pub const LOOKED_AT_PER_PAGE: usize = 50_000;

/// Records at the end of a shard that are looked at for events dated ahead, before a list is answered from its index.
pub const AHEAD_LOOKED_AT: u64 = 20_000;

/// Index entries fetched at a time, for each list that a page is merged from.
pub const INDEX_ENTRIES_AT_A_TIME: usize = 64;

/// Histories that questions about the past hold in memory, all together, and one more: see [`crate::query`].
pub const HISTORIES_BYTES: u32 = 256 * 1024 * 1024;

/// A history reserves its memory in steps of this: a short one costs nothing to reserve.
pub const HISTORY_RESERVED_AT_A_TIME_BYTES: usize = 64 * 1024;

/// Longest bundle that is handed out over HTTP: some ten thousand records. It is in memory until it is sent.
pub const BUNDLE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long to wait before looking again for a tenant that is to appear.
pub const POSITION_RETRY: Duration = Duration::from_millis(20);

/// Granted apps that are looked up one by one for a tenant; of more than that its row is read.
pub const GRANTS_LOOKED_UP: usize = 16;

/// How long `minPosition` waits for the record.
pub const POSITION_WAIT: Duration = Duration::from_secs(5);

/// Most questions that can be answered at a time: each keeps a thread while it reads, and what waits for a thread
/// waits behind its own time limit.
pub const CONCURRENT_REQUESTS_MAX: usize = 4096;

/// Watches of `grpc.health.v1` that are open at a time: they need no credentials, so they take no place of a question.
pub const HEALTH_WATCHES_MAX: usize = 64;

/// Shards that a cursor of decisions may name.
pub const CURSOR_SHARDS_MAX: usize = 4096;

/// Connections to the listener for probes and metrics that are open at a time.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// Longest set of keys of an issuer of web tokens.
pub const JWKS_MAX_BYTES: u64 = 1024 * 1024;

/// Most keys of an issuer.
pub const JWKS_KEYS_MAX: usize = 100;

/// How long an issuer may take to hand its keys out.
pub const JWKS_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of an issuer are read no sooner than so long after the last time.
pub const JWKS_REREAD_AFTER: Duration = Duration::from_mins(1);

/// They are read again so long after the last time at the latest: a key that was taken back is good no longer than that.
pub const JWKS_REFRESH_AFTER: Duration = Duration::from_mins(5);

/// Requests that wait for the keys of an issuer to be read at a time.
pub const JWKS_WAITING_MAX: usize = 64;

/// Web tokens whose signature was checked, of all issuers.
pub const VERIFIED_TOKENS_KEPT: usize = 10_000;

/// Principals of web tokens whose requests are counted.
pub const PRINCIPALS_KEPT: usize = 10_000;

/// How often it is looked whether the files of a certificate changed, or keys of issuers are old.
pub const CREDENTIALS_INTERVAL: Duration = Duration::from_secs(5);

/// What TLS keeps of an answer beside the system, for each connection: a record.
pub const TLS_UNSENT_BYTES: usize = 16 * 1024;

/// How far the clock of an issuer may be off: by so much a token outlives its end.
pub const ISSUER_LEEWAY_MAX: Duration = Duration::from_mins(5);

/// Longest name of a principal.
pub const PRINCIPAL_NAME_MAX_BYTES: usize = 255;

/// Longest request target: two keys of 255 bytes and a cursor with two more, all percent-encoded, fit.
pub const URI_MAX_BYTES: usize = 8 * 1024;

/// Longest head of a request, target and headers together.
pub const HEAD_MAX_BYTES: usize = 32 * 1024;

/// Most headers of a request: hyper's own limit.
pub const HEADERS_MAX: usize = 100;

/// Streams of a connection on HTTP/2 at a time: as many as the standard advises to allow at least.
pub const HTTP_2_STREAMS: u32 = 100;

/// Longest head of a request that HTTP/2 reads. What is beyond [`HEAD_MAX_BYTES`] is refused with a problem, so that gRPC
/// has a status too; what is beyond this, by the library, with its status over HTTP alone.
pub const HTTP_2_HEAD_MAX_BYTES: u32 = 256 * 1024;

/// What clients may send ahead on all streams of a connection.
pub const HTTP_2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// An answer is handed to HTTP/2 in pieces of so many bytes: of each stream that its client does not read, the
/// library keeps two.
pub const HTTP_2_PIECE_BYTES: usize = 4 * 1024;

/// A problem is in the details of a status as a whole if it has no more bytes: clients bound the trailers.
pub const STATUS_DETAIL_MAX_BYTES: usize = 4 * 1024;

/// How long a client may keep its server waiting, before its connection is closed. They hold on every connection,
/// whatever protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the first byte, and between an answer and the next request: longer than the 60 s that most proxies
    /// keep an idle connection, so that the proxy closes first.
    pub idle: Duration,
    /// For the head of a request, from its first byte to its last.
    pub head: Duration,
    /// For the body of a request, from the end of its head.
    pub body: Duration,
    /// For an answer that is not read: so long nothing of it can be sent.
    pub unread: Duration,
    /// Between two pings on HTTP/2, and for the answer to one.
    pub ping: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            unread: Duration::from_secs(30),
            ping: Duration::from_secs(20),
        }
    }
}

/// A client that reads slower than this uses up [`Deadlines::unread`] little by little.
pub const READ_MIN_BYTES_PER_SECOND: u64 = 1024;

/// What the system keeps of an answer that its client has not read, for each connection; it takes twice that.
pub const UNREAD_KEPT_BY_SYSTEM_BYTES: usize = 256 * 1024;

/// A connection that has kept its server waiting for so long makes room for a new one.
pub const MAKES_ROOM_AFTER: Duration = Duration::from_millis(250);

/// How long the listener waits for room before it looks for it again.
pub const ROOM_RETRY: Duration = Duration::from_millis(20);

/// How long the rest of a refused request is read and dropped, so that the client gets to read why; on HTTP/2, what a client
/// still sends while it reads the end of its last answer.
pub const LINGER: Duration = Duration::from_secs(1);

/// How long a connection of HTTP/2 has for what it has left to send, once the server stops and its last question is
/// answered. Less than [`DRAIN`].
pub const LAST_OF_HTTP_2: Duration = Duration::from_secs(5);

/// Answers that are made and not sent yet, all together.
pub const UNSENT_BYTES: usize = 64 * 1024 * 1024;

/// Pages that are made at a time: a thousand installations take ten megabytes while they are.
pub const PAGES_AT_A_TIME: usize = 16;

/// How long a stream waits for a client that does not read, before it is given up.
pub const STREAM_STALL: Duration = Duration::from_secs(30);

/// A chunk of a stream: what is read of a list at a time, and what a client that does not read costs twice.
pub const STREAM_CHUNK_BYTES: usize = 32 * 1024;

/// Chunks of streams that are read at a time: each takes a thread, whose memory is worth many chunks.
pub const STREAM_READS_AT_A_TIME: usize = 16;

/// Chunks of a stream that wait to be sent.
pub const STREAM_CHUNKS_AHEAD: usize = 1;

/// Lines of a stream that are read at a time.
pub const STREAM_PAGE: u64 = 500;

/// How long open requests may go on once the server is told to stop.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Questions about the whole log that are answered at a time: each of them can keep every core busy.
pub const SWEEPS_AT_A_TIME: usize = 2;

/// Time between two lines of progress of such a question.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Policies that are tried side by side, at every door: each is folded for itself.
pub const POLICIES_MAX: usize = 32;

/// How long a command waits for its records.
pub const COMMAND_WAIT: Duration = Duration::from_secs(10);

/// Commands that wait at a time; others are answered with what is recorded.
pub const COMMANDS_WAITING_MAX: usize = 64;

/// How long to wait before looking for them again.
pub const COMMAND_RETRY: Duration = Duration::from_millis(25);

/// Longest body of a request.
pub const BODY_MAX_BYTES: usize = 64 * 1024;

/// Installations, and tenants, that a replay keeps folded between their records.
pub const REPLAYED_INSTALLATIONS_KEPT: usize = 200_000;

/// What subscriptions to decisions may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionBounds {
    /// Open at a time. They take no place among the requests, and a connection each.
    pub most: usize,
    /// How often one reports its cursor, whether or not anything came.
    pub heartbeat: Duration,
    /// Notices that came while a live subscription did not take what it had: beyond them it is ended.
    pub behind_notices: u64,
    /// The same in bytes.
    pub behind_bytes: u64,
    /// Notices that are kept for all live subscriptions together: more than one may be behind.
    pub kept_notices: usize,
    /// The same in bytes.
    pub kept_bytes: usize,
}

impl Default for SubscriptionBounds {
    fn default() -> Self {
        Self {
            most: 1000,
            heartbeat: Duration::from_secs(15),
            behind_notices: 10_000,
            behind_bytes: 16 * 1024 * 1024,
            kept_notices: 40_000,
            kept_bytes: 48 * 1024 * 1024,
        }
    }
}

/// What is kept of the log that subscriptions have read last to catch up.
pub const SHARED_READS_BYTES: usize = 32 * 1024 * 1024;

/// Portions that are made at a time for subscriptions that catch up, and for live ones. The threads of the runtime are for
/// questions, too: each waits until what is ready before it had its turn.
pub const PORTIONS_AT_A_TIME: usize = 8;

/// Notices in a portion of a subscription that catches up.
pub const CATCH_UP_NOTICES: usize = 500;

/// Records that are looked at for a portion of a subscription that catches up.
pub const CATCH_UP_RECORDS: usize = 2_000;

/// How long a portion of a subscription that catches up may take: others wait for the thread.
pub const CATCH_UP_TIME: Duration = Duration::from_millis(50);

/// Notices of a shard that are read at a time for all live subscriptions.
pub const TAIL_NOTICES: usize = 1_000;

/// The same in bytes.
pub const TAIL_BYTES: usize = 1024 * 1024;

/// How long the tail waits when no shard has anything new.
pub const TAIL_IDLE: Duration = Duration::from_millis(20);

/// How long the tail leaves a shard alone that does not read.
pub const TAIL_REST: Duration = Duration::from_secs(30);
