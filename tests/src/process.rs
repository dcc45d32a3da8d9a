//! Child processes that cannot outlive the test process.
//!
//! A dropped [`Process`] is killed. A killed test process drops nothing, so every child asks the kernel (`setpriv
//! --pdeathsig`) to be killed with its parent. The kernel means the parent *thread*, and a test's thread ends with
//! the test: one thread that lives as long as the process therefore forks all children.
//! *thread*, and a test's thread ends with the test: all children are therefore forked by one thread that
//! lives as long as the process.

use std::ffi::OsStr;
use std::process::{Child, Command, ExitStatus};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

/// The prefix of the product's settings in the environment.
const SETTINGS: &[u8] = b"REALM_LEDGER_";

/// Removes the product's settings of the test environment.
pub(crate) fn forget_settings(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(SETTINGS)) {
        command.env_remove(name);
    }
}

/// A running child process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `program`; `configure` adds arguments, environment and where the output goes. No setting of the
    /// product is inherited from the environment of the tests.
    pub fn start(program: impl AsRef<OsStr>, configure: impl FnOnce(&mut Command)) -> Self {
        let program = program.as_ref();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        forget_settings(&mut command);
        configure(&mut command);
        let child = fork(command)
            .unwrap_or_else(|error| panic!("cannot start {} by setpriv: {error}", program.display()));
        Self { child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child process")
    }

    /// SIGTERM, then waits; a process that does not end in time fails the test.
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(within)
    }

    /// Waits for the exit status; a process that does not end in time fails the test.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "process {} still runs after {within:?}", self.id());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL: no destructor, no flush.
    pub fn kill(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends any signal by name, as `kill -s` takes it (`STOP` and `CONT` make a zombie of a live process).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to process {}", self.id());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

fn fork(command: Command) -> io::Result<Child> {
    static FORKER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for mut order in inbox {
                // The caller waits for the answer; if it is gone, dropping a `Child` leaves it to the kernel.
                let _ = order.reply.send(order.command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    FORKER.send(Order { command, reply }).expect("the forking thread lives as long as the process");
    answer.recv().expect("the forking thread answers every order")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Process {
        Process::start("sleep", |command| {
            command.arg("600");
        })
    }

    fn exists(pid: u32) -> bool {
        std::path::Path::new("/proc").join(pid.to_string()).exists()
    }

    #[test]
    fn dropped_process_is_killed() {
        let pid = sleeper().id();
        assert!(!exists(pid));
    }

    #[test]
    fn process_outlives_the_thread_that_started_it() {
        let mut process = thread::spawn(sleeper).join().unwrap();
        thread::sleep(Duration::from_millis(200));
        assert_eq!(process.ended(), None);
        assert_eq!(process.terminate(Duration::from_secs(10)).code(), None);
    }

    #[test]
    fn process_dies_with_its_parent() {
        // A process that starts a grandchild in the same way, prints its id, and is killed.
        let mut parent = Command::new("sh")
            .args(["-c", "setpriv --pdeathsig KILL -- sleep 600 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(parent.stdout.take().unwrap()), &mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        // The grandchild asks the kernel only once it runs.
        thread::sleep(Duration::from_millis(200));
        parent.kill().unwrap();
        parent.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_running(grandchild) {
            assert!(Instant::now() < deadline, "process {grandchild} outlived its parent");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// An orphan may stay a zombie, which does not run.
    fn is_running(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }
}
