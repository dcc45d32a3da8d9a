//! What the owner of a gateway decides, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use axum::http::Uri;
use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;

use crate::hook::Hook;

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Address and port of its listener.
    pub listen: String,
    /// The apps whose hooks it takes; without one there is no gateway.
    pub apps: Vec<AppOptions>,
    /// Hosts that stand for a realm of an app: `name/REALM`.
    pub hosts: BTreeMap<String, String>,
    /// Servers of the keys that sign Connect installs, in the order in which they are asked.
    pub install_keys: Vec<String>,
    /// Key sets that sign Forge invocation tokens: files or URLs. One with `{icLabel}` is for isolated clouds.
    pub forge_jwks: Vec<String>,
    /// Hosts that a site may have; `*.` stands for any name before the rest.
    pub site_hosts: Vec<String>,
    /// PEM file of the authorities that apps are checked by where calls go on over https; none: the public ones.
    pub forward_ca: Option<PathBuf>,
    /// Whether the account that caused an event is recorded.
    pub record_actor: bool,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            listen: "127.0.0.1:8090".to_owned(),
            apps: Vec::new(),
            hosts: BTreeMap::new(),
            install_keys: own(&[
                "https://asap-distribution.us-west-2.prod.atl-asap.net",
                "https://connect-install-keys.atlassian.com",
            ]),
            forge_jwks: own(&["https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"]),
            site_hosts: own(&["*.atlassian.net", "*.jira.com"]),
            forward_ca: None,
            record_actor: true,
        }
    }
}

/// An app whose hooks are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppOptions {
    /// Its name in routes, logs and metrics.
    pub name: String,
    /// Its key in the ledger: that of its Connect descriptor, and of `app.connect.key` in its Forge manifest.
    pub app_key: AppKey,
    /// Its Forge app id, whom invocation tokens are for.
    pub forge_app: Option<String>,
    /// The realms it is called at.
    pub realms: Vec<Realm>,
    /// Its base URLs, whom Connect's install tokens are for.
    pub audiences: Vec<String>,
    /// Where calls are forwarded to, by realm; a realm without one takes copies only.
    pub forward: BTreeMap<Realm, String>,
    /// Paths of hooks at the app, where they are not the usual ones.
    pub forward_paths: BTreeMap<String, String>,
}

/// A setting that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionFault {
    /// Which.
    pub key: &'static str,
    /// What it is to be.
    pub expected: String,
}

impl AppOptions {
    /// Where the app takes a hook. Atlassian signs this path.
    #[must_use]
    pub fn path_of(&self, hook: Hook) -> &str {
        self.forward_paths.get(hook.name()).map_or_else(|| hook.usual_path(), String::as_str)
    }
}

impl GatewayOptions {
    /// Everything that is wrong.
    #[must_use]
    pub fn faults(&self) -> Vec<OptionFault> {
        let mut faults = Vec::new();
        let mut check = |key, is_right: bool, expected: String| {
            if !is_right {
                faults.push(OptionFault { key, expected });
            }
        };
        let mut names = BTreeSet::new();
        for app in &self.apps {
            let name = &app.name;
            check(
                "gateway.app",
                names.insert(name),
                format!("apps with names of their own, not {name} twice"),
            );
            for (is_right, expected) in app.checks() {
                check("gateway.app", is_right, format!("{expected} (app {name})"));
            }
        }
        for (host, place) in &self.hosts {
            let is_host = !host.is_empty() && !host.contains(['/', ':', '@']);
            check("gateway.hosts", is_host, format!("hosts without scheme and port, not {host}"));
            let expected =
                format!("an app and one of its realms for each host, as in \"roadmap/EU\", not {place}");
            check("gateway.hosts", self.place_of(place).is_some(), expected);
        }
        for server in &self.install_keys {
            check("gateway.install_keys", is_safe_url(server), format!("https URLs, not {server}"));
        }
        for keys in &self.forge_jwks {
            let is_right = !keys.contains("://") || is_safe_url(&keys.replace("{icLabel}", "a"));
            check("gateway.forge_jwks", is_right, format!("files or https URLs, not {keys}"));
        }
        for pattern in &self.site_hosts {
            let rest = pattern.strip_prefix("*.").unwrap_or(pattern);
            let is_right = !rest.is_empty() && !rest.contains(['*', '/', ':', '@']);
            check("gateway.site_hosts", is_right, format!("hosts, or *. and a host, not {pattern}"));
        }
        faults
    }

    /// The app and the realm that `name/REALM` stands for.
    pub(crate) fn place_of(&self, place: &str) -> Option<(usize, Realm)> {
        let (name, realm) = place.split_once('/')?;
        let at = self.apps.iter().position(|app| app.name == name)?;
        let realm = Realm::parse(realm).ok()?;
        self.apps[at].realms.contains(&realm).then_some((at, realm))
    }
}

impl AppOptions {
    fn checks(&self) -> Vec<(bool, String)> {
        let is_name = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-';
        let realms: BTreeSet<_> = self.realms.iter().collect();
        let mut checks = vec![
            (!self.name.is_empty() && self.name.chars().all(is_name), "a name of a-z, 0-9 and -".to_owned()),
            (!realms.is_empty() && realms.len() == self.realms.len(), "realms, each once".to_owned()),
            (
                !self.audiences.is_empty() || self.forge_app.is_some(),
                "audiences for Connect, forge_app for Forge, or both: without them no call can be verified"
                    .to_owned(),
            ),
            (
                self.forge_app.as_ref().is_none_or(|app| app.starts_with("ari:cloud:ecosystem::app/")),
                "forge_app as ari:cloud:ecosystem::app/… says it".to_owned(),
            ),
        ];
        for audience in &self.audiences {
            checks.push((is_url(audience), format!("base URLs as audiences, not {audience}")));
        }
        for (realm, url) in &self.forward {
            let is_right = realms.contains(realm) && is_url(url);
            checks.push((
                is_right,
                format!("a base URL to forward to for one of its realms, not {realm} = {url}"),
            ));
        }
        let mut paths = BTreeSet::new();
        for (hook, path) in &self.forward_paths {
            let is_right = Hook::parse(hook).is_some_and(|hook| hook != Hook::Seen) && path.starts_with('/');
            checks.push((
                is_right,
                format!(
                    "a path for a hook, as in \"connect/installed\" = \"/installed\", not {hook} = {path}"
                ),
            ));
        }
        for hook in Hook::all().map(|(hook, _)| hook).filter(|hook| *hook != Hook::Seen) {
            let path = self.path_of(hook);
            checks.push((paths.insert(path), format!("another path for each hook, not {path} twice")));
        }
        checks
    }
}

fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    is_http
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
        && !text.contains(['@', '#'])
}

/// Over TLS, or from this machine.
fn is_safe_url(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok().filter(|_| is_url(text));
    uri.is_some_and(|uri| {
        uri.scheme_str() == Some("https") || matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppOptions {
        AppOptions {
            name: "roadmap".to_owned(),
            app_key: AppKey::new("com.example.roadmap").unwrap(),
            forge_app: Some("ari:cloud:ecosystem::app/1".to_owned()),
            realms: vec![Realm::GLOBAL, Realm::parse("EU").unwrap()],
            audiences: vec!["https://app.example.com".to_owned()],
            forward: BTreeMap::new(),
            forward_paths: BTreeMap::new(),
        }
    }

    fn faults(change: impl FnOnce(&mut GatewayOptions)) -> Vec<String> {
        let mut options = GatewayOptions { apps: vec![app()], ..GatewayOptions::default() };
        change(&mut options);
        options.faults().into_iter().map(|fault| format!("{} {}", fault.key, fault.expected)).collect()
    }

    #[test]
    fn all_faults_are_named_at_once() {
        assert_eq!(faults(|_| {}), Vec::<String>::new());
        let all = faults(|options| {
            options.apps.push(app());
            options.apps[0].realms.clear();
            options.apps[1].name = "Road map".to_owned();
            options.apps[1].audiences = vec!["app.example.com".to_owned()];
            options.apps[1].forge_app = Some("1".to_owned());
            options.apps[1].forward.insert(Realm::parse("US").unwrap(), "https://us".to_owned());
            options.apps[1].forward_paths.insert("forge/seen".to_owned(), "/x".to_owned());
            options.apps[1].forward_paths.insert("forge".to_owned(), "/installed".to_owned());
            options.hosts.insert("eu.example.com".to_owned(), "roadmap/AU".to_owned());
            options.hosts.insert("https://eu".to_owned(), "x".to_owned());
            options.install_keys = vec!["http://keys.example.com".to_owned()];
            options.forge_jwks = vec!["http://keys.example.com/{icLabel}".to_owned()];
            options.site_hosts = vec!["*".to_owned()];
        });
        let expected = [
            "realms, each once",
            "a name of",
            "base URLs as audiences",
            "forge_app as",
            "to forward to",
            "a path for a hook",
            "another path for each hook",
            "for each host",
            "hosts without scheme",
            "https URLs",
            "files or https URLs",
            "or *. and a host",
        ];
        for expected in expected {
            assert!(all.iter().any(|fault| fault.contains(expected)), "{expected} in {all:#?}");
        }
        let twice = faults(|options| options.apps.push(app()));
        assert_eq!(twice, ["gateway.app apps with names of their own, not roadmap twice"]);
    }

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in ["https://a.example/k", "http://127.0.0.1:80/k", "http://localhost:1", "http://[::1]:1/k"]
        {
            assert!(is_safe_url(good), "{good}");
        }
        for bad in
            ["http://a.example/k", "http://127.0.0.1.a.example", "https://a@b/", "ftp://a", "a", "https://"]
        {
            assert!(!is_safe_url(bad), "{bad}");
        }
    }
}
