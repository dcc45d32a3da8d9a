//! Scripts of `tests/gateway`: foreign signers with their key servers, and an app behind the gateway.
//!
//! `tests/run` installs their packages into `<cache>/gateway-<hash of tests/gateway/package-lock.json>`. A script ends with
//! its standard input, so none outlives the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::process::forget_settings;
use crate::python;
use crate::scratch::cache;

const LOCK: &[u8] = include_bytes!("../gateway/package-lock.json");

/// How long a script may take to say something on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A script that runs, and says where it is to be reached.
#[derive(Debug)]
pub struct Script {
    child: Child,
    stdin: Mutex<ChildStdin>,
    lines: Mutex<Receiver<Value>>,
    pub url: String,
}

impl Script {
    /// A script for Node.
    pub fn node(name: &str, args: &[&str]) -> Self {
        let modules = cache().join(format!("gateway-{}", &hex::encode(Sha256::digest(LOCK))[..12]));
        assert!(
            modules.join("node_modules").exists(),
            "the packages of the scripts are not in {}: run tests/run once, it installs them",
            modules.display()
        );
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway").join(name)).args(args);
        command.env("GATEWAY_MODULES", modules);
        forget_settings(&mut command);
        Self::start(command)
    }

    /// A script for Python.
    pub fn python(name: &str) -> Self {
        Self::start(python::gateway_script(name))
    }

    fn start(mut command: Command) -> Self {
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
        let mut script = Self { child, stdin, lines: Mutex::new(lines), url: String::new() };
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

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
