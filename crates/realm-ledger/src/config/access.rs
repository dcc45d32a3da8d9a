//! Who may ask, as lists of tables: `[[access.token]]` and the like.
//!
//! Every member is looked at: one that is not known, or not what it should be, makes the list none, and is named.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ledger_api::access::{
    AccessScope, CertificateOptions, Grants, IssuerOptions, KeySet, Scopes, SigningAlgorithm, TokenOptions,
    is_principal_name,
};
use ledger_api::limits::ISSUER_LEEWAY_MAX;
use ledger_record::json::time::{format_instant, parse_instant};

use super::setting::quoted;
use super::value::{GivenValue, show_duration};

/// A list of tables.
pub(super) trait Tables {
    /// Sets it, or returns which member of which table is not what it should be.
    fn put(&mut self, tables: Vec<BTreeMap<String, GivenValue>>) -> Result<(), String>;
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
    fn put(&mut self, tables: Vec<BTreeMap<String, GivenValue>>) -> Result<(), String> {
        let read = |(index, table)| {
            let mut members = Members { left: table, last: String::new() };
            let row = T::read(&mut members);
            let wrong = if row.is_some() { members.left.into_keys().next() } else { Some(members.last) };
            match (row, wrong) {
                (Some(row), None) => Ok(row),
                (_, wrong) => Err(format!("{} of entry {}", wrong.unwrap_or_default(), index + 1)),
            }
        };
        *self = tables.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(())
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

/// The members of a table. A row reads one after the other and ends at the first that is wrong or missing.
pub(super) struct Members {
    /// Not read yet.
    left: BTreeMap<String, GivenValue>,
    /// Read last.
    last: String,
}

impl Members {
    pub(super) fn given(&mut self, name: &str) -> Option<GivenValue> {
        name.clone_into(&mut self.last);
        self.left.remove(name)
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

    /// Who it is, as logs and records name it.
    fn name(&mut self) -> Option<String> {
        self.text("name").filter(|name| is_principal_name(name))
    }

    /// A text that has a default; a wrong one must not be taken for it.
    fn text_or(&mut self, name: &str, default: &str) -> Option<String> {
        if self.left.contains_key(name) {
            return self.text(name);
        }
        Some(default.to_owned())
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
    const EXPECTED: &'static str = "tables with name (1 to 255 bytes without control characters), sha256 (of the token, 64 hexadecimal digits), scopes (some of \
                                    read, audit, operate, hooks), apps (app keys, or \"*\" for all) and, if it is to \
                                    end, expires (an instant in RFC 3339, as a text)";

    fn read(members: &mut Members) -> Option<Self> {
        Some(Self {
            name: members.name()?,
            sha256: members.hash()?,
            scopes: members.scopes()?,
            apps: members.apps()?,
            expires: members.optional("expires", |given| parse_instant(&given.text()?).ok().map(Some))?,
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
            name: members.name()?,
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
                                    (\"apps\"), leeway (\"5s\", at most \"5m\") and ca (the authorities of a https URL, PEM)";

    fn read(members: &mut Members) -> Option<Self> {
        let known = |name: &String| SigningAlgorithm::ALL.into_iter().find(|known| known.as_str() == name);
        let algorithms: Vec<_> =
            members.given("algorithms")?.texts()?.iter().map(known).collect::<Option<_>>()?;
        let algorithms = Some(algorithms).filter(|some| !some.is_empty())?;
        let leeway = members.given("leeway").map_or(Some(LEEWAY), GivenValue::duration);
        let leeway = leeway.filter(|leeway| *leeway <= ISSUER_LEEWAY_MAX)?;
        let ca = members.optional("ca", |given| {
            given.text().filter(|path| !path.is_empty()).map(|path| Some(PathBuf::from(path)))
        })?;
        let jwks = members.text("jwks").filter(|place| KeySet::check_place(place, ca.as_deref()).is_ok())?;
        Some(Self {
            algorithms,
            leeway,
            issuer: members.text("issuer").filter(|name| is_principal_name(name))?,
            audience: members.text("audience")?,
            jwks,
            ca,
            scopes_claim: members.text_or("scopes_claim", "scope")?,
            apps_claim: members.text_or("apps_claim", "apps")?,
        })
    }

    fn write(&self) -> Vec<(&'static str, String)> {
        let mut members = vec![
            ("issuer", quoted(&self.issuer)),
            ("audience", quoted(&self.audience)),
            ("jwks", quoted(&self.jwks)),
            ("algorithms", list(self.algorithms.iter().map(|algorithm| algorithm.as_str()))),
            ("scopes_claim", quoted(&self.scopes_claim)),
            ("apps_claim", quoted(&self.apps_claim)),
            ("leeway", quoted(&show_duration(self.leeway))),
        ];
        members.extend(self.ca.as_ref().map(|path| ("ca", quoted(&path.to_string_lossy()))));
        members
    }
}

/// An entry as the lines of a file.
pub(crate) fn token_lines(token: &TokenOptions) -> String {
    let members = token.write().into_iter().map(|(name, value)| format!("{name} = {value}\n"));
    format!("[[access.token]]\n{}", members.collect::<String>())
}
