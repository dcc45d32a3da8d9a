//! Why an installation is where it is: which realm, since when, by which rule and not by another, until
//! when, what is pending, and what would change it.
//!
//! An explanation is a list of statements. Each is a [`Fact`] with the values it is about, and the records
//! it rests on: seqs of the tenant, and ids of app-level events, which have no seq there. [`Statement`]s
//! turn into plain English with [`Statement::sentence`]; how an instant is written is the caller's choice.
//!
//! Nothing here decides anything: the state comes from the fold, the rows from the same function that the
//! fold asks.

mod grounds;
mod in_force;
mod origins;
mod sentence;

pub use in_force::InForce;

use std::collections::BTreeSet;

use crate::event::{InstallationFact, SubscriptionState};
use crate::fold::{self, FoldMode, StepContext};
use crate::ids::{AppKey, EventId, InstallationKey, MigrationId};
use crate::policy::Policy;
use crate::preview::preview;
use crate::realm::Realm;
use crate::state::{
    Decision, Installation, MigrationPhase, Pin, PinnedBy, Predecessor, Rule, Status, Window,
};
use crate::tenant::Entry;
use crate::time::Timestamp;
use crate::timeline::{AppTimeline, AppTimelines};
use crate::view::MigrationView;
use origins::{Followed, Origins};

/// Why an installation is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// In the order in which they are best read.
    pub statements: Vec<Statement>,
    /// The policy and the descriptor in force at the moment of asking: what an uninstall or an install then
    /// would go by.
    pub in_force: InForce,
    /// The same at the last decision.
    pub at_decision: Option<InForce>,
    /// The same at the last uninstall, by which its window was computed (rules 5).
    pub at_uninstall: Option<InForce>,
}

/// One fact, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What holds.
    pub fact: Fact,
    /// The tenant's records that show it, ascending.
    pub seqs: Vec<u64>,
    /// The app-level events that show it.
    pub app_events: Vec<EventId>,
}

/// What can be said of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// No event of its own was recorded until then.
    NeverSeen,
    /// Installed or not.
    Present {
        /// Which of the three.
        status: Status,
        /// Whether it is enabled.
        enabled: bool,
        /// Its install was never seen: a later hook implied it.
        implied: bool,
    },
    /// It is pinned.
    Pinned(Pin),
    /// Nothing says where it is.
    RealmUnknown,
    /// The last install that was more than a refresh.
    Decided(Decision),
    /// The window that the last decision met, or that there was none.
    WindowMet {
        /// The policy in force at the uninstall.
        policy: Policy,
        /// As the install met it.
        window: Option<Window>,
        /// It was open then.
        open: bool,
    },
    /// Earlier rows of the table of rules 6.1 that did not apply at the last decision.
    PassedOver {
        /// The first of them, 1 to 14.
        first_row: u8,
        /// The last of them.
        last_row: u8,
        /// Why not.
        because: WhyNot,
    },
    /// Where the product is, and where that would put the app.
    Product {
        /// Where the product is.
        realm: Realm,
        /// Where that would put the app; unknown without a descriptor.
        aligned: Option<Realm>,
        /// It is installed elsewhere.
        drift: bool,
    },
    /// Where the partner says the data rests.
    Data {
        /// Where.
        realm: Realm,
        /// It is installed elsewhere.
        split_brain: bool,
    },
    /// It stays pinned as long as it is installed.
    StaysWhileInstalled,
    /// The window that an uninstall at an instant would open, or that it would open none.
    UninstallWouldOpen {
        /// The instant.
        at: Timestamp,
        /// The policy in force then.
        policy: Policy,
        /// The window.
        window: Option<Window>,
    },
    /// The persistence window.
    WindowSet {
        /// As the uninstall opened it.
        window: Window,
        /// It is open at the moment of asking.
        open: bool,
    },
    /// The uninstall opened no window.
    NoWindow {
        /// The policy in force at the uninstall.
        policy: Policy,
    },
    /// The subscription holds the window open, or lets it run out.
    Subscribed {
        /// As last observed.
        state: SubscriptionState,
        /// First observation of this state in a row.
        since: Timestamp,
    },
    /// A migration is pending.
    MigrationPending {
        /// Which.
        id: MigrationId,
        /// Where to.
        target: Option<Realm>,
        /// How far it got.
        phase: MigrationPhase,
        /// When its commit or rollback was to be seen.
        due_by: Timestamp,
        /// Neither was seen by then.
        overdue: bool,
    },
    /// It goes on from another installation.
    Continues(Predecessor),
    /// Another installation goes on where it was.
    Superseded {
        /// Which.
        by: InstallationKey,
    },
    /// An operator's pin is in force.
    OverrideStands {
        /// Where.
        realm: Realm,
    },
    /// An install at an instant would be decided so.
    WouldInstall(Decision),
    /// A commit of the pending migration would move it.
    CommitWouldMove {
        /// Where to; the commit itself must say it when unknown.
        target: Option<Realm>,
    },
    /// A first hook from another realm would set the realm right.
    HookWouldCorrect,
    /// A hook from another realm would count as a reinstall that nobody saw.
    HookWouldReinstall {
        /// But one from here as the arrival of the pending migration (row 3).
        arrival: Option<Realm>,
    },
}

/// Why a row of the table did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Rows 1 to 6: the app was not installed.
    NotInstalled,
    /// Row 1: the hook came from elsewhere than the pinned realm.
    CalledElsewhere {
        /// Where it was pinned.
        pinned: Realm,
        /// Where the hook came from.
        observed: Realm,
    },
    /// Rows 2 and 7: no override was set.
    NoOverride,
    /// Row 3: no migration to the observed realm was pending.
    NoMigrationThere,
    /// Row 4: no migration had left the observed realm within 24 hours.
    NotLeftLately,
    /// Row 5: the pinned realm was more than an expectation.
    PinWasSeen(PinnedBy),
    /// Row 8: it had been uninstalled before.
    KnownBefore,
    /// Row 9: the realm before was known.
    RealmWasKnown(Realm),
    /// Row 10: nobody had ended the window.
    NotForgotten,
    /// Row 11: there was a window.
    HadWindow(Window),
    /// Row 12: the window was still open.
    WindowWasOpen {
        /// Its end; none is without end.
        end: Option<Timestamp>,
    },
    /// Row 13: the app still served the realm, or nothing said that it did not.
    StillServed(Realm),
}

/// Explains an installation at an instant, from its tenant's records and the timelines of the apps.
#[must_use]
pub fn explain(entries: &[Entry<'_>], apps: &AppTimelines, app: &AppKey, at: Timestamp) -> Explanation {
    let Followed { tenant, origins } = Followed::until(entries, apps, app, at, |_| false);
    let timeline = apps.of(app);
    let mut writer = Writer { statements: Vec::new(), origins };
    let Some(state) = tenant.installations.get(app) else {
        writer.say(Fact::NeverSeen, []);
        let in_force = InForce::of(&Installation::default(), &writer.origins, timeline, at);
        let statements = writer.statements;
        return Explanation { statements, in_force, at_decision: None, at_uninstall: None };
    };
    let in_force = InForce::of(state, &writer.origins, timeline, at);
    let left = (state.status == Status::Uninstalled).then_some(writer.origins.uninstalled_at).flatten();
    let mut at_uninstall = left.map(|at| InForce::of(state, &writer.origins, timeline, at));
    let moment = ExplainContext { state, product: tenant.product_realm, timeline, at, in_force: &in_force };
    writer.realm(&moment);
    let met = state
        .decision
        .and_then(|decision| grounds::of_decision(entries, apps, app, decision, writer.origins.correction));
    let mut at_decision = None;
    if let Some(met) = met {
        writer.statements.extend(met.statements);
        at_decision = Some(met.in_force);
        at_uninstall = at_uninstall.or(met.at_uninstall);
    }
    writer.surroundings(&moment);
    writer.until(&moment, at_uninstall.as_ref());
    writer.outlook(&moment);
    Explanation { statements: writer.statements, in_force, at_decision, at_uninstall }
}

/// What is explained.
struct ExplainContext<'a> {
    state: &'a Installation,
    product: Option<Realm>,
    timeline: &'a AppTimeline,
    at: Timestamp,
    in_force: &'a InForce,
}

struct Writer {
    statements: Vec<Statement>,
    origins: Origins,
}

impl Writer {
    fn say<const N: usize>(&mut self, fact: Fact, seqs: [Option<u64>; N]) {
        self.say_with(fact, seqs, [None]);
    }

    /// What rests on nothing else, as nothing was ever said of it, rests on the first that was seen at all.
    fn say_with<const N: usize, const M: usize>(
        &mut self,
        fact: Fact,
        seqs: [Option<u64>; N],
        app_events: [Option<EventId>; M],
    ) {
        let statement = Statement::resting_on(fact, seqs, app_events);
        self.statements.push(statement.or_on(self.origins.seen));
    }

    /// Whether it is there, and where.
    fn realm(&mut self, moment: &ExplainContext<'_>) {
        let (state, origins) = (moment.state, self.origins.clone());
        let present = Fact::Present {
            status: state.status,
            enabled: state.enabled,
            implied: state.implied_at.is_some(),
        };
        self.say(present, [origins.status, origins.enabled]);
        match state.pin {
            Some(pin) => self.say(Fact::Pinned(pin), [origins.realm, origins.pin]),
            None => self.say(Fact::RealmUnknown, [origins.pin]),
        }
    }

    /// What else there is: other installations, product, data, migration, override.
    fn surroundings(&mut self, moment: &ExplainContext<'_>) {
        let (state, origins) = (moment.state, self.origins.clone());
        let view = state.view(moment.product, moment.timeline, moment.at);
        if let Some(predecessor) = &state.predecessor {
            self.say(Fact::Continues(predecessor.clone()), [origins.predecessor]);
        }
        if let Some(by) = state.successor.clone() {
            self.say(Fact::Superseded { by }, [origins.successor]);
        }
        if let Some(realm) = moment.product {
            let fact = Fact::Product { realm, aligned: view.aligned_realm, drift: view.drift };
            let InForce { descriptor_seq, descriptor_event, .. } = moment.in_force.clone();
            self.say_with(fact, [origins.product, descriptor_seq], [descriptor_event]);
        }
        if let Some(realm) = state.data_realm {
            self.say(Fact::Data { realm, split_brain: view.split_brain }, [origins.data]);
        }
        if let Some((pending, MigrationView { due_by, overdue })) =
            state.migration.as_ref().zip(view.migration)
        {
            let (id, target, phase) = (pending.id.clone(), pending.target, pending.phase);
            let fact = Fact::MigrationPending { id, target, phase, due_by, overdue };
            self.say(fact, [origins.migration]);
        }
        if let Some(realm) = state.override_realm {
            self.say(Fact::OverrideStands { realm }, [origins.override_realm]);
        }
    }

    /// Until when.
    fn until(&mut self, moment: &ExplainContext<'_>, at_uninstall: Option<&InForce>) {
        let (state, origins) = (moment.state, self.origins.clone());
        match (state.status, state.window, at_uninstall) {
            (Status::Installed, ..) => {
                if state.pin.is_some() {
                    self.say(Fact::StaysWhileInstalled, [origins.status]);
                }
                self.uninstall_would_open(moment);
            }
            (Status::Uninstalled, Some(window), Some(then)) => {
                let open = window.is_open_at(moment.at);
                let (own, events) = then.of_window();
                self.say_with(Fact::WindowSet { window, open }, [origins.window, own], events);
                self.subscription(state, window, open);
            }
            (Status::Uninstalled, None, Some(then)) => {
                let (own, events) = then.of_window();
                self.say_with(Fact::NoWindow { policy: then.policy }, [origins.status, own], events);
            }
            (Status::Uninstalled, _, None) | (Status::None, ..) => {}
        }
    }

    /// "Until when" of an app that is installed: the fold itself is asked, with nothing observed.
    fn uninstall_would_open(&mut self, moment: &ExplainContext<'_>) {
        let ExplainContext { state, product, timeline, at, in_force } = *moment;
        let mut left = state.clone();
        let scene = StepContext { seq: 0, at, product, timeline, lens: FoldMode::Actual };
        let uninstalled = InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None };
        fold::apply(&mut left, &uninstalled, scene);
        let fact = Fact::UninstallWouldOpen { at, policy: in_force.policy, window: left.window };
        let (own, events) = in_force.of_window();
        let by_subscription = matches!(in_force.policy, Policy::Subscription { .. });
        let subscription = self.origins.subscription.filter(|_| by_subscription);
        self.say_with(fact, [self.origins.status, own, subscription], events);
    }

    /// What the subscription means for a window that it decides about.
    fn subscription(&mut self, state: &Installation, window: Window, open: bool) {
        let (Policy::Subscription { .. }, Some(subscription)) = (window.policy, state.subscription) else {
            return;
        };
        // A window that has ended stays ended: an active subscription says nothing about it any more.
        let counts = open || subscription.state == SubscriptionState::Inactive;
        if counts && !window.forgotten {
            let fact = Fact::Subscribed { state: subscription.state, since: subscription.since };
            self.say(fact, [self.origins.subscription]);
        }
    }

    /// What would change it.
    fn outlook(&mut self, moment: &ExplainContext<'_>) {
        let state = moment.state;
        if state.status != Status::Installed {
            let install_at = |at| preview(Some(state), moment.product, moment.timeline, at);
            let now = install_at(moment.at);
            self.would_install(moment, now);
            let end = state.window.and_then(|window| window.end).filter(|end| *end > moment.at);
            if let Some(later) = end.map(install_at).filter(|later| later.rule != now.rule) {
                self.would_install(moment, later);
            }
            return;
        }
        if let Some(pending) = &state.migration {
            self.say(Fact::CommitWouldMove { target: pending.target }, [self.origins.migration]);
        }
        match state.pin {
            Some(_) if state.override_realm.is_some() => {}
            Some(pin) if pin.is_unseen() => {
                self.say(Fact::HookWouldCorrect, [self.origins.pin]);
            }
            Some(pin) => {
                let target = state.migration.as_ref().and_then(|pending| pending.target);
                let arrival = target.filter(|target| *target != pin.realm);
                let migration = arrival.and(self.origins.migration);
                self.say(Fact::HookWouldReinstall { arrival }, [self.origins.pin, migration]);
            }
            None => self.say(Fact::HookWouldCorrect, [self.origins.status]),
        }
    }

    fn would_install(&mut self, moment: &ExplainContext<'_>, decision: Decision) {
        let origins = self.origins.clone();
        // An override is followed without a look at the descriptor; every other row looks there.
        let (own, published) = match decision.rule {
            Rule::Overridden => (None, None),
            _ => origins.descriptor_in_force(moment.state, moment.timeline, decision.at),
        };
        let seqs =
            [origins.status, origins.window, origins.pin, origins.product, origins.override_realm, own];
        self.say_with(Fact::WouldInstall(decision), seqs, [published]);
    }
}

impl Statement {
    fn resting_on(
        fact: Fact,
        seqs: impl IntoIterator<Item = Option<u64>>,
        app_events: impl IntoIterator<Item = Option<EventId>>,
    ) -> Self {
        let seqs: BTreeSet<u64> = seqs.into_iter().flatten().collect();
        let app_events: BTreeSet<EventId> = app_events.into_iter().flatten().collect();
        Self { fact, seqs: seqs.into_iter().collect(), app_events: app_events.into_iter().collect() }
    }

    /// Resting on this record, if on nothing else.
    fn or_on(mut self, seq: Option<u64>) -> Self {
        if self.seqs.is_empty() && self.app_events.is_empty() {
            self.seqs.extend(seq);
        }
        self
    }
}

impl Rule {
    /// Its row in the table of rules 6.1; a refresh has several.
    #[must_use]
    pub fn row(self) -> Option<u8> {
        grounds::DECIDING_ROWS.iter().find(|(_, rule)| *rule == self).map(|(row, _)| *row)
    }
}

impl Decision {
    /// The realm it came from, if it is another.
    fn left(&self) -> Option<Realm> {
        self.previous_realm.filter(|_| self.moved)
    }

    fn is_refresh(&self) -> bool {
        self.rule == Rule::Refresh
    }
}
