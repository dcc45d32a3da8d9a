//! Places among the questions: how many are answered at a time, and how much of the answers waits for its readers.
//!
//! Questions that read much have half of the places. The other half is for one tenant as it is now, so that lists,
//! streams and the past never keep an install handler from its answer. Health and metrics need no place. Beyond the
//! places there is a refusal: a question that waits for one would only be answered too late. Where principals are known,
//! one of them has half of each kind of place at most, so that it cannot keep the others from theirs.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::access::{Allowance, HeldPlace, PlaceKind};
use crate::limits::{COMMANDS_WAITING_MAX, HEALTH_WATCHES_MAX, SWEEPS_AT_A_TIME, UNSENT_BYTES};
use crate::problem::ProblemKind;
use crate::query::{AsOf, Problem, Query, Scope};

/// What a question reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// One tenant as it is now.
    Little,
    /// Something that is waited for, or folded anew.
    Much,
    /// A page of many tenants or records, which is large: few are made at a time.
    Page,
    /// The log of all tenants.
    Everything,
}

impl Cost {
    /// What a question costs. Of one about a tenant, what it waits for or folds anew is not little. What waits keeps no
    /// thread from the pages that do not.
    pub(super) fn of(query: &Query) -> Self {
        let (is_now, waits) = match query.scope() {
            Scope::Tenant(_, as_of) => (*as_of == AsOf::default(), as_of.min_position.is_some()),
            Scope::All { .. } | Scope::One => (false, false),
        };
        match query {
            Query::WhatIf(_) | Query::Replay(_) => Self::Everything,
            Query::QuarantineItem(_) | Query::Checkpoints(_) | Query::Command(_) => Self::Little,
            Query::Installation(_) | Query::Tenant(_) | Query::Preview(_) if is_now => Self::Little,
            Query::Installation(_) | Query::Tenant(_) | Query::Preview(_) => Self::Much,
            _ if waits => Self::Much,
            _ => Self::Page,
        }
    }
}

/// A question's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    _parts: [Option<(Option<HeldPlace>, OwnedSemaphorePermit)>; 3],
}

/// The places. A copy has the same ones.
#[derive(Debug, Clone)]
pub(super) struct Places {
    most: usize,
    all: Arc<Semaphore>,
    much: Arc<Semaphore>,
    everything: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    records: Arc<Semaphore>,
    unsent: Arc<Semaphore>,
    /// Whose requests take them, where that is known.
    principal: Option<Arc<Allowance>>,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            most,
            all: semaphore(most),
            much: semaphore(much(most)),
            everything: semaphore(SWEEPS_AT_A_TIME),
            watches: semaphore(HEALTH_WATCHES_MAX),
            records: semaphore(COMMANDS_WAITING_MAX),
            unsent: semaphore(UNSENT_BYTES),
            principal: None,
        }
    }

    /// The same places, for a principal.
    pub(super) fn of_principal(&self, principal: &Arc<Allowance>) -> Self {
        Self { principal: Some(Arc::clone(principal)), ..self.clone() }
    }

    /// A place of this kind for the principal; none where there is no principal.
    fn hold(&self, kind: PlaceKind, most: usize, what: &str) -> Result<Option<HeldPlace>, Problem> {
        let Some(principal) = &self.principal else { return Ok(None) };
        let refused = || {
            let part = Allowance::part_of(most);
            let detail = format!("{part} {what} with these credentials are being answered; ask again later");
            Problem::new(ProblemKind::RateLimited, detail)
        };
        principal.hold(kind, most).ok_or_else(refused).map(Some)
    }

    /// A subscription's place among those of its principal.
    pub(super) fn hold_subscription(&self, most: usize) -> Result<Option<HeldPlace>, Problem> {
        self.hold(PlaceKind::Subscription, most, "subscriptions")
    }

    /// A place, if there is one.
    pub(super) fn take(&self, cost: Cost) -> Result<RequestPlace, Problem> {
        let part = |is_taken: bool, kind, of, most, what| {
            let take = || Ok::<_, Problem>((self.hold(kind, most, what)?, permit(of, most, what)?));
            is_taken.then(take).transpose()
        };
        let (is_all, sweeps) = (cost == Cost::Everything, "questions about the whole log");
        let everything = part(is_all, PlaceKind::Everything, &self.everything, SWEEPS_AT_A_TIME, sweeps)?;
        let (is_much, most) = (cost != Cost::Little, much(self.most));
        let much = part(is_much, PlaceKind::Much, &self.much, most, "questions that read much")?;
        let any = part(true, PlaceKind::Question, &self.all, self.most, "requests")?;
        Ok(RequestPlace { _parts: [everything, much, any] })
    }

    /// A place for someone who watches health, and need not say who that is: it is none among the questions.
    pub(super) fn take_watch(&self) -> Result<RequestPlace, Problem> {
        let watch = permit(&self.watches, HEALTH_WATCHES_MAX, "watches of health")?;
        Ok(RequestPlace { _parts: [None, None, Some((None, watch))] })
    }

    /// Leave to wait for the records of a command; none: too many wait.
    pub(super) fn wait_for_records(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.records).try_acquire_owned().ok()
    }

    /// Room for an answer of so many bytes, until it is sent.
    pub(super) fn keep_unsent(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes.min(UNSENT_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.unsent).try_acquire_many_owned(bytes).map_err(|_| {
            let detail = "too many answers wait until their clients read them; ask again later";
            Problem::new(ProblemKind::Overloaded, detail)
        })
    }

    /// Of room that was kept before an answer was made, as much as it takes.
    pub(super) fn keep_of(
        &self,
        mut room: OwnedSemaphorePermit,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        if let Some(part) = room.split(bytes) {
            return Ok(part);
        }
        drop(room);
        self.keep_unsent(bytes)
    }

    /// From now on nothing more is answered, and streams end.
    pub(super) fn close(&self) {
        self.all.close();
    }

    pub(super) fn check_open(&self) -> Result<(), Problem> {
        if self.all.is_closed() { Err(stopping()) } else { Ok(()) }
    }
}

/// How many of the places those that read much may have.
const fn much(most: usize) -> usize {
    if most < 2 { most } else { most / 2 }
}

fn permit(of: &Arc<Semaphore>, most: usize, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(of).try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits => Problem::new(
            ProblemKind::Overloaded,
            format!("{most} {what} are being answered; ask again later"),
        ),
        TryAcquireError::Closed => stopping(),
    })
}

fn stopping() -> Problem {
    Problem::new(ProblemKind::Stopping, "the server is stopping; ask again once it has started anew")
}

#[cfg(test)]
mod tests {
    use ledger_core::ids::ClientKey;

    use super::*;
    use crate::access::Rate;
    use crate::query::{InstallationsQuery, LogQuery, QuarantineQuery, ReplayQuery, TenantQuery};

    #[test]
    fn pages_are_apart_from_what_waits_and_from_what_is_little() {
        let client = ClientKey::new("t").unwrap();
        let tenant = |as_of| Cost::of(&TenantQuery { client: client.clone(), as_of }.into());
        let log = |as_of| {
            let client = client.clone();
            Cost::of(&LogQuery { client, from_seq: None, limit: None, as_of }.into())
        };
        let (now, waiting) = (AsOf::default(), AsOf { min_position: Some(1), ..AsOf::default() });
        assert_eq!([tenant(now), tenant(waiting)], [Cost::Little, Cost::Much]);
        assert_eq!([log(now), log(waiting)], [Cost::Page, Cost::Much]);
        assert_eq!(Cost::of(&InstallationsQuery::default().into()), Cost::Page);
        assert_eq!(Cost::of(&QuarantineQuery::default().into()), Cost::Page);
        assert_eq!(Cost::of(&ReplayQuery::default().into()), Cost::Everything);
    }

    #[test]
    fn watches_of_health_keep_no_question_from_its_answer() {
        let places = Places::new(4);
        let watches: Vec<_> = (0..HEALTH_WATCHES_MAX).map(|_| places.take_watch().unwrap()).collect();
        assert_eq!(places.take_watch().unwrap_err().kind, ProblemKind::Overloaded);
        places.take(Cost::Everything).unwrap();
        drop(watches);
        places.take_watch().unwrap();
    }

    #[test]
    fn questions_that_read_much_leave_half_of_the_places_to_the_others() {
        let places = Places::new(5);
        let much: Vec<_> = (0..2).map(|_| places.take(Cost::Much).unwrap()).collect();
        assert_eq!(places.take(Cost::Much).unwrap_err().kind, ProblemKind::Overloaded);
        assert_eq!(places.take(Cost::Everything).unwrap_err().kind, ProblemKind::Overloaded);
        let little: Vec<_> = (0..3).map(|_| places.take(Cost::Little).unwrap()).collect();
        assert_eq!(places.take(Cost::Little).unwrap_err().kind, ProblemKind::Overloaded);
        drop((much, little));
        places.take(Cost::Everything).unwrap();
        places.close();
        assert_eq!(places.take(Cost::Little).unwrap_err().kind, ProblemKind::Stopping);
    }

    #[test]
    fn one_principal_has_half_of_each_kind_of_place() {
        let places = Places::new(8);
        let of_one = places.of_principal(&Arc::new(Allowance::new(Rate::default())));
        let of_other = places.of_principal(&Arc::new(Allowance::new(Rate::default())));
        let scan = of_one.take(Cost::Everything).unwrap();
        assert_eq!(of_one.take(Cost::Everything).unwrap_err().kind, ProblemKind::RateLimited);
        let other_scan = of_other.take(Cost::Everything).unwrap();
        let much = of_one.take(Cost::Much).unwrap();
        assert_eq!(of_one.take(Cost::Page).unwrap_err().kind, ProblemKind::RateLimited);
        let little: Vec<_> = (0..2).map(|_| of_one.take(Cost::Little).unwrap()).collect();
        assert_eq!(of_one.take(Cost::Little).unwrap_err().kind, ProblemKind::RateLimited);
        of_other.take(Cost::Page).unwrap();
        drop((scan, much, little, other_scan));
        of_one.take(Cost::Everything).unwrap();
    }
}
