//! Connections: how many are open, and which of them makes room for the next.
//!
//! A connection *waits* while its server can do nothing before its client sends something or reads something. There
//! are as many connections as descriptors are set aside for ([`Options::connections`](super::Options)). When all are
//! taken and a client comes, the one that has waited longest is closed: idle connections, bodies that do not come
//! and answers that are not read never keep a probe from its answer. A connection whose question is being answered
//! makes no room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::metric;
use crate::limits::{MAKES_ROOM_AFTER, ROOM_RETRY};

/// What one connection does, as its socket, the bodies on it and the listener report it.
#[derive(Debug)]
pub(super) struct Activity {
    now: Mutex<ConnectionState>,
    is_closing: AtomicBool,
    closing: Notify,
    idle: Notify,
}

#[derive(Debug)]
struct ConnectionState {
    /// Requests whose answer is not handed over.
    requests: usize,
    /// Those of them that wait for their client.
    waiting: usize,
    /// Nothing can be written, as the client does not read.
    is_unread: bool,
    /// Since when the client keeps the server waiting.
    waits_since: Option<Instant>,
    /// A part of a head is there.
    has_begun: bool,
    /// Whoever reads the socket, to look at its deadline anew when the last request ends.
    reader: Option<Waker>,
}

/// A request, until its answer is handed over.
#[derive(Debug)]
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    is_waiting: AtomicBool,
}

/// What the client of a connection without requests is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwaitedInput {
    /// Its next request.
    Request,
    /// The rest of a head.
    Head,
}

impl Activity {
    pub(super) fn new() -> Self {
        let now = ConnectionState {
            requests: 0,
            waiting: 0,
            is_unread: false,
            waits_since: Some(Instant::now()),
            has_begun: false,
            reader: None,
        };
        let (closing, idle) = (Notify::new(), Notify::new());
        Self { now: Mutex::new(now), is_closing: AtomicBool::new(false), closing, idle }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_request(self: &Arc<Self>) -> Arc<OpenRequest> {
        let mut now = self.lock();
        now.requests += 1;
        now.has_begun = false;
        now.settle();
        drop(now);
        Arc::new(OpenRequest { activity: Arc::clone(self), is_waiting: AtomicBool::new(false) })
    }

    /// Whether the client has to read before anything more can be written.
    pub(super) fn set_unread(&self, is_unread: bool) {
        let mut now = self.lock();
        now.is_unread = is_unread;
        now.settle();
    }

    /// Bytes came. Those that come while a request is open are its body, or wait for their turn.
    pub(super) fn heard(&self) {
        let mut now = self.lock();
        if now.requests == 0 && !now.has_begun {
            (now.has_begun, now.waits_since) = (true, Some(Instant::now()));
        }
    }

    /// What is waited for, and since when; none while a request is open. Then whoever reads is woken at its end: hyper
    /// does not read again by itself once a read was in vain.
    pub(super) fn awaited(&self, reader: &Waker) -> Option<(AwaitedInput, Instant)> {
        let mut now = self.lock();
        if now.requests > 0 {
            if now.reader.as_ref().is_none_or(|before| !before.will_wake(reader)) {
                now.reader = Some(reader.clone());
            }
            return None;
        }
        let awaited = if now.has_begun { AwaitedInput::Head } else { AwaitedInput::Request };
        now.waits_since.map(|since| (awaited, since))
    }

    /// The head that began is not waited for: what came is no request.
    pub(super) fn forget_head(&self) {
        self.lock().has_begun = false;
    }

    pub(super) fn has_requests(&self) -> bool {
        self.lock().requests > 0
    }

    /// Completes when the connection is to make room.
    pub(super) async fn closed(&self) {
        self.closing.notified().await;
    }

    /// The connection has had no request for too long.
    pub(super) fn report_idle(&self) {
        self.idle.notify_one();
    }

    /// Completes when that is reported.
    pub(super) async fn idled(&self) {
        self.idle.notified().await;
    }
}

impl ConnectionState {
    /// The client is waited for while every request waits for it.
    fn settle(&mut self) {
        if self.is_unread || self.waiting == self.requests {
            self.waits_since.get_or_insert_with(Instant::now);
        } else {
            self.waits_since = None;
        }
    }
}

impl OpenRequest {
    /// Whether the client has to send or to read before this request can go on.
    pub(super) fn set_waiting(&self, is_waiting: bool) {
        if self.is_waiting.swap(is_waiting, Ordering::AcqRel) == is_waiting {
            return;
        }
        let mut now = self.activity.lock();
        now.waiting = if is_waiting { now.waiting + 1 } else { now.waiting - 1 };
        now.settle();
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.set_waiting(false);
        let mut now = self.activity.lock();
        now.requests -= 1;
        now.settle();
        if now.requests == 0 {
            now.waits_since = Some(Instant::now());
            if let Some(reader) = now.reader.take() {
                reader.wake();
            }
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    open: Mutex<OpenConnection>,
    /// Those to the listener for probes are not counted.
    are_counted: bool,
}

#[derive(Debug, Default)]
struct OpenConnection {
    next: u64,
    all: BTreeMap<u64, Arc<Activity>>,
}

/// A connection's place among the others.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    connections: Arc<Connections>,
    number: u64,
    pub(super) activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(most: usize, are_counted: bool) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), open: Mutex::default(), are_counted }
    }

    fn report(&self, open: usize) {
        if self.are_counted {
            metric::set_connections(open);
        }
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnection> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection that has come; another one may have to make room for it.
    pub(super) async fn admit(self: &Arc<Self>) -> Option<ConnectionPlace> {
        let mut permit = Arc::clone(&self.places).try_acquire_owned().ok();
        while permit.is_none() {
            self.make_room();
            let free = tokio::time::timeout(ROOM_RETRY, Arc::clone(&self.places).acquire_owned()).await;
            // The semaphore is never closed.
            permit = free.ok().transpose().ok()?;
        }
        let activity = Arc::new(Activity::new());
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.all.insert(number, Arc::clone(&activity));
        self.report(open.all.len());
        Some(ConnectionPlace { connections: Arc::clone(self), number, activity, _permit: permit? })
    }

    /// Closes the connection that has waited longest for its client.
    fn make_room(&self) {
        let open = self.lock();
        let waiting = open.all.values().filter(|activity| !activity.is_closing.load(Ordering::Acquire));
        let waiting = waiting.filter_map(|activity| Some((activity.lock().waits_since?, activity)));
        if let Some((since, activity)) = waiting.min_by_key(|(since, _)| *since)
            && since.elapsed() >= MAKES_ROOM_AFTER
        {
            metric::closed(metric::Why::Room);
            activity.is_closing.store(true, Ordering::Release);
            activity.closing.notify_one();
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all.remove(&self.number);
        self.connections.report(open.all.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_waits_for_its_client_except_while_a_question_is_answered() {
        let activity = Arc::new(Activity::new());
        let awaited = |activity: &Activity| activity.awaited(Waker::noop()).map(|(awaited, _)| awaited);
        assert_eq!(awaited(&activity), Some(AwaitedInput::Request));
        activity.heard();
        assert_eq!(awaited(&activity), Some(AwaitedInput::Head));
        let request = activity.begin_request();
        activity.heard();
        assert_eq!((awaited(&activity), activity.lock().waits_since), (None, None));
        request.set_waiting(true);
        assert!(activity.lock().waits_since.is_some(), "the body is to come");
        let other = activity.begin_request();
        assert!(activity.lock().waits_since.is_none(), "another one is being answered");
        activity.set_unread(true);
        assert!(activity.lock().waits_since.is_some(), "its answer cannot be sent");
        activity.set_unread(false);
        request.set_waiting(false);
        assert!(activity.lock().waits_since.is_none(), "it came");
        drop((request, other));
        assert_eq!(awaited(&activity), Some(AwaitedInput::Request));
    }
}
