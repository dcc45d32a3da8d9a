//! The gateway alone at 200 hooks a second, on this disk and on one whose fsync takes 20 ms: the delay is real, a library that
//! the process is started with (`tests/gateway/slow_sync.c`).
//!
//! Half of the hooks are installs of Connect, whose signature the gateway verifies, half are steps of a migration. What is
//! asserted is no time: all is taken, each recorded once, and hooks share fsyncs. `REALM_LEDGER_TEST_LONG` set: a
//! minute each, with a Kafka that it is published to; the figures are printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ledger_tests::gateway::Script;
use ledger_tests::kafka::Broker;
use ledger_tests::scratch;
use serde_json::json;

use super::story::{configuration, hooks_url};
use super::under_load::{Alone, percentile};
use super::{BASE, now, payload, recorded, with};

const RATE: u32 = 200;
const SENDERS: u32 = 16;
const TENANTS: u32 = 8;
const INSTALLED: &str = "/hooks/roadmap/EU/connect/installed";

/// A hook, and what its record has: the tenant and, of a step, its number.
struct Call {
    path: &'static str,
    authorization: String,
    body: String,
    record: (String, Option<String>),
}

/// Makes the hook of a number.
struct Calls {
    install_tokens: Vec<String>,
}

fn tenant(number: u32) -> String {
    format!("tenant-{}", number % TENANTS)
}

impl Calls {
    fn new(connect: &Script) -> Self {
        let token = |number| {
            let claims = json!({ "iss": tenant(number), "aud": [BASE], "iat": now(), "exp": now() + 600 });
            connect.token(&json!({ "claims": claims, "method": "POST", "url": INSTALLED }))
        };
        Self { install_tokens: (0..TENANTS).map(token).collect() }
    }

    fn call(&self, number: u32) -> Call {
        let client = tenant(number / 2);
        if number.is_multiple_of(2) {
            let body = with(payload("installed"), json!({ "clientKey": client }));
            let token = &self.install_tokens[(number / 2 % TENANTS) as usize];
            let authorization = format!("JWT {token}");
            return Call { path: INSTALLED, authorization, body: body.to_string(), record: (client, None) };
        }
        let [header, claims] = [json!({ "alg": "HS256" }), json!({ "iss": client })]
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        Call {
            path: "/hooks/roadmap/EU/migration/schedule",
            authorization: format!("JWT {header}.{claims}.x"),
            body: json!({ "migrationId": number, "location": "EU" }).to_string(),
            record: (client, Some(number.to_string())),
        }
    }
}

/// Sends so many hooks, each when it is due, and answers from when each was due to its answer, sorted.
fn send(url: &str, token: &str, calls: &Calls, count: u32) -> Vec<Duration> {
    let begin = Instant::now() + Duration::from_millis(50);
    let send = |sender: u32| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut took = Vec::new();
        for number in (sender..count).step_by(SENDERS as usize) {
            let Call { path, authorization, body, .. } = calls.call(number);
            let due = begin + Duration::from_secs(1) * number / RATE;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = agent
                .post(format!("{url}{path}"))
                .header("authorization", authorization)
                .header("x-realm-ledger-token", token)
                .send(body);
            assert_eq!(answer.unwrap().status(), 204, "hook {number}");
            took.push(due.elapsed());
        }
        took
    };
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    took.sort();
    took
}

fn slow_sync(at: &Path) -> PathBuf {
    let library = at.join("slow_sync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/slow_sync.c");
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// Each hook once, and nothing else.
fn assert_recorded(journal: &Path, calls: &Calls, count: u32) {
    let mut expected = BTreeMap::<_, u32>::new();
    for number in 0..count {
        *expected.entry(calls.call(number).record).or_default() += 1;
    }
    let mut found = BTreeMap::<_, u32>::new();
    for event in recorded(journal) {
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        *found.entry((text("clientKey").unwrap(), text("migrationId"))).or_default() += 1;
    }
    assert_eq!(found, expected);
}

#[test]
fn hooks_at_200_a_second_share_fsyncs_on_a_slow_disk_and_each_is_recorded_once() {
    let is_long = std::env::var_os("REALM_LEDGER_TEST_LONG").is_some();
    let seconds = if is_long { 60 } else { 3 };
    let broker = is_long.then(Broker::start);
    let connect = Script::node("connect.js", &[]);
    let forge = Script::python("forge.py");
    let token = ledger_api::access::new_token([6; 32]);
    let hash = hex::encode(ledger_api::access::token_hash(&token));
    for sync_ms in [0, 20] {
        let scratch = scratch::directory();
        let (calls, count) = (Calls::new(&connect), RATE * seconds);
        let config = configuration(scratch.path(), &connect, &forge, &hash);
        let topic = format!("paced-{sync_ms}");
        let brokers = broker.as_ref().map(|broker| {
            broker.cluster().create_topic(&topic, 2, &[]);
            broker.cluster().bootstrap().to_owned()
        });
        let syncs = scratch.path().join("syncs");
        let variables = [
            ("LD_PRELOAD", slow_sync(scratch.path()).display().to_string()),
            ("SYNCS", syncs.display().to_string()),
            ("SYNC_MS", sync_ms.to_string()),
        ];
        let brokers = brokers.unwrap_or_else(|| "127.0.0.1:1".to_owned());
        let gateway = Alone::start_with(&brokers, &topic, scratch.path(), &config, &variables);
        let url = hooks_url(&gateway.log);
        let syncs_so_far = |kind: u8| {
            let all = std::fs::read(&syncs).unwrap_or_default();
            u32::try_from(all.into_iter().filter(|sync| *sync == kind).count()).unwrap()
        };
        let before = [b'd', b'f'].map(syncs_so_far);
        let took = send(&url, &token, &calls, count);
        let [commits, others] = [syncs_so_far(b'd') - before[0], syncs_so_far(b'f') - before[1]];
        println!(
            "fsync {sync_ms} ms slower: {count} hooks in {seconds} s, from due to answered p50 {:?}, p99 {:?}, longest {:?}; {} \
             group commits and {} fsyncs of the publisher's cursor a second; {}",
            percentile(&took, 50),
            percentile(&took, 99),
            took.last().unwrap(),
            commits / seconds,
            others / seconds,
            gateway.memory()
        );
        assert!(commits > 0 && commits <= count, "{commits}");
        if let Some(most) = (seconds * 1000).checked_div(sync_ms) {
            assert!(commits <= most + 50, "all that waits shares an fsync: {commits}");
        }
        assert_recorded(&gateway.dir.join("journal"), &calls, count);
    }
}
