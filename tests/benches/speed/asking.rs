//! Questions about single tenants at a steady rate, whatever else goes on, and how long their answers took.
//!
//! Each connection has its own times to ask at. What is late because the answer before was late counts as waiting: it is
//! measured from when the question was due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_tests::workload::Chance;

use super::echo::HttpClient;
use super::measure::quantile;

const CONNECTIONS: u32 = 20;
const QUESTIONS_A_SECOND: u32 = 500;

/// Clients that ask until they are stopped.
pub(crate) struct Asking {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Answers>>,
}

/// What they were answered.
#[derive(Default)]
pub(crate) struct Answers {
    /// Milliseconds.
    took: Vec<f64>,
    not_ready: usize,
    errors: usize,
}

impl Asking {
    pub(crate) fn start(address: SocketAddr, clients: &Arc<Vec<String>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |number| {
            let (stop, clients) = (Arc::clone(&stop), Arc::clone(clients));
            thread::spawn(move || ask(address, number, &clients, &stop))
        };
        Self { threads: (0..CONNECTIONS).map(start).collect(), stop }
    }

    pub(crate) fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().fold(Answers::default(), |mut all, thread| {
            let more = thread.join().expect("a client that ends");
            all.took.extend(more.took);
            all.not_ready += more.not_ready;
            all.errors += more.errors;
            all
        })
    }
}

impl Answers {
    pub(crate) fn p99(&mut self) -> f64 {
        quantile(&mut self.took, 0.99)
    }

    pub(crate) fn told(&mut self) -> String {
        let (p50, p99) = (quantile(&mut self.took, 0.5), self.p99());
        let Self { took, not_ready, errors } = self;
        format!(
            "{} questions, p50 {p50:.2} ms, p99 {p99:.2} ms, {not_ready} not ready, {errors} errors",
            took.len()
        )
    }
}

fn ask(address: SocketAddr, number: u32, clients: &[String], stop: &AtomicBool) -> Answers {
    let every = Duration::from_secs(1) * CONNECTIONS / QUESTIONS_A_SECOND;
    let (mut client, mut chance) = (HttpClient::connect(address), Chance::new(u64::from(number)));
    let mut answers = Answers::default();
    let mut due = Instant::now() + every * number / CONNECTIONS;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = usize::try_from(chance.below(clients.len() as u64)).expect("within the list");
        let (status, _) = client.try_get(&format!("/v1/tenants/{}", clients[at]));
        answers.took.push(due.elapsed().as_secs_f64() * 1e3);
        match status {
            200 => {}
            // It may come yet.
            503 => answers.not_ready += 1,
            _ => answers.errors += 1,
        }
        due += every;
    }
    answers
}
