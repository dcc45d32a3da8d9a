//! Questions beside clients that never read their answer and clients that never send: what they cost everybody else.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger_api::http::{Api, Options};
use ledger_api::ledger::Ledger;
use ledger_api::serve;
use ledger_store::ShardId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::asking::Asking;
use super::measure::median;
use super::replay::reader;

const EACH: usize = 500;
const LASTS: Duration = Duration::from_secs(15);

pub(crate) fn run(dir: &Path, topic: &str, pairs: usize) {
    let id = ShardId { topic: topic.to_owned(), partition: 0 };
    let reader = reader(dir, &id);
    let names = reader.snapshot().tenants(None).expect("the tenants");
    let clients: Arc<Vec<String>> = Arc::new(names.map(|row| row.expect("a tenant").0.to_string()).collect());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let options = Options { connections: 2 * EACH + 100, ..Options::default() };
    let api = Api::new(Arc::new(Ledger::from_readers(vec![(id, reader)])), Arc::new(String::new), options);
    runtime.spawn(serve(listener, api, std::future::pending()));
    println!("\nquestions beside {EACH} clients that never read and {EACH} that never send");
    let mut ratios = Vec::new();
    for _ in 0..pairs {
        let mut alone = asked(address, &clients);
        println!("  {:<44} {}", "alone", alone.told());
        // Clients are a process of their own in the end: so they have a runtime of their own here.
        let others = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let others = others.expect("a runtime");
        for _ in 0..EACH {
            others.spawn(stay(
                address,
                Some("GET /v1/installations?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            ));
            others.spawn(stay(address, None));
        }
        std::thread::sleep(Duration::from_secs(2));
        let mut beside = asked(address, &clients);
        println!("  {:<44} {}", "beside them", beside.told());
        ratios.push(beside.p99() / alone.p99());
        others.shutdown_timeout(Duration::from_secs(5));
    }
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("  {:<44} {:>10.2} of {}", "p99 beside them / alone", median(ratios.into_iter()), all.join(" "));
    runtime.shutdown_background();
}

fn asked(address: SocketAddr, clients: &Arc<Vec<String>>) -> super::asking::Answers {
    let asking = Asking::start(address, clients);
    std::thread::sleep(LASTS);
    asking.stop()
}

/// A client that sends this much and then does nothing; once it is cut off it comes again.
async fn stay(address: SocketAddr, sends: Option<&str>) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        if let Some(request) = sends {
            let _ = stream.write_all(request.as_bytes()).await;
            // The first byte of an answer is read, and then no more: the rest waits in the server.
            let _ = stream.read_u8().await;
        }
        let cut = async {
            while let Ok(ready) = stream.ready(tokio::io::Interest::ERROR).await {
                if ready.is_error() || ready.is_write_closed() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        cut.await;
    }
}
