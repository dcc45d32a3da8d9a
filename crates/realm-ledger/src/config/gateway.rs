//! `[[gateway.app]]`: an app whose hooks are taken.

use std::collections::BTreeMap;

use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;
use ledger_gateway::options::AppOptions;

use super::access::{Members, TableRow, list};
use super::setting::quoted;
use super::value::GivenValue;

impl TableRow for AppOptions {
    const EXPECTED: &'static str = "tables with name, app_key, realms and, as the app has them, audiences (its Connect base \
                                    URLs), forge_app (its ARI), forward (a table: realm = base URL) and forward_paths (a \
                                    table: hook = path)";

    fn read(members: &mut Members) -> Option<Self> {
        let realm = |text: &String| Realm::parse(text).ok();
        let forward = members.table("forward")?.into_iter();
        Some(Self {
            name: members.text("name")?,
            app_key: AppKey::new(members.text("app_key")?).ok()?,
            forge_app: members.optional("forge_app", |given| given.text().map(Some))?,
            realms: members.given("realms")?.texts()?.iter().map(realm).collect::<Option<_>>()?,
            audiences: members.optional("audiences", GivenValue::texts)?,
            forward: forward.map(|(name, url)| Some((realm(&name)?, url))).collect::<Option<_>>()?,
            forward_paths: members.table("forward_paths")?,
        })
    }

    fn write(&self) -> Vec<(&'static str, String)> {
        let table = |pairs: Vec<(String, &String)>| {
            let pairs: Vec<_> =
                pairs.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
            (!pairs.is_empty()).then(|| format!("{{ {} }}", pairs.join(", ")))
        };
        let forward = self.forward.iter().map(|(realm, url)| (realm.as_str().to_owned(), url)).collect();
        let paths = self.forward_paths.iter().map(|(hook, path)| (hook.clone(), path)).collect();
        let mut members = vec![("name", quoted(&self.name)), ("app_key", quoted(self.app_key.as_str()))];
        members.extend(self.forge_app.as_ref().map(|app| ("forge_app", quoted(app))));
        members.push(("realms", list(self.realms.iter().map(Realm::as_str))));
        members.extend((!self.audiences.is_empty()).then(|| ("audiences", list(&self.audiences))));
        members.extend(table(forward).map(|table| ("forward", table)));
        members.extend(table(paths).map(|table| ("forward_paths", table)));
        members
    }
}

impl Members {
    /// A table of texts; empty, if it is not there.
    fn table(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        self.optional(name, |given| {
            given.table()?.into_iter().map(|(name, value)| Some((name, value.text()?))).collect()
        })
    }
}
