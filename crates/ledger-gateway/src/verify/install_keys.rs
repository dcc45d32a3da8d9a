//! The keys that sign Connect installs: PEM at `<server>/<key id>`, servers asked in order, kept by their id.
//!
//! A key that was found is used for as long as the process runs, whether or not its server answers. Calls that need the same
//! key wait for one request. Ids that no server knows are not asked for again for a while, and there is a limit on how many
//! are asked for in a minute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use ledger_api::access::rsa_key_from_pem;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::Refusal;
use crate::limits::{
    INSTALL_KEY_MAX_BYTES, INSTALL_KEYS_MAX, KEY_REQUESTS_A_MINUTE, KEY_REQUESTS_AT_A_TIME, KEY_TIMEOUT,
    UNKNOWN_KEY_MEMORY, UNKNOWN_KEYS_MAX,
};

/// Keys by their id.
#[derive(Debug)]
pub(crate) struct InstallKeys {
    servers: Arc<[String]>,
    agent: ureq::Agent,
    held: Mutex<Held>,
    requests: Semaphore,
}

#[derive(Debug, Default)]
struct Held {
    /// With when it was used last.
    keys: BTreeMap<String, (Arc<DecodingKey>, Instant)>,
    /// Ids that no server knew, and when.
    unknown: BTreeMap<String, Instant>,
    /// Ids that are asked for now: whoever has the lock does.
    asking: BTreeMap<String, Arc<AsyncMutex<()>>>,
    /// When keys were asked for in the last minute.
    asked: VecDeque<Instant>,
}

impl InstallKeys {
    pub(crate) fn new(servers: &[String]) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(KEY_TIMEOUT)).max_redirects(0).build();
        let servers = servers.iter().map(|server| server.trim_end_matches('/').to_owned()).collect();
        let requests = Semaphore::new(KEY_REQUESTS_AT_A_TIME);
        Self { servers, agent: agent.into(), held: Mutex::default(), requests }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of an id.
    pub(super) async fn find(&self, id: &str) -> Result<Arc<DecodingKey>, Refusal> {
        if !is_key_id(id) {
            return Err(Refusal::BadKeyId);
        }
        if let Some(known) = self.held().find(id, Instant::now()) {
            return known;
        }
        let asking = Arc::clone(self.held().asking.entry(id.to_owned()).or_default());
        let turn = asking.lock().await;
        // Whoever had the turn before may have found it.
        let known = self.held().find(id, Instant::now());
        let found = match known {
            Some(known) => known,
            None => self.ask(id).await,
        };
        drop(turn);
        let mut held = self.held();
        // The map and this call have it: nobody waits.
        if Arc::strong_count(&asking) <= 2 {
            held.asking.remove(id);
        }
        drop(held);
        found
    }

    async fn ask(&self, id: &str) -> Result<Arc<DecodingKey>, Refusal> {
        if !self.held().may_ask(Instant::now()) {
            return Err(Refusal::KeysUnavailable);
        }
        // It is never closed.
        let _request = self.requests.acquire().await;
        let (servers, agent, asked) = (Arc::clone(&self.servers), self.agent.clone(), id.to_owned());
        let found = tokio::task::spawn_blocking(move || ask(&agent, &servers, &asked)).await;
        let found = found.unwrap_or(Err(Refusal::KeysUnavailable)).map(Arc::new);
        self.held().note(id, &found, Instant::now());
        found
    }
}

impl Held {
    /// The key, or that no server has it; none: nobody knows.
    fn find(&mut self, id: &str, now: Instant) -> Option<Result<Arc<DecodingKey>, Refusal>> {
        if let Some((key, used)) = self.keys.get_mut(id) {
            *used = now;
            return Some(Ok(Arc::clone(key)));
        }
        let since = now.saturating_duration_since(*self.unknown.get(id)?);
        (since < UNKNOWN_KEY_MEMORY).then_some(Err(Refusal::UnknownKey))
    }

    fn note(&mut self, id: &str, found: &Result<Arc<DecodingKey>, Refusal>, now: Instant) {
        match found {
            Ok(key) => {
                make_room(&mut self.keys, INSTALL_KEYS_MAX, |(_, used)| *used);
                self.keys.insert(id.to_owned(), (Arc::clone(key), now));
                self.unknown.remove(id);
            }
            Err(Refusal::UnknownKey) => {
                make_room(&mut self.unknown, UNKNOWN_KEYS_MAX, |since| *since);
                self.unknown.insert(id.to_owned(), now);
            }
            Err(_) => {}
        }
    }

    fn may_ask(&mut self, now: Instant) -> bool {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= Duration::from_mins(1);
        while self.asked.front().is_some_and(is_old) {
            self.asked.pop_front();
        }
        if self.asked.len() >= KEY_REQUESTS_A_MINUTE {
            return false;
        }
        self.asked.push_back(now);
        true
    }
}

/// Removes the oldest where there are as many as may be.
fn make_room<V>(all: &mut BTreeMap<String, V>, most: usize, since: impl Fn(&V) -> Instant) {
    if all.len() >= most
        && let Some(oldest) = all.iter().min_by_key(|(_, value)| since(value)).map(|(id, _)| id.clone())
    {
        all.remove(&oldest);
    }
}

/// It becomes a part of a URL, and each key has one spelling.
fn is_key_id(id: &str) -> bool {
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    let is_name = |segment: &str| !matches!(segment, "" | ".");
    id.bytes().all(is_harmless) && !id.contains("..") && id.split('/').all(is_name)
}

/// The key from the first server that has it. A server that does not answer may have it.
fn ask(agent: &ureq::Agent, servers: &[String], id: &str) -> Result<DecodingKey, Refusal> {
    let mut refusal = Refusal::UnknownKey;
    for server in servers {
        match agent.get(format!("{server}/{id}")).call() {
            Ok(mut answer) => {
                let pem = answer.body_mut().with_config().limit(INSTALL_KEY_MAX_BYTES).read_to_string();
                if let Some(key) = pem.ok().and_then(|pem| rsa_key_from_pem(pem.as_bytes())) {
                    return Ok(key);
                }
                tracing::warn!(server, "the key server answers with what is no RSA key in PEM");
                refusal = Refusal::KeysUnavailable;
            }
            Err(ureq::Error::StatusCode(403 | 404 | 410)) => {}
            Err(error) => {
                tracing::warn!(server, %error, "the key server of Connect installs gives no answer");
                refusal = Refusal::KeysUnavailable;
            }
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_harmless_in_a_url() {
        for good in ["a", "asap/key-1_2.pem", "6f0c"] {
            assert!(is_key_id(good), "{good}");
        }
        for bad in [
            "", "../x", "a/..", "a b", "a?b", "a#b", "a%2e", "ü", "a\\b", "http://x", "/a", "a//b", "./a",
            "a/",
        ] {
            assert!(!is_key_id(bad), "{bad}");
        }
    }

    #[test]
    fn unknown_ids_are_remembered_for_a_minute_and_the_key_that_was_not_used_goes_first() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.note("a", &Err(Refusal::UnknownKey), now);
        held.note("b", &Err(Refusal::KeysUnavailable), now);
        assert!(matches!(held.find("a", now), Some(Err(Refusal::UnknownKey))));
        assert!(held.find("a", now + UNKNOWN_KEY_MEMORY).is_none() && held.find("b", now).is_none());
        let key = || Ok(Arc::new(DecodingKey::from_secret(b"any").unwrap()));
        for number in 0..INSTALL_KEYS_MAX as u64 {
            held.note(&format!("{number:03}"), &key(), now + Duration::from_secs(number));
        }
        let later = now + Duration::from_secs(1_000);
        assert!(held.find("000", later).is_some(), "it is used");
        held.note("new", &key(), later);
        assert!(held.find("001", later).is_none() && held.find("000", later).is_some());
        assert_eq!(held.keys.len(), INSTALL_KEYS_MAX);
    }

    #[test]
    fn unknown_keys_are_asked_for_so_often_a_minute() {
        let (mut held, now) = (Held::default(), Instant::now());
        assert!((0..KEY_REQUESTS_A_MINUTE).all(|_| held.may_ask(now)));
        assert!(!held.may_ask(now + Duration::from_secs(59)));
        assert!(held.may_ask(now + Duration::from_mins(1)));
    }
}
