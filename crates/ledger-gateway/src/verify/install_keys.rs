//! The keys that sign Connect installs: PEM at `<server>/<key id>`, servers asked in order, held by their id.
//!
//! A key that was found is used for as long as the process runs, whether or not its server answers. Once a signature by it was
//! good it is kept in a file too, so that the next process has it; that one asks its server once more, if it answers. Calls that
//! need the same key wait for one request. Ids that no server knows are not asked for again for a while, and there is a limit on
//! how many are asked for in a minute.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use ledger_api::access::rsa_key_from_pem;
use ledger_store::replace_file;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tracing::warn;

use super::Refusal;
use crate::limits::{
    INSTALL_KEY_MAX_BYTES, INSTALL_KEYS_MAX, KEY_REQUESTS_A_MINUTE, KEY_REQUESTS_AT_A_TIME, KEY_TIMEOUT,
    UNKNOWN_KEY_MEMORY, UNKNOWN_KEYS_MAX,
};

/// Keys by their id. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct InstallKeys(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    servers: Vec<String>,
    agent: ureq::Agent,
    held: Mutex<Held>,
    requests: Semaphore,
    /// Where they are kept; whoever has the lock writes.
    file: Mutex<PathBuf>,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<String, HeldKey>,
    /// Ids that no server knew, and when.
    unknown: BTreeMap<String, Instant>,
    /// Ids that are asked for now: whoever has the lock does.
    asking: BTreeMap<String, Arc<AsyncMutex<()>>>,
    /// When keys were asked for in the last minute.
    asked: VecDeque<Instant>,
}

#[derive(Debug, Clone)]
struct HeldKey {
    key: Arc<DecodingKey>,
    pem: String,
    used: Instant,
    /// A signature by it was good.
    is_believed: bool,
    /// It is from the file, and its server was not asked since.
    is_of_file: bool,
}

/// What is kept: the keys of these servers.
#[derive(Default, Serialize, Deserialize)]
struct KeptKeys {
    servers: Vec<String>,
    keys: BTreeMap<String, String>,
}

impl InstallKeys {
    /// The keys of these servers, with those that are kept in this file.
    pub(crate) fn new(servers: &[String], file: PathBuf) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(KEY_TIMEOUT)).max_redirects(0).build();
        let servers: Vec<String> =
            servers.iter().map(|server| server.trim_end_matches('/').to_owned()).collect();
        let held = Held { keys: read(&file, &servers), ..Held::default() };
        let requests = Semaphore::new(KEY_REQUESTS_AT_A_TIME);
        Self(Arc::new(Keys {
            servers,
            agent: agent.into(),
            held: Mutex::new(held),
            requests,
            file: Mutex::new(file),
        }))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// A signature by this key was good: it is kept.
    pub(super) fn believe(&self, id: &str) {
        let is_news = match self.held().keys.get_mut(id) {
            Some(held) if !held.is_believed => {
                held.is_believed = true;
                true
            }
            _ => false,
        };
        if is_news {
            self.keep();
        }
    }

    async fn ask(&self, id: &str) -> Result<Arc<DecodingKey>, Refusal> {
        let is_kept = self.held().keys.contains_key(id);
        if !is_kept && !self.held().may_ask(Instant::now()) {
            return Err(Refusal::KeysUnavailable);
        }
        // It is never closed.
        let _request = self.0.requests.acquire().await;
        let (keys, asked) = (Arc::clone(&self.0), id.to_owned());
        let found = tokio::task::spawn_blocking(move || ask(&keys.agent, &keys.servers, &asked)).await;
        let found = self.held().note(id, found.unwrap_or(Err(Refusal::KeysUnavailable)), Instant::now());
        if is_kept && found.is_err() {
            self.keep();
        }
        found
    }

    /// Writes the file, beside the calls.
    fn keep(&self) {
        let keys = self.clone();
        tokio::task::spawn_blocking(move || {
            let file = keys.0.file.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = KeptKeys { servers: keys.0.servers.clone(), keys: keys.held().believed() };
            let write = |out: &mut dyn io::Write| {
                out.write_all(&ledger_record::json::to_vec(&kept).map_err(io::Error::other)?)
            };
            if let Err(error) = replace_file::<io::Error>(&file, 0o644, write) {
                warn!(file = %file.display(), %error, "keys of Connect installs are not kept for the next start");
            }
        });
    }
}

/// The keys that are kept of these servers. A file that cannot be read is as none: the servers have the keys.
fn read(file: &Path, servers: &[String]) -> BTreeMap<String, HeldKey> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            warn!(file = %file.display(), %error, "kept keys of Connect installs cannot be read");
            return BTreeMap::new();
        }
    };
    let kept: KeptKeys = serde_json::from_slice(&text).unwrap_or_default();
    if kept.servers != servers {
        return BTreeMap::new();
    }
    let used = Instant::now();
    let held = |(id, pem): (String, String)| {
        let key = Arc::new(rsa_key_from_pem(pem.as_bytes()).filter(|_| is_key_id(&id))?);
        Some((id, HeldKey { key, pem, used, is_believed: true, is_of_file: true }))
    };
    kept.keys.into_iter().filter_map(held).take(INSTALL_KEYS_MAX).collect()
}

impl Held {
    /// The key, or that no server has it; none: its servers are to be asked.
    fn find(&mut self, id: &str, now: Instant) -> Option<Result<Arc<DecodingKey>, Refusal>> {
        if let Some(held) = self.keys.get_mut(id) {
            held.used = now;
            return (!held.is_of_file).then(|| Ok(Arc::clone(&held.key)));
        }
        let since = now.saturating_duration_since(*self.unknown.get(id)?);
        (since < UNKNOWN_KEY_MEMORY).then_some(Err(Refusal::UnknownKey))
    }

    /// Takes note of what the servers answered, and says what is right then.
    fn note(
        &mut self,
        id: &str,
        found: Result<(DecodingKey, String), Refusal>,
        now: Instant,
    ) -> Result<Arc<DecodingKey>, Refusal> {
        match found {
            Ok((key, pem)) => {
                let is_believed =
                    self.keys.remove(id).is_some_and(|held| held.is_believed && held.pem == pem);
                make_room(&mut self.keys, INSTALL_KEYS_MAX, |held| (held.is_believed, held.used));
                let key = Arc::new(key);
                let held = HeldKey { key: Arc::clone(&key), pem, used: now, is_believed, is_of_file: false };
                self.keys.insert(id.to_owned(), held);
                self.unknown.remove(id);
                Ok(key)
            }
            Err(Refusal::UnknownKey) => {
                self.keys.remove(id);
                make_room(&mut self.unknown, UNKNOWN_KEYS_MAX, |since| *since);
                self.unknown.insert(id.to_owned(), now);
                Err(Refusal::UnknownKey)
            }
            // What is kept is used on while its server is away.
            Err(refusal) => self.keys.get_mut(id).ok_or(refusal).map(|held| {
                held.is_of_file = false;
                Arc::clone(&held.key)
            }),
        }
    }

    fn may_ask(&mut self, now: Instant) -> bool {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= Duration::from_mins(1);
        while self.asked.front().is_some_and(is_old) {
            self.asked.pop_front();
        }
        let may = self.asked.len() < KEY_REQUESTS_A_MINUTE;
        if may {
            self.asked.push_back(now);
        }
        may
    }

    fn believed(&self) -> BTreeMap<String, String> {
        let believed = self.keys.iter().filter(|(_, held)| held.is_believed);
        believed.map(|(id, held)| (id.clone(), held.pem.clone())).collect()
    }
}

/// Removes the oldest where there are as many as may be.
fn make_room<V, O: Ord>(all: &mut BTreeMap<String, V>, most: usize, since: impl Fn(&V) -> O) {
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
fn ask(agent: &ureq::Agent, servers: &[String], id: &str) -> Result<(DecodingKey, String), Refusal> {
    let mut refusal = Refusal::UnknownKey;
    for server in servers {
        match agent.get(format!("{server}/{id}")).call() {
            Ok(mut answer) => {
                let pem = answer.body_mut().with_config().limit(INSTALL_KEY_MAX_BYTES).read_to_string();
                if let Some(found) = pem.ok().and_then(|pem| Some((rsa_key_from_pem(pem.as_bytes())?, pem))) {
                    return Ok(found);
                }
                warn!(server, "the key server answers with what is no RSA key in PEM");
                refusal = Refusal::KeysUnavailable;
            }
            Err(ureq::Error::StatusCode(403 | 404 | 410)) => {}
            Err(error) => {
                warn!(server, %error, "the key server of Connect installs gives no answer");
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
        let _ = held.note("a", Err(Refusal::UnknownKey), now);
        let _ = held.note("b", Err(Refusal::KeysUnavailable), now);
        assert!(matches!(held.find("a", now), Some(Err(Refusal::UnknownKey))));
        assert!(held.find("a", now + UNKNOWN_KEY_MEMORY).is_none() && held.find("b", now).is_none());
        let key = || Ok((DecodingKey::from_secret(b"any").unwrap(), String::new()));
        for number in 0..INSTALL_KEYS_MAX as u64 {
            let _ = held.note(&format!("{number:03}"), key(), now + Duration::from_secs(number));
        }
        held.keys.get_mut("001").unwrap().is_believed = true;
        let later = now + Duration::from_secs(1_000);
        assert!(held.find("000", later).is_some(), "it is used");
        let _ = held.note("new", key(), later);
        assert!(held.find("002", later).is_none() && held.find("000", later).is_some());
        assert!(held.find("001", later).is_some(), "a signature by it was good");
        assert_eq!(held.keys.len(), INSTALL_KEYS_MAX);
    }

    #[test]
    fn keys_are_asked_for_so_often_a_minute() {
        let (mut held, now) = (Held::default(), Instant::now());
        assert!((0..KEY_REQUESTS_A_MINUTE).all(|_| held.may_ask(now)));
        assert!(!held.may_ask(now + Duration::from_secs(59)));
        assert!(held.may_ask(now + Duration::from_mins(1)));
    }
}
