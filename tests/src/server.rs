//! The program as a child process: `realm-ledger serve`, as a user starts it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kafka::{self, Cluster};
use crate::process::{Process, forget_settings};
use crate::wait;

/// How long the program may take to become ready or to drain on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Setup {
    pub brokers: String,
    pub topic: String,
    pub group: String,
    pub instance: String,
    pub decisions_topic: String,
    pub dead_letter_topic: String,
    /// Empty: nothing is signed.
    pub checkpoints_topic: String,
    pub data_dir: PathBuf,
    /// Further settings, as in the environment after `REALM_LEDGER_`; they override the others.
    pub more: Vec<(&'static str, String)>,
    /// Soft and hard limit of open files; none: those of the tests.
    pub open_files: Option<(u32, u32)>,
    /// Further arguments.
    pub arguments: &'static [&'static str],
}

impl Setup {
    /// A process in its own group without an instance id, which publishes and signs nothing.
    pub fn new(cluster: &Cluster, topic: String, data_dir: PathBuf) -> Self {
        Self { brokers: cluster.bootstrap().to_owned(), ..Self::local(topic, data_dir, &[]) }
    }

    /// A process without Kafka, whose shards have the name of this topic.
    pub fn local(topic: String, data_dir: PathBuf, arguments: &'static [&'static str]) -> Self {
        Self {
            // Nobody listens there.
            brokers: "127.0.0.1:1".to_owned(),
            topic,
            group: kafka::unique_name("group"),
            instance: String::new(),
            decisions_topic: String::new(),
            dead_letter_topic: String::new(),
            checkpoints_topic: String::new(),
            data_dir,
            more: Vec::new(),
            open_files: None,
            arguments,
        }
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    pub process: Process,
    pub url: String,
    /// Where probes and metrics are.
    pub admin_url: String,
}

/// The program under test, beside the test binary in the target directory.
pub fn program() -> PathBuf {
    let mut path = std::env::current_exe().expect("the path of the test binary");
    path.pop();
    path.pop();
    path.push("realm-ledger");
    let built = "build the program first: cargo build --release -p realm-ledger";
    assert!(path.exists(), "{} is missing; {built}", path.display());
    path
}

/// The program as a command, with only the settings of the test.
pub fn command() -> Command {
    let mut command = Command::new(program());
    forget_settings(&mut command);
    command
}

/// What a run wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `verify` of a whole data directory and of the notes beside its keys, under further settings as in [`Setup`].
pub fn verify(data_dir: &Path, more: &[(&str, String)]) -> Output {
    let mut command = command();
    command.env("REALM_LEDGER_SECRET", crate::SECRET).args(["verify", "--data-dir"]).arg(data_dir);
    command.envs(more.iter().map(|(name, value)| (format!("REALM_LEDGER_{name}"), value)));
    command.output().expect("run the program")
}

/// The reports of `verify` on the shards of a true directory.
pub fn verified(data_dir: &Path, more: &[(&str, String)]) -> Vec<Value> {
    let output = verify(data_dir, more);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let reports = String::from_utf8_lossy(&output.stdout);
    reports.lines().map(|line| serde_json::from_str(line).expect("a report")).collect()
}

impl Server {
    /// Starts the program; its log goes to a file, to which every start appends.
    pub fn start(setup: &Setup, log: &Path) -> Self {
        let said_before = std::fs::metadata(log).map_or(0, |log| log.len());
        let mut server = Self::launch(setup, log);
        server.wait_until_listening(log, said_before);
        server
    }

    /// Starts the program without waiting.
    pub fn launch(setup: &Setup, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let process = match setup.open_files {
            None => Process::start(program(), |command| configure(command, setup, log)),
            Some((soft, hard)) => Process::start("prlimit", |command| {
                command.arg(format!("--nofile={soft}:{hard}")).arg(program());
                configure(command, setup, log);
            }),
        };
        Self { process, url: String::new(), admin_url: String::new() }
    }

    fn wait_until_listening(&mut self, log: &Path, said_before: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let bytes = std::fs::read(log).unwrap_or_default();
            let lines = String::from_utf8_lossy(
                bytes.get(usize::try_from(said_before).expect("a small file")..).unwrap_or_default(),
            );
            let ready = lines.lines().rev().find(|line| line.contains("\"ready\""));
            let ready = ready.and_then(|line| serde_json::from_str::<Value>(line).ok());
            let ready =
                ready.as_ref().and_then(|line| Some((line["url"].as_str()?, line["admin_url"].as_str()?)));
            if let Some((url, admin_url)) = ready {
                (self.url, self.admin_url) = (url.to_owned(), admin_url.to_owned());
                return;
            }
            if let Some(status) = self.process.ended() {
                panic!("the program ended with {status}:\n{lines}");
            }
            assert!(Instant::now() < deadline, "the program is not ready:\n{lines}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every partition has been read to its end.
    pub fn wait_until_ready(&self, shards: usize) {
        wait::for_value(|| {
            let (status, body) = self.get("/readyz");
            // A server is also ready when it is only nearly live.
            let is_read = |shard: &Value| shard["caughtUp"] == true && shard["lag"] == 0;
            let read = body["shards"]
                .as_array()
                .is_some_and(|listed| listed.len() == shards && listed.iter().all(is_read));
            if status == 200 && read { Ok(()) } else { Err(body) }
        });
    }

    /// The answer to a question, or the metrics: status and JSON.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let is_admin = ["/metrics", "/readyz"].contains(&path);
        let base = if is_admin { &self.admin_url } else { &self.url };
        let mut answer = agent.get(format!("{base}{path}")).call().expect("an answer over HTTP");
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().expect("an answer in text");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Status and JSON of the answer to a body.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let mut answer = request.send(body.to_string()).expect("an answer over HTTP");
        let text = answer.body_mut().read_to_string().expect("an answer in text");
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    /// SIGTERM; the program drains and ends with 0.
    pub fn drain(mut self) {
        let status = self.process.terminate(PATIENCE);
        assert!(status.success(), "the program drained and ended with {status}");
    }
}

fn configure(command: &mut Command, setup: &Setup, log: File) {
    let settings = [
        ("DATA_DIR", setup.data_dir.display().to_string()),
        ("KAFKA__BROKERS", setup.brokers.clone()),
        ("KAFKA__TOPICS", setup.topic.clone()),
        ("KAFKA__GROUP", setup.group.clone()),
        ("KAFKA__INSTANCE", setup.instance.clone()),
        ("KAFKA__DECISIONS_TOPIC", setup.decisions_topic.clone()),
        ("KAFKA__DEAD_LETTER_TOPIC", setup.dead_letter_topic.clone()),
        ("KAFKA__CHECKPOINTS_TOPIC", setup.checkpoints_topic.clone()),
        ("KAFKA__CLIENT__SESSION_TIMEOUT_MS", "6000".to_owned()),
        ("KAFKA__DRAIN_TIMEOUT", "5s".to_owned()),
        ("HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ("HTTP__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("LOG__FORMAT", "json".to_owned()),
        // Replicas have the same secret, or their logs would differ.
        ("SECRET", crate::SECRET.to_owned()),
    ];
    for (name, value) in settings.iter().chain(&setup.more) {
        command.env(format!("REALM_LEDGER_{name}"), value);
    }
    command
        .arg("serve")
        .args(setup.arguments)
        .stdout(log.try_clone().expect("the log file twice"))
        .stderr(log);
}
