//! One installation: asked in this process, and over HTTP and gRPC against an echo of the same message by the same
//! server, and by its libraries alone ([`super::echo`]); on one connection each, in turn. The clients do little.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ledger_api::http::{Api, Options};
use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, InstallationQuery, no_lines};
use ledger_api::serve;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_store::ShardId;
use ledger_tests::workload::Chance;
use tokio::net::TcpListener;

use super::echo::{self, GrpcClient, HttpClient, frame};
use super::measure::{median, quantile};
use super::replay::reader;

const QUESTIONS: usize = 20_000;
const REQUESTS: usize = 5_000;
const METHOD: &str = "/realmledger.v1.LedgerService/GetInstallation";

type Asked = (ClientKey, AppKey);

pub(crate) fn run(dir: &Path, topic: &str, pairs: usize) {
    let id = ShardId { topic: topic.to_owned(), partition: 0 };
    let reader = reader(dir, &id);
    let known: Vec<Asked> = reader
        .snapshot()
        .tenants(None)
        .expect("the tenants")
        .flat_map(|row| {
            let (client, row) = row.expect("a tenant");
            row.tenant.installations.keys().map(|app| (client.clone(), app.clone())).collect::<Vec<_>>()
        })
        .collect();
    let ledger = Arc::new(Ledger::from_readers(vec![(id, reader)]));
    let mut chance = Chance::new(3);
    println!("\nquestions about one of {} installations at random", known.len());
    for _ in 0..2 {
        // The first round warms the caches and is printed too.
        let mut took: Vec<f64> = (0..QUESTIONS).map(|_| ask(&ledger, any(&known, &mut chance))).collect();
        report("in this process", &mut took);
    }
    over_the_doors(&ledger, &known, &mut chance, pairs);
}

fn any<'k>(known: &'k [Asked], chance: &mut Chance) -> &'k Asked {
    let at = chance.below(known.len() as u64);
    &known[usize::try_from(at).expect("within the list")]
}

fn ask(ledger: &Ledger, (client, app): &Asked) -> f64 {
    let question = InstallationQuery { client: client.clone(), app: app.clone(), as_of: AsOf::default() };
    let begun = Instant::now();
    let answer = ledger.ask(&question, now(), &no_lines).expect("an installation");
    std::hint::black_box(answer);
    begun.elapsed().as_secs_f64() * 1e6
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("a clock before the end of time"))
}

/// How long was taken by a question, by an echo of its answer from the same server, and by one from its libraries alone.
struct Door {
    name: &'static str,
    took: [Vec<f64>; 3],
    ratios: [Vec<f64>; 2],
}

const WHAT: [&str; 3] = ["installation", "echo, same server", "echo, libraries alone"];

impl Door {
    fn new(name: &'static str) -> Self {
        Self { name, took: Default::default(), ratios: Default::default() }
    }

    /// Prints what was taken in a round and forgets it.
    fn end_round(&mut self) {
        let [asked, same, bare] = &mut self.took;
        let asked = quantile(asked, 0.5);
        for (ratios, echo) in self.ratios.iter_mut().zip([same, bare]) {
            ratios.push(quantile(echo, 0.5) / asked);
        }
        for (what, took) in WHAT.iter().zip(&mut self.took) {
            report(&format!("{}: {what}", self.name), took);
            took.clear();
        }
    }

    fn tell(self) {
        for (what, ratios) in WHAT.iter().skip(1).zip(self.ratios) {
            // The first round warmed the caches.
            let rounds: Vec<f64> = ratios.into_iter().skip(1).collect();
            let all: Vec<String> = rounds.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let name = format!("{}: {what} / installation", self.name);
            println!("  {name:<44} {:>10.2} of {}", median(rounds.into_iter()), all.join(" "));
        }
    }
}

fn over_the_doors(ledger: &Arc<Ledger>, known: &[Asked], chance: &mut Chance, pairs: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let (listener, same, bare) = (bind(), bind(), bind());
    let addresses = [&listener, &same, &bare].map(|listener| listener.local_addr().expect("an address"));
    let api = Api::new(Arc::clone(ledger), Arc::new(String::new), Options::default());
    runtime.spawn(serve(listener, api, std::future::pending()));
    runtime.spawn(echo::serve_guarded(same));
    runtime.spawn(echo::serve_bare(bare));
    let [mut http, mut http_same, mut http_bare] = addresses.map(HttpClient::connect);
    let [mut grpc, mut grpc_same, mut grpc_bare] = addresses.map(GrpcClient::connect);
    let mut doors = [Door::new("HTTP"), Door::new("gRPC")];
    for _ in 0..=pairs {
        let [over_http, over_grpc] = doors.each_mut().map(|door| &mut door.took);
        for number in 0..REQUESTS {
            let (client, app) = any(known, chance);
            let target = format!("/v1/tenants/{client}/apps/{app}");
            let answer = http.get(&target);
            // Whoever comes behind another protocol, or behind a longer answer, waits longer: so each is first in turn.
            for turn in number..number + WHAT.len() {
                let which = turn % WHAT.len();
                timed(&mut over_http[which], || match which {
                    0 => http.get(&target),
                    1 => http_same.post("/echo", &answer),
                    _ => http_bare.post("/echo", &answer),
                });
            }
        }
        for number in 0..REQUESTS {
            let (client, app) = any(known, chance);
            let question = frame(&[(1, client.as_str()), (2, app.as_str())]);
            let answer = grpc.call(METHOD, &question);
            for turn in number..number + WHAT.len() {
                let which = turn % WHAT.len();
                timed(&mut over_grpc[which], || match which {
                    0 => grpc.call(METHOD, &question),
                    1 => grpc_same.call("/echo", &answer),
                    _ => grpc_bare.call("/echo", &answer),
                });
            }
        }
        doors.iter_mut().for_each(Door::end_round);
    }
    doors.into_iter().for_each(Door::tell);
    runtime.shutdown_background();
}

fn timed<T>(took: &mut Vec<f64>, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    took.push(begun.elapsed().as_secs_f64() * 1e6);
    done
}

fn report(what: &str, took: &mut [f64]) {
    println!("  {what:<44} p50 {:>8.1} µs   p99 {:>8.1} µs", quantile(took, 0.5), quantile(took, 0.99));
}
