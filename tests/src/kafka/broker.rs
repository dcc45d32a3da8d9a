//! One Kafka node as a child process, with ports and data that survive its restarts.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::cluster::Cluster;
use super::install::{Installation, server_properties};
use super::unique_name;
use crate::process::Process;
use crate::scratch;

const LOGGING: &str = include_str!("../../kafka/log4j2.properties");
const START_TIMEOUT: Duration = Duration::from_mins(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Another process can take a port between the check and the use.
const PORT_ATTEMPTS: u32 = 3;

/// A broker for one test. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Broker {
    // Dropped in this order: the process before its directory.
    process: Option<Process>,
    directory: TempDir,
    class_path: String,
    cluster: Cluster,
    port: u16,
}

impl Broker {
    /// A new, empty broker, ready to serve.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further broker settings.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let installation = Installation::locate();
        let directory = scratch::directory();
        let logs = directory.path().join("logs");
        installation.format(&logs, &hex::encode(Sha256::digest(unique_name("cluster")))[..22]);
        fs::write(directory.path().join("log4j2.properties"), LOGGING).expect("write log4j2.properties");
        let mut broker = Self {
            process: None,
            directory,
            class_path: installation.class_path(),
            cluster: Cluster::at(String::new()),
            port: 0,
        };
        for _ in 0..PORT_ATTEMPTS {
            let [port, controller_port] = [free_port(), free_port()];
            let properties = server_properties(&logs, port, controller_port, settings);
            fs::write(broker.file("server.properties"), properties).expect("write server.properties");
            broker.port = port;
            broker.cluster = Cluster::at(format!("127.0.0.1:{port}"));
            if broker.launch() {
                return broker;
            }
        }
        panic!("the test broker does not start; its last words:\n{}", broker.last_words());
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Stops in order: the broker flushes and leaves.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the broker runs");
        process.terminate(STOP_TIMEOUT);
    }

    /// `kill -9`: unwritten data is lost.
    pub fn kill(&mut self) {
        self.process.take().expect("the broker runs").kill();
    }

    /// Suspends the process: connections stay open, answers do not arrive. Dropping it kills it.
    pub fn freeze(&mut self) {
        self.process.as_ref().expect("the broker runs").signal("STOP");
    }

    /// Continues after [`Broker::freeze`].
    pub fn thaw(&mut self) {
        self.process.as_ref().expect("the broker runs").signal("CONT");
    }

    /// Starts again after [`Broker::stop`] or [`Broker::kill`], on the same port and data.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the broker still runs");
        assert!(
            self.launch(),
            "the test broker does not start again; its last words:\n{}",
            self.last_words()
        );
    }

    /// Copies the data of a broker that does not run.
    pub fn save(&self, copy: &Path) {
        copy_all(&self.file("logs"), copy);
    }

    /// Replaces the data by a copy, as after the loss of a disk.
    pub fn bring_back(&self, copy: &Path) {
        let logs = self.file("logs");
        fs::remove_dir_all(&logs).expect("throw the broker's data away");
        fs::create_dir(&logs).expect("an empty directory");
        copy_all(copy, &logs);
    }

    /// Whether it became ready; otherwise it has ended.
    fn launch(&mut self) -> bool {
        let output = File::options().create(true).append(true).open(self.file("output.log"));
        let output = output.expect("open the broker's output file");
        let errors = output.try_clone().expect("share the broker's output file");
        let mut process = Process::start("java", |java| {
            // Little memory, and the quick compiler only: a broker that lives for seconds never pays the other.
            java.args(["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                .arg("-XX:-UsePerfData")
                .arg(format!("-Djava.io.tmpdir={}", self.directory.path().display()))
                .arg(format!("-Dlog4j2.configurationFile={}", self.file("log4j2.properties").display()))
                .args(["-cp", &self.class_path, "kafka.Kafka"])
                .arg(self.file("server.properties"))
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors);
        });
        let deadline = Instant::now() + START_TIMEOUT;
        while !(self.accepts_connections() && self.cluster.is_ready()) {
            if process.ended().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "the test broker is not ready: {}", self.last_words());
            thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
        true
    }

    /// Checked first, because a client without a broker retries at growing intervals.
    fn accepts_connections(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.file("output.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Everything in one directory into another.
fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "cannot copy {}", from.display());
}

/// A free port below the range of outgoing connections: a stopped broker must find its own port free when it returns.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes side by side begin at different places.
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("smaller than COUNT");
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
