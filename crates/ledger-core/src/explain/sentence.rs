//! Statements in plain English. How an instant is written comes from outside.

use super::{Fact, InstantText};
use crate::event::SubscriptionState;
use crate::ids::InstallationKey;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{Decision, MigrationPhase, PinnedBy, Predecessor, Rule, Status, Window};
use crate::time::Timestamp;

impl Fact {
    /// The fact as a sentence.
    pub(super) fn text(&self, instant: InstantText<'_>) -> String {
        match self {
            Fact::NeverSeen => "Nothing of this installation is recorded up to that instant.".to_owned(),
            Fact::Present { status, enabled, implied } => present(*status, *enabled, *implied),
            Fact::Pinned { realm, since, by } => pinned(*realm, &instant(*since), *by),
            Fact::RealmUnknown => "Its realm is not known: no hook told where it was called, and product \
                                   realm or descriptor were missing for an expectation."
                .to_owned(),
            Fact::Decided(decision) => decided(decision, instant),
            Fact::WindowMet { policy, window, open } => window_met(*policy, window.as_ref(), *open, instant),
            Fact::PassedOver { rows: [first, last], reason, .. } if first == last => {
                format!("Row {first} of the rules did not apply: {reason}.")
            }
            Fact::PassedOver { rows: [first, last], reason, .. } => {
                format!("Rows {first} to {last} of the rules did not apply: {reason}.")
            }
            Fact::Product { realm, aligned, drift } => product(*realm, *aligned, *drift),
            Fact::Data { realm, split_brain: false } => format!("Its data rests in {realm}."),
            Fact::Data { realm, split_brain: true } => {
                format!("Its data rests in {realm}, which is not where it is pinned: a split brain.")
            }
            Fact::StaysWhileInstalled => "It stays there as long as it is installed.".to_owned(),
            Fact::UninstallWouldOpen { at, policy, window } => {
                uninstall_would_open(*at, *policy, window.as_ref(), instant)
            }
            Fact::WindowSet { window, open } => window_set(window, *open, instant),
            Fact::NoWindow { policy } => {
                format!("The uninstall opened no persistence window; the policy is {}.", policy_name(*policy))
            }
            Fact::Subscribed { state, since } => subscribed(*state, &instant(*since)),
            Fact::MigrationPending { id, target, phase, due_by, overdue } => {
                let due_by = instant(*due_by);
                let due = if *overdue {
                    format!("No commit or rollback was seen, which was due by {due_by}: it is overdue.")
                } else {
                    format!("A commit or rollback is due by {due_by}.")
                };
                format!("Migration {id} to {} is {}. {due}", or_unknown(*target), phase_name(*phase))
            }
            Fact::Continues { predecessor } => continues(predecessor),
            Fact::Superseded { successor } => {
                format!("App {} of {} goes on where it was.", successor.app, successor.client)
            }
            Fact::OverrideStands { realm } => {
                format!("An operator pinned it to {realm}; that stands until it is released.")
            }
            Fact::WouldInstall(decision) => would_install(decision, instant),
            Fact::CommitWouldMove { target: Some(target) } => {
                format!("A commit of the pending migration would move it to {target}.")
            }
            Fact::CommitWouldMove { target: None } => {
                "A commit of the pending migration would move it to the realm that the commit names."
                    .to_owned()
            }
            Fact::HookWouldCorrect => {
                "The first hook to tell its endpoint would set the realm right.".to_owned()
            }
            Fact::HookWouldReinstall { arrival } => hook_would_reinstall(*arrival),
        }
    }
}

const fn phase_name(phase: MigrationPhase) -> &'static str {
    match phase {
        MigrationPhase::Scheduled => "scheduled",
        MigrationPhase::Started => "under way",
    }
}

fn continues(predecessor: &Predecessor) -> String {
    let InstallationKey { client, app } = &predecessor.installation;
    match predecessor.realm {
        Some(realm) => format!("It goes on where app {app} of {client} was, in {realm}."),
        None => format!("It goes on where app {app} of {client} was; in which realm was not told."),
    }
}

fn present(status: Status, enabled: bool, implied: bool) -> String {
    let status = match (status, enabled) {
        (Status::Installed, true) => "It is installed and enabled",
        (Status::Installed, false) => "It is installed, but disabled",
        (Status::Uninstalled, _) => "It is uninstalled",
        (Status::None, _) => "It was never seen installed",
    };
    let implied = if implied { "; its install was not seen, a later hook implies it" } else { "" };
    format!("{status}{implied}.")
}

fn pinned(realm: Realm, since: &str, by: PinnedBy) -> String {
    let known = match by {
        PinnedBy::Observed => "a hook was received there",
        PinnedBy::Expected => "the rules put it there, no hook has told yet",
        PinnedBy::Migrated => "a migration ended there",
        PinnedBy::Overridden => "an operator put it there",
    };
    format!("It is pinned to {realm} since {since}: {known}.")
}

fn decided(decision: &Decision, instant: InstantText<'_>) -> String {
    let (at, rule) = (instant(decision.at), decision.rule);
    let by_product = !matches!(rule, Rule::Overridden | Rule::Persisted | Rule::Continued);
    let expected = match (decision.expected_realm, decision.product_realm.filter(|_| by_product)) {
        (Some(expected), Some(product)) => {
            Some(format!("With the product in {product}, {expected} was expected."))
        }
        (Some(expected), None) => Some(format!("{expected} was expected.")),
        (None, _) => None,
    };
    let parts = [
        Some(format!("The install of {at} was decided by {}: {}.", rule.as_str(), meaning(rule)[0])),
        expected,
        decision.observed_realm.map(|observed| format!("The platform called {observed}.")),
        decision.divergent.then(|| "The platform did not do what the rules say.".to_owned()),
        decision.left().map(|left| format!("Before, it was in {left}; its data may still be there.")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What a rule means, of an install that was and of one that would be.
fn meaning(rule: Rule) -> [&'static str; 2] {
    match rule {
        Rule::Refresh => ["it was re-sent and changed nothing", "it would change nothing"],
        Rule::ImplicitReinstall => {
            ["it came from another realm, so an uninstall went unseen", "an uninstall would have gone unseen"]
        }
        Rule::Overridden => ["an operator had pinned the realm", "an operator has pinned the realm"],
        Rule::Continued => [
            "it had never been installed before, and goes on where another installation was",
            "it was never installed before, and goes on where another installation was",
        ],
        Rule::Fresh => ["it had never been installed before", "it was never installed before"],
        Rule::PriorUnknown => ["the realm before was not known", "the realm before is not known"],
        Rule::WindowForgotten => {
            ["an operator had ended the persistence window", "an operator has ended the persistence window"]
        }
        Rule::PersistenceOff => {
            ["the uninstall had opened no persistence window", "there is no persistence window"]
        }
        Rule::WindowExpired => {
            ["the persistence window had ended", "the persistence window has ended by then"]
        }
        Rule::RealmWithdrawn => [
            "the app no longer served the realm it was pinned to",
            "the app no longer serves the realm it is pinned to",
        ],
        Rule::Persisted => [
            "the persistence window was open, so it came back to its realm",
            "the persistence window is open",
        ],
    }
}

fn product(realm: Realm, aligned: Option<Realm>, drift: bool) -> String {
    match (aligned, drift) {
        (None, _) => format!("The product is in {realm}; where that would put the app is not known."),
        (Some(aligned), false) => format!("The product is in {realm}, which puts the app in {aligned}."),
        (Some(aligned), true) => {
            format!(
                "The product is in {realm}, which would put the app in {aligned}; installations do not move by \
                 themselves, so it has drifted."
            )
        }
    }
}

fn window_set(window: &Window, open: bool, instant: InstantText<'_>) -> String {
    let opened = format!("The uninstall of {} opened a window", instant(window.start));
    let policy = policy_name(window.policy);
    match (window.end, open) {
        (Some(end), _) if window.forgotten => {
            format!("{opened} by {policy}, which an operator ended at {}.", instant(end))
        }
        (Some(end), true) => {
            format!("{opened} by {policy}: it comes back to its realm until {}.", instant(end))
        }
        (Some(end), false) => format!("{opened} by {policy}, which ended at {}.", instant(end)),
        (None, _) => format!("{opened} by {policy}: it comes back to its realm, for now without end."),
    }
}

fn window_met(policy: Policy, window: Option<&Window>, open: bool, instant: InstantText<'_>) -> String {
    let name = policy_name(policy);
    let Some(window) = window else {
        return format!("The uninstall before had opened no persistence window; the policy was {name}.");
    };
    let opened = format!("The uninstall of {} had opened a window by {name}", instant(window.start));
    match (window.end, open) {
        (Some(end), _) if window.forgotten => {
            format!("{opened}, which an operator had ended at {}.", instant(end))
        }
        (Some(end), true) => format!("{opened}, open until {}.", instant(end)),
        (Some(end), false) => format!("{opened}, which had ended at {}.", instant(end)),
        (None, _) => format!("{opened}, without end."),
    }
}

fn uninstall_would_open(
    at: Timestamp,
    policy: Policy,
    window: Option<&Window>,
    instant: InstantText<'_>,
) -> String {
    let (at, policy) = (instant(at), policy_name(policy));
    match window.map(|window| window.end) {
        None => format!("An uninstall at {at} would open no persistence window; the policy is {policy}."),
        Some(None) => {
            format!("An uninstall at {at} would open a window by {policy}, for now without end.")
        }
        Some(Some(end)) => {
            format!("An uninstall at {at} would open a window by {policy}, until {}.", instant(end))
        }
    }
}

fn subscribed(state: SubscriptionState, since: &str) -> String {
    match state {
        SubscriptionState::Active => {
            format!("The subscription is active since {since}; the window has no end before it lapses.")
        }
        SubscriptionState::Inactive => format!("The subscription is inactive since {since}."),
    }
}

fn hook_would_reinstall(arrival: Option<Realm>) -> String {
    let reinstall = "would count as a reinstall that nobody saw, unless it is a straggler of a migration.";
    match arrival {
        None => format!("An install hook from another realm {reinstall}"),
        Some(target) => format!(
            "An install hook from {target} would be taken as the arrival of the pending migration; one from another \
             realm {reinstall}"
        ),
    }
}

fn would_install(decision: &Decision, instant: InstantText<'_>) -> String {
    let at = instant(decision.at);
    if decision.is_refresh() {
        return format!("An install at {at} would be a refresh.");
    }
    format!(
        "An install at {at} would go to {} by {}: {}.",
        or_unknown(decision.pinned_realm),
        decision.rule.as_str(),
        meaning(decision.rule)[1]
    )
}

fn policy_name(policy: Policy) -> String {
    match policy {
        Policy::Descriptor => "the descriptor's own persistence".to_owned(),
        Policy::Off => "no persistence".to_owned(),
        Policy::Days { days } => format!("{days} days of persistence"),
        Policy::Indefinite => "persistence without end".to_owned(),
        Policy::Subscription { grace_days } => {
            format!("persistence with the subscription and {grace_days} days of grace")
        }
    }
}

fn or_unknown(realm: Option<Realm>) -> String {
    realm.map_or_else(|| "an unknown realm".to_owned(), |realm| realm.to_string())
}
