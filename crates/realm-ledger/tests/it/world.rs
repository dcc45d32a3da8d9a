//! Runs of the program, and a ledger to ask.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_api::http::{self, Api};
use ledger_api::ledger::Ledger;
use ledger_store::{Catalog, DataDir, Phase, Served, ShardId, ShardStatus, StoreOptions};
use realm_ledger::{Env, Exit, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What a run reported.
pub(crate) struct RunResult {
    pub(crate) exit: Exit,
    pub(crate) output: String,
    pub(crate) messages: String,
}

impl RunResult {
    /// The output of a run that must succeed.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.exit, Exit::Done, "{}", self.messages);
        self.output
    }
}

/// A run with its input, terminals and environment.
pub(crate) struct Run<'a> {
    pub(crate) arguments: Vec<String>,
    pub(crate) input: &'a str,
    pub(crate) terminal: bool,
    pub(crate) messages_terminal: bool,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Run<'_> {
    pub(crate) fn new(line: &str) -> Self {
        let arguments = std::iter::once("realm-ledger").chain(line.split_whitespace());
        Self {
            arguments: arguments.map(str::to_owned).collect(),
            input: "",
            terminal: false,
            messages_terminal: false,
            environment: BTreeMap::new(),
        }
    }

    pub(crate) fn execute(self) -> RunResult {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let mut env = Env {
            environment: self.environment,
            not_unicode: Vec::new(),
            input: Box::new(Cursor::new(self.input.as_bytes())),
            output: Box::new(&mut output),
            messages: Box::new(&mut messages),
            output_is_terminal: self.terminal,
            messages_are_terminal: self.messages_terminal,
        };
        let exit = run(self.arguments.into_iter().map(Into::into), &mut env);
        drop(env);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        RunResult { exit, output: text(output), messages: text(messages) }
    }
}

pub(crate) fn execute(line: &str) -> RunResult {
    Run::new(line).execute()
}

/// A directory with a history file and, once imported, a ledger.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A directory with this history imported.
    pub(crate) fn with(lines: &[String]) -> Self {
        let world = Self::new();
        let file = world.file("history.ndjson", &(lines.join("\n") + "\n"));
        execute(&format!("import {} --data-dir {}", file.display(), world.data_dir().display())).done();
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("ledger")
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    /// The shard that has a tenant.
    pub(crate) fn shard_of(&self, client: &str) -> String {
        let steps = self.ask(&format!("replay {client}")).done();
        let step: serde_json::Value = serde_json::from_str(steps.lines().next().unwrap()).unwrap();
        format!("{}/{}", step["topic"].as_str().unwrap(), step["partition"])
    }

    /// Runs a command on this ledger.
    pub(crate) fn ask(&self, command: &str) -> RunResult {
        execute(&format!("{command} --data-dir {}", self.data_dir().display()))
    }
}

/// A server over a data directory, in this process.
pub(crate) struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn over(data_dir: &Path) -> Self {
        Self::feeding(data_dir, |_| true)
    }

    /// One process of a group, which has only this partition assigned.
    pub(crate) fn of_one_shard(data_dir: &Path, only: &str) -> Self {
        Self::feeding(data_dir, |shard| shard.to_string() == only)
    }

    /// A process that has some of the partitions assigned and has read them to their end.
    fn feeding(data_dir: &Path, feeds: impl Fn(&ShardId) -> bool) -> Self {
        let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
        let shards = data.shards().unwrap();
        let catalog = Catalog::default();
        for shard in &shards {
            catalog.expect(&shard.topic, u32::try_from(shards.len()).ok());
        }
        for shard in shards.into_iter().filter(feeds) {
            let status = Arc::new(ShardStatus::default());
            status.update(|now| {
                now.is_ours = true;
                now.phase = Phase::Live;
            });
            let reader = data.read_shard(&shard).unwrap();
            catalog.insert(shard, Served { reader, status });
        }
        Self::new(Ledger::from_catalog(Arc::new(catalog)))
    }

    fn new(ledger: Ledger) -> Self {
        let api = Api::new(Arc::new(ledger), Arc::new(String::new), http::Options::default());
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(ledger_api::serve(listener, api, std::future::pending()));
        Self { address, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// RFC 3339, this number of hours before now.
pub(crate) fn hours_ago(hours: i64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    format!("{at:.3}")
}

/// Two apps and a few tenants, one in each of the lists.
pub(crate) fn history() -> Vec<String> {
    let app = "com.example.roadmap";
    let mut lines = vec![format!(
        r#"{{"id":"d-1","type":"descriptor-published","time":"2026-01-01T00:00:00Z","appKey":"{app}","descriptor":{{"baseUrl":"https://a.example","regionBaseUrls":{{"EU":"https://eu.a.example","US":"https://us.a.example"}},"dataResidency":{{"realmPersistence":true,"realmPersistenceDays":30}}}}}}"#
    )];
    let mut count = 0;
    let mut event = |client: &str, kind: &str, time: &str, fields: &str| {
        count += 1;
        let comma = if fields.is_empty() { "" } else { "," };
        format!(
            r#"{{"id":"e-{count}","type":"{kind}","time":"{time}","clientKey":"{client}","appKey":"{app}"{comma}{fields}}}"#
        )
    };
    let (eu, us) = (r#""endpointRealm":"EU""#, r#""endpointRealm":"US""#);
    let installed_eu = format!(r#"{eu},"productRealm":"EU""#);
    // Drifted: back in EU within the window, though the product moved.
    lines.push(event("acme.atlassian.net", "installed", "2026-01-02T00:00:00Z", &installed_eu));
    lines.push(event("acme.atlassian.net", "uninstalled", "2026-02-01T00:00:00Z", eu));
    lines.push(event(
        "acme.atlassian.net",
        "product-moved",
        "2026-02-10T00:00:00Z",
        r#""productRealm":"US""#,
    ));
    lines.push(event("acme.atlassian.net", "installed", "2026-03-02T00:00:00Z", eu));
    // Split brain: in US, data in EU. Its key has everything that a path must encode.
    lines.push(event(ODD_KEY, "installed", "2026-01-03T00:00:00Z", us));
    lines.push(event(ODD_KEY, "data-located", "2026-01-04T00:00:00Z", r#""realm":"EU""#));
    // A window that is open now.
    lines.push(event("open.atlassian.net", "installed", "2026-01-05T00:00:00Z", &installed_eu));
    lines.push(event("open.atlassian.net", "uninstalled", &hours_ago(24), eu));
    // An anomaly.
    lines.push(event("odd.atlassian.net", "uninstalled", "2026-01-06T00:00:00Z", eu));
    lines
}

/// A key with every character that a path must encode, except blanks: test lines are split at them.
pub(crate) const ODD_KEY: &str = "jira:a/b?c#d%ü";
