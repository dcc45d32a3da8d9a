//! Which problems an operation can end with: for each kind of the table of problems, what an operation has to be or to take.
//!
//! In: what is known of an operation from the tables. Out: its answers that are problems, by status, each with its codes; the
//! same set of codes is one component.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::AccessScope;
use crate::action::{BACKUP, RETRY, SUBMIT};
use crate::problem::ProblemKind as Kind;
use crate::query::{DecisionsQuery, ProofQuery, Question as _};

/// An operation, as far as its answers depend on it.
pub(super) struct OperationFacts<'o> {
    /// That of the question, the action, or what is neither.
    pub(super) name: &'o str,
    /// None: it takes no credentials, and asks no ledger.
    pub(super) access: Option<AccessScope>,
    /// All that it takes: of its path, its query, and the first level of its body.
    pub(super) fields: Vec<&'o str>,
    pub(super) has_path_fields: bool,
    pub(super) has_body: bool,
}

/// The operation of `/readyz`.
pub(super) const IS_READY: &str = "isReady";

/// What names something that may not be there.
const NAMES: [&str; 5] = ["clientKey", "appKey", "id", "topic", "partition"];

impl OperationFacts<'_> {
    fn takes(&self, names: &[&str]) -> bool {
        self.fields.iter().any(|field| names.contains(field))
    }

    fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Whether it can end with this.
    fn ends_with(&self, kind: Kind) -> bool {
        let (is_asked, is_command, is_backup) =
            (self.access.is_some(), self.is(SUBMIT.name) || self.is(RETRY.name), self.is(BACKUP.name));
        let reads = is_asked && !is_backup;
        // Its files are open where there is one; else they are as any path without a route.
        let is_of_page = self.is("openPage") || self.is("readPageFile");
        match kind {
            // Before a route is found, whatever it is; and what no route should do.
            Kind::MalformedRequest
            | Kind::UriTooLong
            | Kind::HeadTooLarge
            | Kind::RequestTimeout
            | Kind::MethodNotAllowed
            | Kind::InvalidParameter
            | Kind::ForeignSite
            | Kind::Internal => true,
            Kind::Unauthenticated | Kind::RateLimited => is_asked || is_of_page,
            Kind::UnknownParameter => is_asked || self.is(IS_READY),
            Kind::ScopeMissing | Kind::Overloaded | Kind::Stopping => is_asked,
            Kind::InvalidKey => self.has_path_fields,
            Kind::InvalidBody | Kind::BodyTooLarge => self.has_body,
            Kind::InvalidCursor => self.takes(&["cursor"]) || self.is(DecisionsQuery::METHOD),
            Kind::NotFound => is_command || is_backup || reads && self.takes(&NAMES),
            Kind::SeqNotRecorded => self.takes(&["knownSeq"]),
            Kind::NoSuchRoute => is_of_page,
            Kind::TenantInTwoPartitions => is_command || self.takes(&["clientKey"]),
            Kind::EventIdConflict | Kind::NoCommands | Kind::EventRefused | Kind::NotPublished => is_command,
            Kind::NotACommand => self.is(SUBMIT.name),
            Kind::NoBackupDir | Kind::BackupRunning | Kind::BackupDiffers | Kind::BackupFailed => is_backup,
            Kind::BundleTooLong | Kind::NotSigned => self.is(ProofQuery::METHOD),
            Kind::ShardDamaged | Kind::Storage | Kind::Timeout => reads,
            Kind::SlowConsumer => self.is(DecisionsQuery::METHOD),
            Kind::PositionNotReached => self.takes(&["minPosition"]) || self.is(DecisionsQuery::METHOD),
            Kind::ShardHalted => self.takes(&["minPosition"]),
            Kind::NotReady => reads || self.is(IS_READY),
        }
    }
}

/// The answers that are problems, each once.
#[derive(Default)]
pub(super) struct ProblemAnswers {
    /// The codes of each, by name.
    named: BTreeMap<String, Vec<Kind>>,
}

impl ProblemAnswers {
    /// Those of an operation, by status.
    pub(super) fn of(&mut self, operation: &OperationFacts<'_>) -> Map<String, Value> {
        let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
        for kind in Kind::ALL.iter().filter(|kind| operation.ends_with(**kind)) {
            by_status.entry(kind.status()).or_default().push(*kind);
        }
        let answer = |(status, kinds): (u16, Vec<Kind>)| {
            let name = self.name(status, kinds);
            (status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }))
        };
        by_status.into_iter().map(answer).collect()
    }

    /// The first set of a status has its number, others a letter behind it.
    fn name(&mut self, status: u16, kinds: Vec<Kind>) -> String {
        let of_status = format!("Problem{status}");
        let suffixes = std::iter::once(String::new()).chain(('B'..='Z').map(String::from));
        let mut names = suffixes.map(|suffix| format!("{of_status}{suffix}"));
        let fits = |name: &String| self.named.get(name).is_none_or(|known| *known == kinds);
        let name = names.find(fits).unwrap_or(of_status);
        self.named.insert(name.clone(), kinds);
        name
    }

    pub(super) fn into_components(self) -> Map<String, Value> {
        self.named.into_iter().map(|(name, kinds)| (name, response(&kinds))).collect()
    }
}

fn response(kinds: &[Kind]) -> Value {
    let codes: Vec<_> = kinds.iter().map(|kind| kind.code()).collect();
    let described: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code(), kind.title())).collect();
    let status = kinds.first().map(|kind| kind.status());
    let of_status = json!({ "properties": { "status": { "const": status }, "code": { "enum": codes } } });
    let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, of_status] });
    let mut response = json!({
        "description": described.join("; "),
        "content": { "application/problem+json": { "schema": schema } }
    });
    if kinds.iter().any(|kind| kind.passes()) {
        let header = json!({ "description": "Seconds, where asking again can help.", "schema": { "type": "integer" } });
        response["headers"] = json!({ "Retry-After": header });
    }
    if kinds.contains(&Kind::Unauthenticated) {
        let header = json!({ "description": "What credentials are taken.", "schema": { "type": "string" } });
        response["headers"] = json!({ "WWW-Authenticate": header });
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_codes_are_one_component_and_others_have_another_name() {
        let mut answers = ProblemAnswers::default();
        let names = [vec![Kind::NotFound], vec![Kind::NotFound, Kind::SeqNotRecorded], vec![Kind::NotFound]]
            .map(|kinds| answers.name(404, kinds));
        assert_eq!(names, ["Problem404", "Problem404B", "Problem404"]);
        assert_eq!(answers.into_components().len(), 2);
    }
}
