//! Scripts that run beside a test: foreign signers with their key servers and apps behind the gateway (`tests/gateway`), a store
//! and a collector (`tests/verifier`).
//!
//! `tests/run` installs their packages into `<cache>/gateway-<hash of tests/gateway/package-lock.json>`, and jars into
//! `<cache>/spring-<hash of tests/gateway/spring/pom.xml>`. A script ends with its standard input, so none outlives the tests.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::process::forget_settings;
use crate::python;
use crate::scratch::{self, cache};

const LOCK: &[u8] = include_bytes!("../gateway/package-lock.json");
const POM: &[u8] = include_bytes!("../gateway/spring/pom.xml");

/// How long a script may take to say something on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A script that runs, and says where it is to be reached.
#[derive(Debug)]
pub struct Script {
    child: Child,
    stdin: Mutex<ChildStdin>,
    lines: Mutex<Receiver<Value>>,
    pub url: String,
    /// Where it has its temporary files, and what was compiled.
    _directory: TempDir,
}

impl Script {
    /// A script for Node.
    pub fn node(name: &str, args: &[&str]) -> Self {
        let modules = fetched("gateway", LOCK);
        let mut command = Command::new("node");
        command.arg(folder().join(name)).args(args);
        command.env("GATEWAY_MODULES", modules);
        Self::start(command, scratch::directory())
    }

    /// The app for Spring Boot, compiled by the compiler among its jars: the tests have no JDK.
    pub fn spring(args: &[&str]) -> Self {
        let (directory, jars) = (scratch::directory(), fetched("spring", POM));
        let compiled = directory.path();
        let all: Vec<PathBuf> =
            fs::read_dir(&jars).expect("the jars").map(|jar| jar.expect("a jar").path()).collect();
        let class_path =
            std::env::join_paths(all.iter().chain([&compiled.to_owned()])).expect("a class path");
        let java = |main: &str| {
            let mut java = Command::new("java");
            java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
            java.arg(format!("-Djava.io.tmpdir={}", compiled.display()));
            // Its Spring Data is older than Java 17.
            java.args(["--add-opens=java.base/java.util=ALL-UNNAMED", "-cp"]).arg(&class_path).arg(main);
            java
        };
        let mut compile = java("org.eclipse.jdt.internal.compiler.batch.Main");
        compile.args(["-17", "-nowarn", "-parameters", "-cp"]).arg(&class_path).arg("-d").arg(compiled);
        let output = compile.arg(folder().join("spring/App.java")).output().expect("start java");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut app = java("app.App");
        app.args(args);
        Self::start(app, directory)
    }

    /// A script for Python.
    pub fn python(name: &str) -> Self {
        Self::start(python::gateway_script(name), scratch::directory())
    }

    /// A script of `tests/verifier` that says where it is to be reached, for Python.
    pub fn verifier(name: &str) -> Self {
        Self::start(python::script(name), scratch::directory())
    }

    fn start(mut command: Command, directory: TempDir) -> Self {
        forget_settings(&mut command);
        command.env("TMPDIR", directory.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a script");
        let stdin = Mutex::new(child.stdin.take().expect("a pipe"));
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (said, lines) = channel();
        thread::spawn(move || {
            let lines =
                stdout.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            for line in lines {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let mut script =
            Self { child, stdin, lines: Mutex::new(lines), url: String::new(), _directory: directory };
        let first: Value = script.next_line();
        first["url"].as_str().expect("the address of a script").clone_into(&mut script.url);
        script
    }

    /// What it says next.
    pub fn next_line(&self) -> Value {
        let lines = self.lines.lock().expect("one reader at a time");
        lines.recv_timeout(PATIENCE).expect("a line of a script")
    }

    /// What it says of its own accord until it is quiet.
    pub fn lines_so_far(&self) -> Vec<Value> {
        let lines = self.lines.lock().expect("one reader at a time");
        std::iter::from_fn(|| lines.recv_timeout(Duration::from_millis(300)).ok()).collect()
    }

    /// The answer to an order.
    pub fn order(&self, order: &Value) -> Value {
        let mut stdin = self.stdin.lock().expect("one order at a time");
        writeln!(stdin, "{order}").expect("a script that listens");
        self.next_line()
    }

    /// The token of an order.
    pub fn token(&self, order: &Value) -> String {
        self.order(order)["token"].as_str().expect("a token").to_owned()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway")
}

/// What `tests/run` fetched, as a file lists it.
fn fetched(name: &str, list: &[u8]) -> PathBuf {
    let directory = cache().join(format!("{name}-{}", &hex::encode(Sha256::digest(list))[..12]));
    assert!(
        directory.exists(),
        "what the scripts need is not in {}: run tests/run once, it installs it",
        directory.display()
    );
    directory
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
