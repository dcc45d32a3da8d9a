//! One installation: asked in this process, and over HTTP against `/livez`, which answers nothing, on the
//! same server and connection.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger_api::http::{Api, Options};
use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, InstallationQuery, no_lines};
use ledger_api::serve;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_store::ShardId;
use ledger_tests::workload::Chance;
use tokio::net::TcpListener;

use super::measure::{median, quantile};
use super::replay::reader;

const QUESTIONS: usize = 20_000;
const REQUESTS: usize = 5_000;

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
    over_http(&ledger, &known, &mut chance, pairs);
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

fn over_http(ledger: &Arc<Ledger>, known: &[Asked], chance: &mut Chance, pairs: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let api = Api::new(Arc::clone(ledger), Arc::new(String::new), Options::default());
    runtime.spawn(serve(listener, api, std::future::pending()));
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_mins(1))).build().new_agent();
    let get = |path: &str| {
        let begun = Instant::now();
        let mut answer = agent.get(format!("http://{address}{path}")).call().expect("an answer");
        answer.body_mut().read_to_vec().expect("a body");
        begun.elapsed().as_secs_f64() * 1e6
    };
    let mut ratios = Vec::new();
    for _ in 0..pairs {
        let (mut asked, mut trivial) = (Vec::new(), Vec::new());
        for _ in 0..REQUESTS {
            let (client, app) = any(known, chance);
            asked.push(get(&format!("/v1/tenants/{client}/apps/{app}")));
            trivial.push(get("/livez"));
        }
        ratios.push(quantile(&mut trivial, 0.5) / quantile(&mut asked, 0.5));
        report("over HTTP", &mut asked);
        report("over HTTP, /livez", &mut trivial);
    }
    println!("  {:<44} {:>10.2}", "/livez / installation, medians", median(ratios.into_iter()));
    runtime.shutdown_background();
}

fn report(what: &str, took: &mut [f64]) {
    println!("  {what:<44} p50 {:>8.1} µs   p99 {:>8.1} µs", quantile(took, 0.5), quantile(took, 0.99));
}
