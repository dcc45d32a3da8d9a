//! Tenants that a replay keeps folded between their records: those that came up last, up to so many
//! installations. One that was let go is folded anew when it comes up again.

use std::collections::BTreeMap;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Tenant;

/// A tenant as known before the next record.
#[derive(Debug, Default)]
pub(super) struct Folded {
    pub(super) tenant: Tenant,
    /// Its last record.
    pub(super) seq: u64,
    /// It has records in another shard too.
    pub(super) split: bool,
}

#[derive(Debug)]
pub(super) struct Kept {
    most: usize,
    /// With when each came up last.
    tenants: BTreeMap<ClientKey, (u64, Folded)>,
    by_turn: BTreeMap<u64, ClientKey>,
    turn: u64,
    weight: usize,
}

impl Kept {
    /// Nothing yet, and never more than so many installations.
    pub(super) fn up_to(most: usize) -> Self {
        Self { most, tenants: BTreeMap::new(), by_turn: BTreeMap::new(), turn: 0, weight: 0 }
    }

    pub(super) fn has(&self, client: &ClientKey) -> bool {
        self.tenants.contains_key(client)
    }

    /// Takes a tenant out.
    pub(super) fn take(&mut self, client: &ClientKey) -> Option<Folded> {
        let (turn, folded) = self.tenants.remove(client)?;
        self.by_turn.remove(&turn);
        self.weight -= weight(&folded);
        Some(folded)
    }

    /// Keeps a tenant that just came up, and lets go those that did not for the longest time.
    pub(super) fn put(&mut self, client: ClientKey, folded: Folded) {
        self.turn += 1;
        self.weight += weight(&folded);
        self.by_turn.insert(self.turn, client.clone());
        self.tenants.insert(client, (self.turn, folded));
        while self.weight > self.most {
            let Some((_, oldest)) = self.by_turn.first_key_value() else { break };
            let oldest = oldest.clone();
            self.take(&oldest);
        }
    }

    /// Lets go every tenant of an app.
    pub(super) fn forget_app(&mut self, app: &AppKey) {
        let of_app =
            self.tenants.iter().filter(|(_, (_, folded))| folded.tenant.installations.contains_key(app));
        for client in of_app.map(|(client, _)| client.clone()).collect::<Vec<_>>() {
            self.take(&client);
        }
    }
}

fn weight(folded: &Folded) -> usize {
    folded.tenant.installations.len() + 1
}

#[cfg(test)]
mod tests {
    use ledger_core::state::Installation;

    use super::*;

    fn client(key: &str) -> ClientKey {
        ClientKey::new(key).unwrap()
    }

    fn of_apps(apps: &[&str]) -> Folded {
        let mut folded = Folded::default();
        for app in apps {
            folded.tenant.installations.insert(AppKey::new(*app).unwrap(), Installation::default());
        }
        folded
    }

    #[test]
    fn what_came_up_longest_ago_is_let_go_first() {
        let mut kept = Kept::up_to(6);
        for of in ["one", "two", "three"] {
            kept.put(client(of), of_apps(&["a"]));
        }
        let one = kept.take(&client("one")).unwrap();
        kept.put(client("one"), one);
        kept.put(client("four"), of_apps(&["b"]));
        let there = ["one", "two", "three", "four"].map(|of| kept.has(&client(of)));
        assert_eq!(there, [true, false, true, true]);
        kept.forget_app(&AppKey::new("a").unwrap());
        assert_eq!((kept.has(&client("four")), kept.weight, kept.by_turn.len()), (true, 2, 1));
        kept.put(client("giant"), of_apps(&["a", "b", "c", "d", "e", "f"]));
        assert_eq!((kept.weight, kept.tenants.len()), (0, 0), "what is over the bound alone is not kept");
    }
}
