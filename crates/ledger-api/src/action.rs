//! What a server is told to do, which is no question: one row each, for every door, log, metric and document.

use crate::access::AccessScope;

/// What a server can be told to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Action {
    /// For logs and metrics.
    pub name: &'static str,
    /// Its path over HTTP, of a POST.
    pub route: &'static str,
    /// Its method in gRPC, if it has one.
    pub method: Option<&'static str>,
    /// What it takes to be done.
    pub access: AccessScope,
    /// What it does, for people.
    pub summary: &'static str,
}

/// An event is published to the topic.
pub const SUBMIT: Action = Action {
    name: "Submit",
    route: "/v1/commands",
    method: Some("Submit"),
    access: AccessScope::Operate,
    summary: "Publishes one native event of an operator to the topic, and answers with the records that it became: 201, or 202 \
              while some are pending. With `dryRun` 200: what it would change, and nothing is published.",
};

/// A refused message is published once more.
pub const RETRY: Action = Action {
    name: "Retry",
    route: "/v1/quarantine/{topic}/{partition}/{seq}/retry",
    method: Some("RetryQuarantineItem"),
    access: AccessScope::Operate,
    summary: "Publishes the event of a refused message once more, under its own key, and answers as a command does. With `dryRun` \
              200: what it would change, and nothing is published.",
};

/// A backup is made.
pub const BACKUP: Action = Action {
    name: "Backup",
    route: "/v1/backups",
    method: None,
    access: AccessScope::Operate,
    summary: "Makes a backup on the machine of the server, and reports its progress line by line.",
};

/// Every action.
pub const ACTIONS: [&Action; 3] = [&SUBMIT, &RETRY, &BACKUP];

impl Action {
    /// The action of a route over HTTP.
    pub(crate) fn of_route(route: &str) -> Option<&'static Self> {
        ACTIONS.into_iter().find(|action| action.route == route)
    }

    /// The action of a method in gRPC.
    pub(crate) fn of_method(method: &str) -> Option<&'static Self> {
        ACTIONS.into_iter().find(|action| action.method == Some(method))
    }
}
