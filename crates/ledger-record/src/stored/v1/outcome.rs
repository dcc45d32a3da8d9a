//! What a record changed.

use bincode::{BorrowDecode, Encode};
use ledger_core::ids::{AppKey, MigrationId};
use ledger_core::state::{AnomalyCode, MigrationPhase, Status};
use ledger_core::tenant;

use crate::codec::DecodeError;
use crate::stored::parts::{Code, List, Place, Text, place};
use crate::stored::v1::state::{Decision, Pin, Window};

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Outcome<'a> {
    late: bool,
    changes: Changes<'a>,
}

/// Changes beside the event that made them, or of a late app-level event by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Changes<'a>(List<Change<'a>>);

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Change<'a> {
    /// Absent for the app of the event itself, which is nearly always the one.
    app: Option<Text<'a>>,
    before: Option<Summary<'a>>,
    after: Summary<'a>,
    decision: Option<Decision>,
    anomalies: List<Code<AnomalyCode>>,
    correction: Option<Correction>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Correction {
    first_seq: u64,
    count: u64,
    decision: Option<Decision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Summary<'a> {
    status: Code<Status>,
    enabled: bool,
    pin: Option<Pin>,
    product_realm: Option<Place>,
    data_realm: Option<Place>,
    window: Option<Window>,
    migration: Option<Migration<'a>>,
    override_realm: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Migration<'a> {
    id: Text<'a>,
    target: Option<Place>,
    phase: Code<MigrationPhase>,
}

impl<'a> Outcome<'a> {
    pub(crate) fn of(outcome: &'a tenant::Outcome, own: Option<&AppKey>) -> Self {
        let tenant::Outcome { late, changes } = outcome;
        Self { late: *late, changes: Changes::of(changes, own) }
    }

    pub(crate) fn restore(self, own: Option<&AppKey>) -> Result<tenant::Outcome, DecodeError> {
        Ok(tenant::Outcome { late: self.late, changes: self.changes.restore(own)? })
    }
}

impl<'a> Changes<'a> {
    /// `own` is the app of the event that made them.
    pub(crate) fn of(changes: &'a [tenant::Change], own: Option<&AppKey>) -> Self {
        Self(changes.iter().map(|change| Change::of(change, own)).collect())
    }

    pub(crate) fn restore(self, own: Option<&AppKey>) -> Result<Vec<tenant::Change>, DecodeError> {
        self.0.0.into_iter().map(|change| change.restore(own)).collect()
    }
}

impl<'a> Change<'a> {
    fn of(change: &'a tenant::Change, own: Option<&AppKey>) -> Self {
        let tenant::Change { app, before, after, decision, anomalies, correction } = change;
        Self {
            app: (own != Some(app)).then_some(Text(app.as_str())),
            before: before.as_ref().map(Summary::of),
            after: Summary::of(after),
            decision: decision.map(Decision::of),
            anomalies: anomalies.iter().copied().map(Code).collect(),
            correction: correction.map(Correction::of),
        }
    }

    fn restore(self, own: Option<&AppKey>) -> Result<tenant::Change, DecodeError> {
        let app = match (self.app, own) {
            (Some(app), Some(own)) if app.0 == own.as_str() => return Err(DecodeError::NotCanonical),
            (Some(app), _) => AppKey::new(app.0)?,
            (None, Some(own)) => own.clone(),
            (None, None) => return Err(DecodeError::NotCanonical),
        };
        Ok(tenant::Change {
            app,
            before: self.before.map(Summary::restore).transpose()?,
            after: self.after.restore()?,
            decision: self.decision.map(Decision::restore),
            anomalies: self.anomalies.0.into_iter().map(|code| code.0).collect(),
            correction: self.correction.map(Correction::restore),
        })
    }
}

impl Correction {
    fn of(correction: tenant::Correction) -> Self {
        let tenant::Correction { first_seq, count, decision } = correction;
        Self { first_seq, count, decision: decision.map(Decision::of) }
    }

    fn restore(self) -> tenant::Correction {
        tenant::Correction {
            first_seq: self.first_seq,
            count: self.count,
            decision: self.decision.map(Decision::restore),
        }
    }
}

impl<'a> Summary<'a> {
    fn of(summary: &'a tenant::Summary) -> Self {
        let tenant::Summary {
            status,
            enabled,
            pin,
            product_realm,
            data_realm,
            window,
            migration,
            override_realm,
        } = summary;
        Self {
            status: Code(*status),
            enabled: *enabled,
            pin: pin.map(Pin::of),
            product_realm: product_realm.map(Place),
            data_realm: data_realm.map(Place),
            window: window.map(Window::of),
            migration: migration.as_ref().map(|(id, target, phase)| Migration {
                id: Text(id.as_str()),
                target: target.map(Place),
                phase: Code(*phase),
            }),
            override_realm: override_realm.map(Place),
        }
    }

    fn restore(self) -> Result<tenant::Summary, DecodeError> {
        let migration = self.migration.map(|pending| {
            Ok::<_, DecodeError>((MigrationId::new(pending.id.0)?, place(pending.target), pending.phase.0))
        });
        Ok(tenant::Summary {
            status: self.status.0,
            enabled: self.enabled,
            pin: self.pin.map(Pin::restore),
            product_realm: place(self.product_realm),
            data_realm: place(self.data_realm),
            window: self.window.map(Window::restore),
            migration: migration.transpose()?,
            override_realm: place(self.override_realm),
        })
    }
}
