//! Who may ask, as lists of tables: `[[access.token]]` and the like.
//!
//! Every member is looked at: one that is not known, or not what it should be, makes the list none.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger_api::access::{
    AccessScope, CertificateOptions, Grants, IssuerOptions, Scopes, SigningAlgorithm, TokenOptions,
};
use ledger_core::time::Timestamp;
use ledger_record::json::time::{format_instant, parse_instant};

use super::setting::quoted;
use super::value::{GivenValue, show_duration};

/// A list of tables.
pub(super) trait Tables {
    /// Sets it; none if it is not what it should be.
    fn put(&mut self, tables: Vec<BTreeMap<String, GivenValue>>) -> Option<()>;
    /// As TOML; none where it is empty.
    fn to_toml(&self) -> Option<String>;
    /// What it takes, in words.
    fn expected(&self) -> &'static str;
}

/// A table that is one of several.
pub(super) trait TableRow: Sized {
    const EXPECTED: &'static str;
    fn read(members: &mut Members) -> Option<Self>;
    fn write(&self) -> Vec<(&'static str, String)>;
}

impl<T: TableRow> Tables for Vec<T> {
    fn put(&mut self, tables: Vec<BTreeMap<String, GivenValue>>) -> Option<()> {
        let read = |table| {
            let mut members = Members(table);
            T::read(&mut members).filter(|_| members.0.is_empty())
        };
        *self = tables.into_iter().map(read).collect::<Option<_>>()?;
        Some(())
    }

    fn to_toml(&self) -> Option<String> {
        let rows = self.iter().map(|row| {
            let members = row.write().into_iter().map(|(name, value)| format!("{name} = {value}"));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        });
        (!self.is_empty()).then(|| format!("[{}]", rows.collect::<Vec<_>>().join(", ")))
    }

    fn expected(&self) -> &'static str {
        T::EXPECTED
    }
}

/// The members of a table that were not read yet.
pub(super) struct Members(BTreeMap<String, GivenValue>);

impl Members {
    pub(super) fn given(&mut self, name: &str) -> Option<GivenValue> {
        self.0.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.given(name)?.text().filter(|text| !text.is_empty())
    }

    /// What need not be there, but has to be right if it is.
    pub(super) fn optional<T: Default>(
        &mut self,
        name: &str,
        read: impl FnOnce(GivenValue) -> Option<T>,
    ) -> Option<T> {
        self.given(name).map_or_else(|| Some(T::default()), read)
    }

    fn hash(&mut self) -> Option<[u8; 32]> {
        hex::decode(self.text("sha256")?).ok()?.try_into().ok()
    }

    fn scopes(&mut self) -> Option<Scopes> {
        let names = self.given("scopes")?.texts()?;
        names.iter().map(|name| AccessScope::parse(name)).collect()
    }

    fn apps(&mut self) -> Option<Grants> {
        Grants::parse(&self.given("apps")?.texts()?).ok()
    }

    /// What is there has to be one: what is not stays among the members, which refuses the table.
    fn instant(&mut self, name: &'static str) -> Option<Timestamp> {
        let given = self.0.get(name)?.clone().text()?;
        let instant = parse_instant(&given).ok()?;
        self.0.remove(name);
        Some(instant)
    }
}

pub(super) fn list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

fn rights(scopes: Scopes, apps: &Grants) -> [(&'static str, String); 2] {
    [("scopes", list(scopes.names())), ("apps", list(apps.texts()))]
}

impl TableRow for TokenOptions {
    const EXPECTED: &'static str = "tables with name, sha256 (of the token, 64 hexadecimal digits), scopes (some of \
                                    read, audit, operate, hooks), apps (app keys, or \"*\" for all) and, if it is to \
                                    end, expires (an instant in RFC 3339, as a text)";

    fn read(members: &mut Members) -> Option<Self> {
        Some(Self {
            name: members.text("name")?,
            sha256: members.hash()?,
            scopes: members.scopes()?,
            apps: members.apps()?,
            expires: members.instant("expires"),
        })
    }

    fn write(&self) -> Vec<(&'static str, String)> {
        let mut members = vec![("name", quoted(&self.name)), ("sha256", quoted(&hex::encode(self.sha256)))];
        members.extend(rights(self.scopes, &self.apps));
        members.extend(self.expires.map(|instant| ("expires", quoted(&format_instant(instant)))));
        members
    }
}

impl TableRow for CertificateOptions {
    const EXPECTED: &'static str = "tables with name, sha256 (of the certificate in DER, 64 hexadecimal digits), scopes \
                                    (some of read, audit, operate, hooks) and apps (app keys, or \"*\" for all)";

    fn read(members: &mut Members) -> Option<Self> {
        Some(Self {
            name: members.text("name")?,
            sha256: members.hash()?,
            scopes: members.scopes()?,
            apps: members.apps()?,
        })
    }

    fn write(&self) -> Vec<(&'static str, String)> {
        let mut members = vec![("name", quoted(&self.name)), ("sha256", quoted(&hex::encode(self.sha256)))];
        members.extend(rights(self.scopes, &self.apps));
        members
    }
}

const LEEWAY: Duration = Duration::from_secs(5);

impl TableRow for IssuerOptions {
    const EXPECTED: &'static str = "tables with issuer, audience, jwks (a file, or an https URL), algorithms (some of \
                                    RS256, ES256, EdDSA) and, if they are others, scopes_claim (\"scope\"), apps_claim \
                                    (\"apps\") and leeway (\"5s\")";

    fn read(members: &mut Members) -> Option<Self> {
        let algorithms = members.given("algorithms")?.texts()?;
        let known = |name: &String| SigningAlgorithm::ALL.into_iter().find(|known| known.as_str() == name);
        let algorithms: Vec<_> = algorithms.iter().map(known).collect::<Option<_>>()?;
        let leeway = members.given("leeway").map_or(Some(LEEWAY), GivenValue::duration)?;
        Some(Self {
            issuer: members.text("issuer")?,
            audience: members.text("audience")?,
            jwks: members.text("jwks")?,
            algorithms: Some(algorithms).filter(|some| !some.is_empty())?,
            scopes_claim: members.text("scopes_claim").unwrap_or_else(|| "scope".to_owned()),
            apps_claim: members.text("apps_claim").unwrap_or_else(|| "apps".to_owned()),
            leeway,
        })
    }

    fn write(&self) -> Vec<(&'static str, String)> {
        vec![
            ("issuer", quoted(&self.issuer)),
            ("audience", quoted(&self.audience)),
            ("jwks", quoted(&self.jwks)),
            ("algorithms", list(self.algorithms.iter().map(|algorithm| algorithm.as_str()))),
            ("scopes_claim", quoted(&self.scopes_claim)),
            ("apps_claim", quoted(&self.apps_claim)),
            ("leeway", quoted(&show_duration(self.leeway))),
        ]
    }
}

/// An entry as the lines of a file.
pub(crate) fn token_lines(token: &TokenOptions) -> String {
    let members = token.write().into_iter().map(|(name, value)| format!("{name} = {value}\n"));
    format!("[[access.token]]\n{}", members.collect::<String>())
}
