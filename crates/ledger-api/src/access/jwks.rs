//! The keys of an issuer: a JWKS from a file or an https URL, by key id.
//!
//! A key id that is not known has the set read again, at most once a minute, and so has time; a set that cannot be read, or
//! is none, leaves the one before in place. Reading waits for a disk or a network, on a thread that may; looking a key up
//! never waits. In use: [`KeySet::find`], where it finds nothing [`KeySet::read_again`], and [`KeySet::find`] once more.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Semaphore;
use ureq::tls::TlsConfig;

use super::loopback::is_loopback;
use crate::authorities::{CertificatesError, client_tls};
use crate::limits::{JWKS_KEYS_MAX, JWKS_MAX_BYTES, JWKS_READ_TIMEOUT, JWKS_REREAD_AFTER, JWKS_WAITING_MAX};

/// Where a set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeySource {
    File(PathBuf),
    /// With the authorities that its server is checked by, where they are no public ones.
    Url(String, Option<PathBuf>),
}

/// Why a set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The file.
    #[error("{} could not be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The URL.
    #[error("{url} could not be read")]
    Url {
        /// Which.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// Keys over a connection that anyone can change.
    #[error("{url} is no https URL; only a loopback address may be read without TLS")]
    Insecure {
        /// Which.
        url: String,
    },
    /// The authorities of its server.
    #[error("the authorities of {url} cannot be used")]
    Authorities {
        /// Of which URL.
        url: String,
        /// Why.
        #[source]
        source: CertificatesError,
    },
    /// Authorities without a server.
    #[error("{place} is no https URL, so no authority checks who serves it")]
    NoServer {
        /// Where the keys are.
        place: String,
    },
    /// The content.
    #[error("{from} has no JWKS that can be used: {reason}")]
    Content {
        /// Which.
        from: String,
        /// Why.
        reason: String,
    },
}

/// A key that checks signatures of one algorithm.
#[derive(Debug)]
struct IssuerKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

/// The keys of an issuer.
#[derive(Debug)]
pub struct KeySet {
    source: KeySource,
    keys: RwLock<Vec<IssuerKey>>,
    /// When it was read last, or tried.
    read_at: Mutex<Option<Instant>>,
    /// How often it was read.
    readings: AtomicU64,
    /// Held while it is read because of a key that is not known.
    reading: tokio::sync::Mutex<()>,
    waiting: Semaphore,
}

fn warn(error: &KeySetError) {
    let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(%error, reason, "the keys of an issuer stay as they were");
}

impl KeySet {
    /// The set at a path or a URL. A file has to be there; a URL that does not answer is read again later.
    pub fn new(place: &str) -> Result<Self, KeySetError> {
        Self::by_authorities(place, None)
    }

    /// The same; the server of a URL is checked by the authorities of a file.
    pub fn by_authorities(place: &str, authorities: Option<&Path>) -> Result<Self, KeySetError> {
        let set = Self {
            source: source_of(place, authorities)?,
            keys: RwLock::default(),
            read_at: Mutex::default(),
            readings: AtomicU64::default(),
            reading: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(JWKS_WAITING_MAX),
        };
        match set.read() {
            Err(error @ KeySetError::Url { .. }) => warn(&error),
            read => read?,
        }
        Ok(set)
    }

    /// Whether what is on this machine of a set is there and right: a file, or the authorities of the server of a URL, which is not
    /// asked.
    pub fn check(place: &str, authorities: Option<&Path>) -> Result<(), KeySetError> {
        match source_of(place, authorities)? {
            KeySource::File(_) => Self::new(place).map(drop),
            KeySource::Url(url, authorities) => tls_for(&url, authorities.as_deref()).map(drop),
        }
    }

    /// Whether keys may be read from this place. Whether they are there shows only when they are read.
    pub fn check_place(place: &str, authorities: Option<&Path>) -> Result<(), KeySetError> {
        source_of(place, authorities).map(drop)
    }

    /// The key for a token's header; none if it is not known.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut fitting =
            keys.iter().filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        let found = fitting.next()?;
        // A token that names no key is taken only where there is one it can mean.
        if id.is_none() && fitting.next().is_some() { None } else { Some(Arc::clone(&found.key)) }
    }

    /// How often it was read: what was found by an earlier reading may be gone.
    pub fn readings(&self) -> u64 {
        self.readings.load(Ordering::Acquire)
    }

    /// Reads it again, as a key is not known, unless that was done in the last minute. Whoever asks while it is read waits
    /// for the same reading. Afterwards the key is looked for once more, whatever came of it.
    pub async fn read_again(self: &Arc<Self>) {
        // Beyond so many nobody waits: an issuer that does not answer must not hold every connection.
        let Ok(_waits) = self.waiting.try_acquire() else { return };
        let _reads = self.reading.lock().await;
        if self.is_older_than(JWKS_REREAD_AFTER) {
            self.read_aside().await;
        }
    }

    /// Reads it again if that is so long ago, so that a key that its issuer took back is not taken for ever.
    pub async fn refresh(self: &Arc<Self>, after: Duration) {
        if self.is_older_than(after) {
            self.read_aside().await;
        }
    }

    async fn read_aside(self: &Arc<Self>) {
        let set = Arc::clone(self);
        let read = move || set.read().unwrap_or_else(|error| warn(&error));
        // A panic was reported where it happened; the keys are those from before.
        let _ = tokio::task::spawn_blocking(read).await;
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.last_read().is_none_or(|at| at.elapsed() >= age)
    }

    fn last_read(&self) -> MutexGuard<'_, Option<Instant>> {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<(), KeySetError> {
        *self.last_read() = Some(Instant::now());
        let (from, text) = match &self.source {
            KeySource::File(path) => (path.display().to_string(), read_file(path)?),
            KeySource::Url(url, authorities) => (url.clone(), read_url(url, authorities.as_deref())?),
        };
        let content = |reason: String| KeySetError::Content { from: from.clone(), reason };
        let set: JwkSet = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        if set.keys.len() > JWKS_KEYS_MAX {
            return Err(content(format!("it has {} keys, {JWKS_KEYS_MAX} are too many", set.keys.len())));
        }
        let keys: Vec<IssuerKey> = set.keys.iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err(content("it has no key for RS256, ES256 or EdDSA".to_owned()));
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.readings.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

fn source_of(place: &str, authorities: Option<&Path>) -> Result<KeySource, KeySetError> {
    if authorities.is_some() && !place.starts_with("https://") {
        return Err(KeySetError::NoServer { place: place.to_owned() });
    }
    let Some((scheme, rest)) = place.split_once("://") else { return Ok(KeySource::File(place.into())) };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if scheme == "https" || (scheme == "http" && is_loopback(host)) {
        return Ok(KeySource::Url(place.to_owned(), authorities.map(Path::to_owned)));
    }
    Err(KeySetError::Insecure { url: place.to_owned() })
}

fn read_file(path: &Path) -> Result<String, KeySetError> {
    let read = std::fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(JWKS_MAX_BYTES).read_to_string(&mut text).map(|_| text)
    });
    read.map_err(|source| KeySetError::File { path: path.to_owned(), source })
}

fn tls_for(url: &str, authorities: Option<&Path>) -> Result<TlsConfig, KeySetError> {
    client_tls(authorities).map_err(|source| KeySetError::Authorities { url: url.to_owned(), source })
}

/// The file of authorities is read each time, so that it can be replaced.
fn read_url(url: &str, authorities: Option<&Path>) -> Result<String, KeySetError> {
    let tls = tls_for(url, authorities)?;
    let config = ureq::Agent::config_builder().timeout_global(Some(JWKS_READ_TIMEOUT)).max_redirects(0);
    let agent: ureq::Agent = config.tls_config(tls).build().into();
    let failed = |source| KeySetError::Url { url: url.to_owned(), source: Box::new(source) };
    let mut answer = agent.get(url).header("accept", "application/json").call().map_err(failed)?;
    answer.body_mut().with_config().limit(JWKS_MAX_BYTES).read_to_string().map_err(failed)
}

/// A key that can check signatures; others are left aside, symmetric ones always.
fn usable(jwk: &Jwk) -> Option<IssuerKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let common = &jwk.common;
    let is_to_sign = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let is_of_it = common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    if !is_to_sign || !is_of_it {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(IssuerKey { id: common.key_id.clone(), algorithm, key: Arc::new(key) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;
    use crate::limits::JWKS_REFRESH_AFTER;

    /// Of RFC 7517 and RFC 8037.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","use":"sig","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn set(keys: &[&str]) -> String {
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    fn has(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> bool {
        set.find(id, algorithm).is_some()
    }

    /// As if a minute had gone by.
    fn let_a_minute_pass(set: &KeySet) {
        *set.last_read() = Instant::now().checked_sub(JWKS_REREAD_AFTER);
    }

    #[tokio::test]
    async fn a_set_is_read_again_at_most_once_a_minute_and_the_old_one_serves_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write(&set(&[P256]));
        let keys = Arc::new(KeySet::new(path.to_str().unwrap()).unwrap());
        assert!(has(&keys, Some("a"), Algorithm::ES256) && has(&keys, None, Algorithm::ES256));
        assert!(!has(&keys, Some("a"), Algorithm::EdDSA) && !has(&keys, Some("b"), Algorithm::EdDSA));
        write(&set(&[P256, ED25519]));
        keys.read_again().await;
        assert!(!has(&keys, Some("b"), Algorithm::EdDSA), "it was just read");
        let_a_minute_pass(&keys);
        keys.read_again().await;
        assert!(has(&keys, Some("b"), Algorithm::EdDSA) && keys.readings() == 2);
        for broken in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#] {
            write(broken);
            let_a_minute_pass(&keys);
            keys.read_again().await;
            assert!(has(&keys, Some("a"), Algorithm::ES256) && keys.readings() == 2, "{broken}");
            assert!(!keys.is_older_than(JWKS_REREAD_AFTER), "{broken}: not before another minute");
        }
        let another = P256.replace(r#""a""#, r#""c""#);
        write(&set(&[P256, &another]));
        keys.refresh(JWKS_REFRESH_AFTER).await;
        assert_eq!(keys.readings(), 2, "a minute is not long ago");
        *keys.last_read() = Instant::now().checked_sub(JWKS_REFRESH_AFTER);
        keys.refresh(JWKS_REFRESH_AFTER).await;
        assert!(has(&keys, Some("c"), Algorithm::ES256) && !has(&keys, Some("b"), Algorithm::EdDSA));
        assert!(!has(&keys, None, Algorithm::ES256), "it could mean either");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_url_that_does_not_answer_at_the_start_is_read_later_and_once_for_all_who_wait() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let keys = Arc::new(KeySet::new(&format!("http://{address}/keys")).unwrap());
        assert!(!has(&keys, Some("a"), Algorithm::ES256));
        let server = TcpListener::bind(address).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut client, _) = server.accept().unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            let body = set(&[P256]);
            write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            drop(client);
            server.set_nonblocking(true).unwrap();
            assert!(server.accept().is_err(), "it is asked once");
        });
        let_a_minute_pass(&keys);
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let keys = Arc::clone(&keys);
                tokio::spawn(async move {
                    keys.read_again().await;
                    has(&keys, Some("a"), Algorithm::ES256)
                })
            })
            .collect();
        for found in waiting {
            assert!(found.await.unwrap());
        }
        answering.join().unwrap();
    }

    #[test]
    fn keys_are_read_over_tls_or_from_this_machine() {
        let source = |place: &str| source_of(place, None);
        assert_eq!(source("keys.json").unwrap(), KeySource::File("keys.json".into()));
        for url in ["https://a.example/k", "http://127.0.0.1:80/k", "http://localhost/k", "http://[::1]:1/k"]
        {
            assert_eq!(source(url).unwrap(), KeySource::Url(url.to_owned(), None));
        }
        for url in [
            "http://a.example/k",
            "http://localhost.a.example/k",
            "ftp://a",
            "http://127.0.0.1.a/",
            "http://127.0.0.1:1@a.example/",
        ] {
            assert!(source(url).unwrap_err().to_string().contains("no https URL"), "{url}");
        }
    }
}
