//! A prefix of a bucket: objects are listed, put, created, read and removed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger_api::client_tls;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::error::StoreError;
use crate::cli::STORE_SCHEME;

/// A list of a thousand objects takes a tenth of it.
const LIST_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Longest text of a refusal that is looked at.
const REFUSAL_MAX_BYTES: u64 = 64 * 1024;

/// How long a signed request is good: clocks differ, and a large file takes its time.
const SIGNED_FOR: Duration = Duration::from_hours(1);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// For an answer to begin, once a file went over.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);

/// For a file to go over, or to come.
const BODY_TIMEOUT: Duration = Duration::from_hours(1);

/// Tries of a request that fails by the network or within the store, with a longer pause before each.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Where objects are.
pub(crate) struct Store {
    bucket: Bucket,
    credentials: Credentials,
    /// Empty, or with a slash at its end.
    prefix: String,
    agent: Agent,
    /// `s3://BUCKET/PREFIX`.
    pub(super) shown: String,
}

impl Store {
    /// The store of `s3://BUCKET/PREFIX`. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` have the
    /// credentials, `AWS_REGION` the region; `AWS_ENDPOINT_URL` is the address of a store that is not Amazon's,
    /// `AWS_CA_BUNDLE` a file with its authority.
    pub(crate) fn open(place: &str, environment: &BTreeMap<String, String>) -> Result<Self, StoreError> {
        let invalid = |why: String| StoreError::Place { place: place.to_owned(), why };
        let rest = place.strip_prefix(STORE_SCHEME).unwrap_or_default();
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if name.is_empty() || prefix.split('/').any(|part| [".", ".."].contains(&part)) {
            return Err(invalid(format!("expected {STORE_SCHEME}BUCKET/PREFIX")));
        }
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let needed = |name: &'static str| set(name).ok_or(StoreError::NoCredentials(name));
        let (key, secret) = (needed("AWS_ACCESS_KEY_ID")?, needed("AWS_SECRET_ACCESS_KEY")?);
        let credentials = match set("AWS_SESSION_TOKEN") {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        };
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        let region = region.map_or_else(|| "us-east-1".to_owned(), Clone::clone);
        let given = set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL"));
        let is_host_name = given.is_none() && !name.contains('.');
        let style = if is_host_name { UrlStyle::VirtualHost } else { UrlStyle::Path };
        let endpoint = given.map_or_else(|| format!("https://s3.{region}.amazonaws.com"), Clone::clone);
        let endpoint = endpoint.parse().map_err(|error| invalid(format!("AWS_ENDPOINT_URL: {error}")))?;
        let bucket = Bucket::new(endpoint, style, name.to_owned(), region);
        let bucket = bucket.map_err(|error| invalid(error.to_string()))?;
        let tls = client_tls(set("AWS_CA_BUNDLE").map(Path::new));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_body(Some(BODY_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_recv_body(Some(BODY_TIMEOUT))
            .tls_config(tls.map_err(|error| invalid(error.to_string()))?);
        let shown = format!("{STORE_SCHEME}{name}/{prefix}").trim_end_matches('/').to_owned();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket, credentials, prefix, agent: config.build().into(), shown })
    }

    fn key(&self, object: &str) -> String {
        format!("{}{object}", self.prefix)
    }

    /// The objects under a name, without it, and their sizes.
    pub(super) fn list(&self, under: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let prefix = self.key(under);
        let (mut all, mut token) = (BTreeMap::new(), None);
        loop {
            let request = || {
                let mut list = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
                list.with_prefix(prefix.clone());
                if let Some(token) = &token {
                    list.with_continuation_token(String::clone(token));
                }
                self.agent.get(list.sign(SIGNED_FOR).as_str()).call()
            };
            let mut page = self.answered(under, request)?;
            let text = page.body_mut().with_config().limit(LIST_MAX_BYTES).read_to_string();
            let text = text.map_err(|source| self.unreachable(under, source))?;
            let unread = |why: String| StoreError::List { store: self.shown.clone(), why };
            let page = ListObjectsV2::parse_response(&text).map_err(|error| unread(error.to_string()))?;
            for object in page.contents {
                if let Some(name) = object.key.strip_prefix(&prefix) {
                    all.insert(name.to_owned(), object.size.unwrap_or(0));
                }
            }
            match page.next_continuation_token {
                Some(next) if Some(&next) != token.as_ref() => token = Some(next),
                Some(_) => return Err(unread("it has no end".to_owned())),
                None => return Ok(all),
            }
        }
    }

    /// Puts a file. The store compares it with its SHA-256.
    pub(super) fn put(&self, object: &str, path: &Path, sha256: &[u8]) -> Result<(), StoreError> {
        let (key, checksum) = (self.key(object), STANDARD.encode(sha256));
        let failed = |source| StoreError::Io { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        // Opened before: what is wrong here is not the store's.
        File::open(path).map_err(failed)?;
        self.answered(object, || {
            let mut put = self.bucket.put_object(Some(&self.credentials), &key);
            put.headers_mut().insert("x-amz-checksum-sha256", checksum.clone());
            let file = File::open(path).map_err(ureq::Error::Io)?;
            let request = self.agent.put(put.sign(SIGNED_FOR).as_str());
            request.header("x-amz-checksum-sha256", &checksum).header("content-length", size).send(file)
        })?;
        Ok(())
    }

    /// Creates an object; false if there is one.
    pub(super) fn create(&self, object: &str, text: &[u8]) -> Result<bool, StoreError> {
        let key = self.key(object);
        let created = self.answered(object, || {
            let put = self.bucket.put_object(Some(&self.credentials), &key);
            self.agent.put(put.sign(SIGNED_FOR).as_str()).header("if-none-match", "*").send(text)
        });
        match created {
            Ok(_) => Ok(true),
            Err(StoreError::Refused { status: 409 | 412, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An object, to be read; none: it is not there.
    pub(super) fn get(&self, object: &str) -> Result<Option<Body>, StoreError> {
        let key = self.key(object);
        let answer = self.answered(object, || {
            let get = self.bucket.get_object(Some(&self.credentials), &key);
            self.agent.get(get.sign(SIGNED_FOR).as_str()).call()
        });
        match answer {
            Ok(answer) => Ok(Some(answer.into_body())),
            Err(StoreError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(&self, object: &str) -> Result<(), StoreError> {
        let key = self.key(object);
        self.answered(object, || {
            let delete = self.bucket.delete_object(Some(&self.credentials), &key);
            self.agent.delete(delete.sign(SIGNED_FOR).as_str()).call()
        })?;
        Ok(())
    }

    /// Sends a request, again where it may help. An answer that is no success is an error.
    fn answered(
        &self,
        object: &str,
        request: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, StoreError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let failed = match request() {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(mut answer) => {
                    let status = answer.status().as_u16();
                    let text = answer.body_mut().as_reader().take(REFUSAL_MAX_BYTES);
                    let code = code_of(text);
                    let (store, object) = (self.shown.clone(), object.to_owned());
                    let refused = StoreError::Refused { store, object, status, code };
                    if status < 500 && status != 429 {
                        return Err(refused);
                    }
                    refused
                }
                Err(source) => self.unreachable(object, source),
            };
            if tried == TRIES {
                return Err(failed);
            }
            thread::sleep(FIRST_PAUSE * 4_u32.pow(tried - 1));
        }
    }

    pub(super) fn unreachable(&self, object: &str, source: ureq::Error) -> StoreError {
        StoreError::Unreachable {
            store: self.shown.clone(),
            object: object.to_owned(),
            source: Box::new(source),
        }
    }
}

/// The word between `<Code>` and its end: what the store calls the refusal.
fn code_of(mut refusal: impl std::io::Read) -> String {
    let mut text = Vec::new();
    // Without its text a refusal still has its status.
    let _ = refusal.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(place: &str, set: &[(&str, &str)]) -> Result<Store, String> {
        let environment = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Store::open(place, &environment.collect()).map_err(|error| error.to_string())
    }

    const KEYS: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "canary-secret")];

    #[test]
    fn places_and_credentials_are_read_as_other_programs_do() {
        let store = opened("s3://ledger/eu/backups/", &KEYS).unwrap();
        assert_eq!((&*store.shown, &*store.key("blobs/1")), ("s3://ledger/eu/backups", "eu/backups/blobs/1"));
        assert_eq!(opened("s3://ledger", &KEYS).unwrap().key("blobs/1"), "blobs/1");
        for wrong in ["s3://", "s3:///prefix", "s3://ledger/../other"] {
            assert!(opened(wrong, &KEYS).is_err_and(|error| error.contains("s3://BUCKET/PREFIX")), "{wrong}");
        }
        assert!(
            opened("s3://ledger", &KEYS[..1]).is_err_and(|error| error.contains("AWS_SECRET_ACCESS_KEY"))
        );
        let odd = [KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", "no url")];
        let refused = opened("s3://ledger", &odd).err().unwrap();
        assert!(refused.contains("AWS_ENDPOINT_URL") && !refused.contains("canary"), "{refused}");
    }

    #[test]
    fn the_code_of_a_refusal_is_one_word() {
        let of = |text: &str| code_of(text.as_bytes());
        assert_eq!(of("<Error><Code>NoSuchBucket</Code><Message>x</Message></Error>"), "NoSuchBucket");
        assert_eq!([of(""), of("<Code>"), of("<html>")], ["", "", ""]);
    }
}
