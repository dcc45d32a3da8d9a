//! Someone who may ask, and for what.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ledger_record::token::without_tokens;

use super::admit::Refusal;
use super::allowance::Allowance;
use super::grants::Grants;
use crate::limits::PRINCIPAL_NAME_MAX_BYTES;

/// Whether this can name a principal, in a record and in a line of a log.
#[must_use]
pub fn is_principal_name(name: &str) -> bool {
    let has_token = matches!(without_tokens(name), Cow::Owned(_));
    (1..=PRINCIPAL_NAME_MAX_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) && !has_token
}

/// What a question takes to be asked. The table of questions has it for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessScope {
    /// State, lists, explanation, preview, what-if, decisions.
    Read,
    /// Log, replay, corrections, proofs, export, quarantine.
    Audit,
    /// Commands, and quarantine once more.
    Operate,
    /// The gateway.
    Hooks,
}

impl AccessScope {
    /// Every scope, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Read, Self::Audit, Self::Operate, Self::Hooks];

    /// As it is written in configurations and claims.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Audit => "audit",
            Self::Operate => "operate",
            Self::Hooks => "hooks",
        }
    }

    /// The scope of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for AccessScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Several scopes. `operate` brings `read` and `audit` along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether what takes this scope may be asked.
    #[must_use]
    pub const fn has(self, scope: AccessScope) -> bool {
        let is_implied = matches!(scope, AccessScope::Read | AccessScope::Audit)
            && self.0 & (1 << AccessScope::Operate as u8) != 0;
        is_implied || self.0 & (1 << scope as u8) != 0
    }

    /// Those that were given, by name.
    pub fn names(self) -> Vec<&'static str> {
        let given = AccessScope::ALL.into_iter().filter(|scope| self.0 & (1 << *scope as u8) != 0);
        given.map(AccessScope::as_str).collect()
    }
}

impl FromIterator<AccessScope> for Scopes {
    fn from_iter<I: IntoIterator<Item = AccessScope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | (1 << scope as u8)))
    }
}

/// Someone who may ask.
#[derive(Debug)]
pub struct Principal {
    /// For logs, and the actor of commands.
    pub name: String,
    /// For what.
    pub scopes: Scopes,
    /// Of which apps.
    pub apps: Grants,
    /// Of all credentials with which it asks.
    pub(crate) allowance: Arc<Allowance>,
}

impl Principal {
    /// The one check before a question is answered.
    pub fn check(&self, needed: AccessScope) -> Result<(), Refusal> {
        if self.scopes.has(needed) { Ok(()) } else { Err(Refusal::ScopeMissing { needed }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operate_implies_read_and_audit_and_nothing_implies_hooks() {
        let has = |given: &[AccessScope]| {
            let given: Scopes = given.iter().copied().collect();
            AccessScope::ALL.map(|scope| given.has(scope))
        };
        assert_eq!(has(&[]), [false; 4]);
        assert_eq!(has(&[AccessScope::Read]), [true, false, false, false]);
        assert_eq!(has(&[AccessScope::Audit]), [false, true, false, false]);
        assert_eq!(has(&[AccessScope::Operate]), [true, true, true, false]);
        assert_eq!(has(&[AccessScope::Hooks]), [false, false, false, true]);
        let given: Scopes = [AccessScope::Operate, AccessScope::Hooks].into_iter().collect();
        assert_eq!(given.names(), ["operate", "hooks"], "as it was given");
    }
}
