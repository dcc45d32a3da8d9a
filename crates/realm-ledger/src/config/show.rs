//! The configuration in words: what is in force, and the documented default file.

use std::fmt::Write as _;

use super::setting::{SETTINGS, quoted};
use super::{Config, Loaded, Origin};

/// One value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Its key, as it is written in TOML.
    pub key: String,
    /// The value as TOML; masked if it is secret.
    pub value: String,
    /// Where it comes from.
    pub origin: &'a Origin,
}

/// What stands in place of a secret.
const MASK: &str = "\"********\"";

/// A property with one of these in its name is nobody's business. Some that match are harmless (the path of a
/// key file); better so than the other way round.
const SECRET: &[&str] =
    &["password", "secret", "key", "token", "jaas", "pem", "credential", "oauthbearer.config"];

impl Loaded {
    /// Every value in force, by section, without secrets.
    pub fn shown(&self) -> Vec<Shown<'_>> {
        let mut all = Vec::new();
        for setting in SETTINGS {
            if let Some(value) = setting.value(&self.config) {
                all.push(Shown { key: setting.key.to_owned(), value, origin: self.origin(setting.key) });
            }
            for (name, value) in setting.properties(&self.config) {
                let value = if is_secret(&name) { MASK.to_owned() } else { quoted(&value) };
                let origin = self.origin(&format!("{}.{name}", setting.key));
                all.push(Shown { key: format!("{}.{}", setting.key, quoted(&name)), value, origin });
            }
        }
        all
    }
}

fn is_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    SECRET.iter().any(|word| property.contains(word))
}

/// The default configuration as a file, every key with what it is for: `deploy/realm-ledger.toml`.
pub fn documented() -> String {
    let defaults = Config::default();
    let mut text = HEADER.to_owned();
    let mut section = "";
    for setting in SETTINGS {
        let (of, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if of != section && !setting.has_properties() {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        text.push('\n');
        for line in setting.about.lines() {
            let _ = writeln!(text, "# {line}");
        }
        match setting.value(&defaults) {
            Some(value) => {
                let _ = writeln!(text, "{name} = {value}");
            }
            None => {
                let _ = writeln!(text, "[{}]", setting.key);
            }
        }
    }
    text
}

const HEADER: &str = "\
# realm-ledger: every setting with its default. A file only needs those that differ.
#
# Environment variables come before the file, flags before both:
#   REALM_LEDGER_KAFKA__BROKERS=kafka:9092       is  kafka.brokers
#   REALM_LEDGER_KAFKA__CLIENT__SASL_PASSWORD=…  is  kafka.client.\"sasl.password\"
#
# Sizes and durations are written with their unit: \"256MiB\", \"60s\". Unknown keys are refused.
";
