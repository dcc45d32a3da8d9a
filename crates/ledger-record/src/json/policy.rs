//! A policy as people give it, on the command line or in the body of a request.
//!
//! It is read strictly: a policy that has more members than its mode uses is refused, because it is not known what was
//! meant. [`Policy`] itself writes the same text, and reads leniently what the ledger wrote.

use ledger_core::limits::POLICY_MAX_DAYS;
use ledger_core::policy::Policy;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A policy as given. (Without their braces the variants without fields would take any members.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "mode",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields,
    expecting = "a JSON object with a mode"
)]
pub enum GivenPolicy {
    /// As the descriptor in force declares.
    Descriptor {},
    /// No window.
    Off {},
    /// So many days.
    Days {
        /// How many.
        #[serde(deserialize_with = "whole")]
        days: u32,
    },
    /// Without end.
    Indefinite {},
    /// As long as the subscription is active.
    Subscription {
        /// And so many days more.
        #[serde(deserialize_with = "whole")]
        grace_days: u32,
    },
}

/// Days or grace that no policy may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy's days are 1 to {POLICY_MAX_DAYS}, its grace days 0 to {POLICY_MAX_DAYS}")]
pub struct InvalidPolicyDays;

impl TryFrom<GivenPolicy> for Policy {
    type Error = InvalidPolicyDays;

    fn try_from(given: GivenPolicy) -> Result<Self, InvalidPolicyDays> {
        Ok(match given {
            GivenPolicy::Descriptor {} => Self::Descriptor,
            GivenPolicy::Off {} => Self::Off,
            GivenPolicy::Days { days } if (1..=POLICY_MAX_DAYS).contains(&days) => Self::Days { days },
            GivenPolicy::Indefinite {} => Self::Indefinite,
            GivenPolicy::Subscription { grace_days } if grace_days <= POLICY_MAX_DAYS => {
                Self::Subscription { grace_days }
            }
            GivenPolicy::Days { .. } | GivenPolicy::Subscription { .. } => return Err(InvalidPolicyDays),
        })
    }
}

/// A whole number by its value, as `policy-set` takes it: `30.0` is 30.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let value =
        number.as_f64().filter(|value| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within the bounds"
    )]
    let whole = value.map(|value| value as u32);
    whole.ok_or_else(|| D::Error::custom(format!("{number} is no whole number of days")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_taken_by_their_value_as_policy_set_takes_them() {
        let read = |text: &str| serde_json::from_str::<GivenPolicy>(text);
        for days in ["30", "30.0", "3e1"] {
            let read = read(&format!(r#"{{"mode":"days","days":{days}}}"#)).unwrap();
            assert_eq!(read, GivenPolicy::Days { days: 30 });
        }
        let grace = read(r#"{"graceDays":0.0,"mode":"subscription"}"#).unwrap();
        assert_eq!(grace, GivenPolicy::Subscription { grace_days: 0 });
        for days in ["30.5", "-1", "4294967296", "\"30\"", "null", "true"] {
            assert!(read(&format!(r#"{{"mode":"days","days":{days}}}"#)).is_err(), "{days}");
        }
    }

    #[test]
    fn policies_that_do_not_exist_are_refused() {
        for days in [0, 36_501] {
            assert_eq!(Policy::try_from(GivenPolicy::Days { days }), Err(InvalidPolicyDays));
        }
        let grace = GivenPolicy::Subscription { grace_days: 36_501 };
        assert_eq!(Policy::try_from(grace), Err(InvalidPolicyDays));
    }
}
