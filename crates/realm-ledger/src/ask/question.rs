//! What can be asked, and how it reads as a request.

use std::fmt::Write as _;

use ledger_api::query::{AsOf, Filter, Preview, Proof, Replay, WindowFilter};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_store::{Known, ShardId};

/// A question.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// One installation.
    Installation { client: ClientKey, app: AppKey, as_of: AsOf },
    /// All installations of a tenant.
    Tenant { client: ClientKey, as_of: AsOf },
    /// A page of installations.
    Installations { filter: Filter, as_of: AsOf, cursor: Option<String>, limit: usize },
    /// Records of a tenant.
    Log { client: ClientKey, from_seq: u64, limit: usize, as_of: AsOf },
    /// What changed in the answers about a tenant.
    Corrections { client: ClientKey, from_position: u64, limit: usize, as_of: AsOf },
    /// Why an installation is where it is.
    Explain { client: ClientKey, app: AppKey, as_of: AsOf },
    /// The decision that an install would get.
    Preview(Preview),
    /// A page of what was refused.
    Quarantine { cursor: Option<String>, limit: usize },
    /// The last signed checkpoints.
    Checkpoints,
    /// One refused message.
    QuarantineItem { shard: ShardId, seq: u64 },
}

impl Question {
    /// Whether it asks for another moment than now, or for less than is known.
    pub(super) fn is_of_the_past(&self) -> bool {
        let as_of = match self {
            Self::Installation { as_of, .. }
            | Self::Tenant { as_of, .. }
            | Self::Installations { as_of, .. }
            | Self::Log { as_of, .. }
            | Self::Corrections { as_of, .. }
            | Self::Explain { as_of, .. }
            | Self::Preview(Preview { as_of, .. }) => as_of,
            Self::Quarantine { .. } | Self::Checkpoints | Self::QuarantineItem { .. } => return false,
        };
        as_of.at.is_some() || as_of.known != Known::All
    }

    /// Whether every shard has a part of the answer.
    pub(super) const fn is_of_all(&self) -> bool {
        matches!(self, Self::Installations { .. } | Self::Quarantine { .. })
    }

    /// Path and parameters of the request that asks this.
    pub(super) fn request(&self) -> (String, Vec<(&'static str, String)>) {
        let mut parameters = Parameters::default();
        let path = match self {
            Self::Installation { client, app, as_of } => {
                parameters.as_of(as_of);
                format!("/v1/tenants/{}/apps/{}", encoded(client.as_str()), encoded(app.as_str()))
            }
            Self::Tenant { client, as_of } => {
                parameters.as_of(as_of);
                format!("/v1/tenants/{}", encoded(client.as_str()))
            }
            Self::Installations { filter, as_of, cursor, limit } => {
                parameters.filter(filter);
                parameters.as_of(as_of);
                parameters.page(cursor.as_deref(), *limit);
                let path = if filter.migration.is_some() { "/v1/migrations" } else { "/v1/installations" };
                path.to_owned()
            }
            Self::Log { client, from_seq, limit, as_of } => {
                parameters.put("fromSeq", from_seq);
                parameters.put("limit", limit);
                parameters.as_of(as_of);
                format!("/v1/tenants/{}/log", encoded(client.as_str()))
            }
            Self::Corrections { client, from_position, limit, as_of } => {
                parameters.put("fromPosition", from_position);
                parameters.put("limit", limit);
                parameters.as_of(as_of);
                format!("/v1/tenants/{}/corrections", encoded(client.as_str()))
            }
            Self::Explain { client, app, as_of } => {
                parameters.as_of(as_of);
                let (client, app) = (encoded(client.as_str()), encoded(app.as_str()));
                format!("/v1/tenants/{client}/apps/{app}/explanation")
            }
            Self::Preview(Preview { client, app, product_realm, as_of }) => {
                if let Some(realm) = product_realm {
                    parameters.put("productRealm", realm);
                }
                parameters.as_of(as_of);
                let (client, app) = (encoded(client.as_str()), encoded(app.as_str()));
                format!("/v1/tenants/{client}/apps/{app}/preview")
            }
            Self::Quarantine { cursor, limit } => {
                parameters.page(cursor.as_deref(), *limit);
                "/v1/quarantine".to_owned()
            }
            Self::Checkpoints => "/v1/checkpoints".to_owned(),
            Self::QuarantineItem { shard, seq } => {
                format!("/v1/quarantine/{}/{}/{seq}", encoded(&shard.topic), shard.partition)
            }
        };
        (path, parameters.0)
    }
}

/// Path and parameters of the request that asks for a bundle.
pub(super) fn proof_request(asked: &Proof) -> (String, Vec<(&'static str, String)>) {
    let Proof { client, app, pinned, partition, topic } = asked;
    let mut parameters = Parameters::default();
    if let Some(app) = app {
        parameters.put("appKey", app);
    }
    if let Some(pinned) = pinned {
        parameters.put("pinned", pinned);
    }
    if let Some(partition) = partition {
        parameters.put("partition", partition);
    }
    if let Some(topic) = topic {
        parameters.put("topic", topic);
    }
    (format!("/v1/tenants/{}/proof", encoded(client.as_str())), parameters.0)
}

/// The parameters of the request that asks for a replay.
pub(super) fn replay_parameters(asked: &Replay) -> Vec<(&'static str, String)> {
    let Replay { client, app, shard, from, to, from_position } = asked;
    let mut parameters = Parameters::default();
    if let Some(client) = client {
        parameters.put("clientKey", client);
    }
    if let Some(app) = app {
        parameters.put("appKey", app);
    }
    if let Some(ShardId { topic, partition }) = shard {
        parameters.put("topic", topic);
        parameters.put("partition", partition);
    }
    parameters.instant("from", *from);
    parameters.instant("to", *to);
    parameters.put("fromPosition", from_position);
    parameters.0
}

#[derive(Default)]
struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    fn put(&mut self, name: &'static str, value: &(impl ToString + ?Sized)) {
        self.0.push((name, value.to_string()));
    }

    fn instant(&mut self, name: &'static str, instant: Option<Timestamp>) {
        if let Some(instant) = instant {
            self.put(name, &format_instant(instant));
        }
    }

    fn page(&mut self, cursor: Option<&str>, limit: usize) {
        if let Some(cursor) = cursor {
            self.put("cursor", cursor);
        }
        self.put("limit", &limit);
    }

    fn as_of(&mut self, as_of: &AsOf) {
        self.instant("at", as_of.at);
        match as_of.known {
            Known::All => {}
            Known::Seq(seq) => self.put("knownSeq", &seq),
            Known::Recorded(instant) => self.instant("knownAt", Some(instant)),
        }
    }

    fn filter(&mut self, filter: &Filter) {
        let Filter { app, status, realm, drift, split_brain, window, anomalous, migration } = filter;
        let overdue = migration.and_then(|asked| asked.overdue);
        if let Some(app) = app {
            self.put("appKey", app);
        }
        if let Some(status) = status {
            self.put("status", status.as_str());
        }
        if let Some(realm) = realm {
            self.put("realm", realm);
        }
        for (name, flag) in
            [("drift", drift), ("splitBrain", split_brain), ("anomalous", anomalous), ("overdue", &overdue)]
        {
            if let Some(flag) = flag {
                self.put(name, flag);
            }
        }
        match window {
            None => {}
            Some(WindowFilter::Open) => self.put("window", "OPEN"),
            Some(WindowFilter::ClosingBefore(instant)) => {
                self.instant("windowClosingBefore", Some(*instant));
            }
        }
    }
}

/// A key as a part of a path.
fn encoded(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    // A segment of dots alone would be taken for a step in the path.
    match path.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_in_paths() {
        assert_eq!(encoded("acme.atlassian.net"), "acme.atlassian.net");
        assert_eq!(encoded("jira:a/b c?ü"), "jira%3Aa%2Fb%20c%3F%C3%BC");
        assert_eq!(encoded(".."), "%2E%2E");
    }

    #[test]
    fn a_question_is_a_path_with_parameters() {
        let client = ClientKey::new("a/b").unwrap();
        let as_of = AsOf { at: Some(Timestamp::from_millis(0)), known: Known::Seq(4) };
        let (path, parameters) = Question::Tenant { client, as_of }.request();
        assert_eq!(path, "/v1/tenants/a%2Fb");
        let expected = [("at", "1970-01-01T00:00:00.000Z".to_owned()), ("knownSeq", "4".to_owned())];
        assert_eq!(parameters, expected);
    }

    #[test]
    fn a_bundle_is_asked_for_with_all_that_was_said() {
        let client = ClientKey::new("a/b").unwrap();
        let bare = Proof { client, app: None, pinned: None, partition: None, topic: None };
        assert_eq!(proof_request(&bare), ("/v1/tenants/a%2Fb/proof".to_owned(), Vec::new()));
        // Without the app, the payloads of all apps would be handed out.
        let (app, topic) = (Some(AppKey::new("app").unwrap()), Some("t".to_owned()));
        let asked = Proof { app, pinned: Some(9), partition: Some(3), topic, ..bare };
        let expected = [("appKey", "app"), ("pinned", "9"), ("partition", "3"), ("topic", "t")];
        assert_eq!(proof_request(&asked).1, expected.map(|(name, value)| (name, value.to_owned())));
    }
}
