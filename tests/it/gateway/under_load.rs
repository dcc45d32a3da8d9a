//! The gateway under load, over real Kafka: what was answered 2xx is recorded exactly once and in order, whatever is killed.
//!
//! Hooks are copies of steps of a migration, whose id names the call: so each record says which call it is of.
//! `REALM_LEDGER_TEST_LONG` set: 20 kills under 200 hooks a second; otherwise 3, at the rate that the machine has.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ledger_tests::gateway::Script;
use ledger_tests::kafka::{self, Broker};
use ledger_tests::process::Process;
use ledger_tests::scratch;
use ledger_tests::server::{Server, Setup, program};
use ledger_tests::wait;
use serde_json::{Value, json};

use super::story::{configuration, hooks_url};

const TENANTS: usize = 8;

/// What was sent and how it was answered, by tenant, in order.
type Sent = BTreeMap<String, Vec<(u64, bool)>>;

/// A gateway of its own, which can be killed.
pub(super) struct Alone {
    brokers: String,
    topic: String,
    pub(super) dir: PathBuf,
    config: String,
    pub(super) log: PathBuf,
    process: Process,
}

impl Alone {
    fn start(brokers: &str, topic: &str, at: &Path, config: &str) -> Self {
        Self::start_with(brokers, topic, at, config, &[])
    }

    /// With variables in its environment.
    pub(super) fn start_with(
        brokers: &str,
        topic: &str,
        at: &Path,
        config: &str,
        variables: &[(&str, String)],
    ) -> Self {
        let (dir, log) = (at.join("gateway"), at.join("gateway.log"));
        std::fs::create_dir_all(&dir).unwrap();
        let process = launch(brokers, topic, &dir, config, &log, variables);
        Self {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            dir,
            config: config.to_owned(),
            log,
            process,
        }
    }

    fn kill_and_start(&mut self) {
        self.process.kill();
        std::fs::write(&self.log, "").unwrap();
        self.process = launch(&self.brokers, &self.topic, &self.dir, &self.config, &self.log, &[]);
    }

    /// Its memory now and at most, as the system has it.
    pub(super) fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
    }
}

fn launch(
    brokers: &str,
    topic: &str,
    dir: &Path,
    config: &str,
    log: &Path,
    variables: &[(&str, String)],
) -> Process {
    let file = std::fs::File::options().create(true).append(true).open(log).unwrap();
    Process::start(program(), |command| {
        command.args(["gateway", "--config", config, "--data-dir"]).arg(dir);
        command.env("REALM_LEDGER_KAFKA__BROKERS", brokers).env("REALM_LEDGER_KAFKA__TOPICS", topic);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("REALM_LEDGER_HTTP__ADMIN_LISTEN", "127.0.0.1:0").env("REALM_LEDGER_LOG__FORMAT", "json");
        command.stdout(file.try_clone().unwrap()).stderr(file);
    })
}

/// Sends steps for one tenant until it is told to stop, to whatever address the gateway has now.
fn send(
    tenant: &str,
    token: &str,
    url: &Mutex<String>,
    stop: &AtomicBool,
    pause: Duration,
) -> (Vec<(u64, bool)>, Vec<Duration>) {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(json!({ "iss": tenant }).to_string());
    let authorization =
        format!("JWT {}.{claims}.x", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#));
    let agent = || -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        config.timeout_global(Some(Duration::from_secs(10))).build().into()
    };
    let (mut sent, mut took, mut client, mut used) = (Vec::new(), Vec::new(), agent(), String::new());
    for id in 1.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let to = url.lock().unwrap().clone();
        if to != used {
            (client, used) = (agent(), to.clone());
        }
        let begun = Instant::now();
        let answer = client
            .post(format!("{to}/hooks/roadmap/EU/migration/schedule"))
            .header("authorization", &authorization)
            .header("x-realm-ledger-token", token)
            .send(json!({ "migrationId": id, "location": "EU" }).to_string());
        let is_taken = answer.is_ok_and(|answer| answer.status() == 204);
        if is_taken {
            took.push(begun.elapsed());
        }
        sent.push((id, is_taken));
        std::thread::sleep(pause.saturating_sub(begun.elapsed()));
    }
    (sent, took)
}

pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Runs senders while `meanwhile` does what it does.
#[expect(clippy::print_stdout, reason = "figures for people, shown with --nocapture")]
fn under_load(token: &str, url: &Arc<Mutex<String>>, meanwhile: impl FnOnce()) -> Sent {
    let stop = AtomicBool::new(false);
    // 200 a second in all.
    let pause = Duration::from_millis(1000 * TENANTS as u64 / 200);
    let (sent, mut took) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..TENANTS)
            .map(|number| {
                let tenant = format!("tenant-{number}");
                let (url, stop) = (Arc::clone(url), &stop);
                scope.spawn(move || (tenant.clone(), send(&tenant, token, &url, stop, pause)))
            })
            .collect();
        meanwhile();
        stop.store(true, Ordering::Release);
        let (mut all, mut took) = (Sent::new(), Vec::new());
        for sender in senders {
            let (tenant, (sent, times)) = sender.join().unwrap();
            took.extend(times);
            all.insert(tenant, sent);
        }
        (all, took)
    });
    took.sort();
    let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
    println!("{} hooks were taken, as their senders see it p50 {p50:?}, p99 {p99:?}", took.len());
    sent
}

/// What the ledger has of each tenant, in its order.
fn recorded(server: &Server, tenant: &str, token: &str) -> Vec<u64> {
    let (mut ids, mut from) = (Vec::new(), 1);
    loop {
        let url = format!("{}/v1/tenants/{tenant}/log?fromSeq={from}&limit=1000", server.url);
        let authorization = format!("Bearer {token}");
        let answer = super::call(&url, "GET", &[("authorization", &authorization)], "");
        if [404, 503].contains(&answer.status) {
            // Not there, or not read to the end of the topic yet.
            return ids;
        }
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let of = |record: &Value| record["event"]["migrationId"].as_str().unwrap().parse::<u64>().unwrap();
        ids.extend(page["records"].as_array().unwrap().iter().map(of));
        match page["nextSeq"].as_u64() {
            Some(next) => from = next,
            None => return ids,
        }
    }
}

/// Each call that was answered is there once, in order, and nothing that was not sent.
fn check(server: &Server, token: &str, sent: &Sent) {
    for (tenant, sent) in sent {
        let answered: Vec<u64> = sent.iter().filter(|(_, is_taken)| *is_taken).map(|(id, _)| *id).collect();
        assert!(!answered.is_empty(), "{tenant}: nothing was answered");
        let ids = wait::for_value(|| {
            let ids = recorded(server, tenant, token);
            if answered.iter().all(|id| ids.contains(id)) {
                Ok(ids)
            } else {
                Err(format!("{} of {}", ids.len(), answered.len()))
            }
        });
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{tenant}: once each, and in order: {ids:?}");
        let known: HashMap<u64, bool> = sent.iter().copied().collect();
        assert!(ids.iter().all(|id| known.contains_key(id)), "{tenant}: nothing that was not sent");
    }
}

#[test]
fn what_was_answered_is_recorded_once_and_in_order_though_gateway_and_kafka_are_killed() {
    let is_long = std::env::var_os("REALM_LEDGER_TEST_LONG").is_some();
    let kills = if is_long { 20 } else { 3 };
    let scratch = scratch::directory();
    let (connect, forge) = (Script::node("connect.js", &[]), Script::python("forge.py"));
    let token = ledger_api::access::new_token([4; 32]);
    let hash = hex::encode(ledger_api::access::token_hash(&token));
    let config = configuration(scratch.path(), &connect, &forge, &hash);
    let mut broker = Broker::start();
    let cluster = broker.cluster();
    let mut setup = Setup::new(cluster, kafka::unique_name("load"), scratch.path().join("data"));
    cluster.create_topic(&setup.topic, 2, &[("message.timestamp.type", "LogAppendTime")]);
    let mut gateway = Alone::start(&setup.brokers, &setup.topic, scratch.path(), &config);
    let url = Arc::new(Mutex::new(hooks_url(&gateway.log)));
    let sent = under_load(&token, &url, || {
        for _ in 0..kills {
            std::thread::sleep(Duration::from_secs(2));
            gateway.kill_and_start();
            *url.lock().unwrap() = hooks_url(&gateway.log);
        }
        broker.kill();
        std::thread::sleep(Duration::from_secs(3));
        // Hooks are taken meanwhile, and the gateway dies once more with all of them in its journal.
        gateway.kill_and_start();
        *url.lock().unwrap() = hooks_url(&gateway.log);
        broker.restart();
        std::thread::sleep(Duration::from_secs(2));
    });
    setup.more = vec![("CONFIG", config.clone()), ("GATEWAY__LISTEN", "127.0.0.1:0".to_owned())];
    let server = Server::start(&setup, &scratch.path().join("log"));
    check(&server, &token, &sent);
}
