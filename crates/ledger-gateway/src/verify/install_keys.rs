//! The keys that sign Connect installs: PEM at `<server>/<key id>`, servers asked in order, kept by their id.
//!
//! A key that was found is used for as long as the process runs, whether or not its server answers. Ids that no server
//! knows cost a request each, so there is a limit on how many are asked for in a minute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use ledger_api::access::rsa_key_from_pem;

use super::Refusal;
use crate::limits::{INSTALL_KEY_MAX_BYTES, INSTALL_KEYS_MAX, KEY_REQUESTS_A_MINUTE, KEY_TIMEOUT};

/// Keys by their id.
#[derive(Debug)]
pub(crate) struct InstallKeys {
    servers: Arc<[String]>,
    agent: ureq::Agent,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<String, Arc<DecodingKey>>,
    /// When keys were asked for in the last minute.
    asked: VecDeque<Instant>,
}

impl InstallKeys {
    pub(crate) fn new(servers: &[String]) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(KEY_TIMEOUT)).max_redirects(0).build();
        let servers = servers.iter().map(|server| server.trim_end_matches('/').to_owned()).collect();
        Self { servers, agent: agent.into(), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of an id.
    pub(super) async fn find(&self, id: &str) -> Result<Arc<DecodingKey>, Refusal> {
        if !is_key_id(id) {
            return Err(Refusal::BadKeyId);
        }
        if let Some(key) = self.held().keys.get(id) {
            return Ok(Arc::clone(key));
        }
        if !self.held().may_ask(Instant::now()) {
            return Err(Refusal::KeysUnavailable);
        }
        let (servers, agent, asked) = (Arc::clone(&self.servers), self.agent.clone(), id.to_owned());
        let found = tokio::task::spawn_blocking(move || ask(&agent, &servers, &asked)).await;
        let key = Arc::new(found.unwrap_or(Err(Refusal::KeysUnavailable))?);
        let mut held = self.held();
        if held.keys.len() >= INSTALL_KEYS_MAX {
            held.keys.pop_first();
        }
        held.keys.insert(id.to_owned(), Arc::clone(&key));
        Ok(key)
    }
}

impl Held {
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

/// It becomes a part of a URL.
fn is_key_id(id: &str) -> bool {
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    !id.is_empty() && id.bytes().all(is_harmless) && !id.contains("..")
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
        for bad in ["", "../x", "a/..", "a b", "a?b", "a#b", "a%2e", "ü", "a\\b", "http://x"] {
            assert!(!is_key_id(bad), "{bad}");
        }
    }

    #[test]
    fn unknown_keys_are_asked_for_so_often_a_minute() {
        let (mut held, now) = (Held::default(), Instant::now());
        assert!((0..KEY_REQUESTS_A_MINUTE).all(|_| held.may_ask(now)));
        assert!(!held.may_ask(now + Duration::from_secs(59)));
        assert!(held.may_ask(now + Duration::from_mins(1)));
    }
}
