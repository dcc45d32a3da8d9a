//! Spans: the `traceparent` of a message is the parent of its decision's span, which a collector gets by OTLP, and which is
//! the `traceparent` of the decision's message. Without a collector nothing of it happens.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ledger_tests::kafka::{self, Isolation, Message, Received};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{python, scratch, wait};
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PRODUCER: &str = "b7ad6b7169203331";

/// OpenTelemetry's own messages, in Python.
struct Collector {
    process: Child,
    url: String,
    spans: Receiver<Value>,
}

impl Collector {
    fn start() -> Self {
        let mut script = python::script("receive_otlp.py");
        let mut process = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let (sender, spans) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, url: format!("http://127.0.0.1:{port}"), spans }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The messages about two installs: one with a trace, and one without.
fn decisions(scratch: &Path, collector: Option<&Collector>) -> Vec<Received> {
    let cluster = kafka::shared();
    let mut setup = Setup::new(cluster, kafka::unique_name("traced"), scratch.join("data"));
    setup.decisions_topic = kafka::unique_name("traced-decisions");
    setup.more.extend(collector.map(|collector| ("TELEMETRY__OTLP", collector.url.clone())));
    for topic in [&setup.topic, &setup.decisions_topic] {
        cluster.create_topic(topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    }
    let install = |id: &str, app: &str| {
        let event = format!(
            r#"{{"id":"{id}","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"{app}","endpointRealm":"EU"}}"#
        );
        Message::new("acme", event)
    };
    let traced = install("e-1", "one").header("traceparent", format!("00-{TRACE}-{PRODUCER}-01"));
    cluster.produce(&setup.topic, &[traced, install("e-2", "two")]);
    let server = Server::start(&setup, &scratch.join("log"));
    server.wait_until_ready(1);
    let published = wait::for_value(|| {
        let published = cluster.read_all(&setup.decisions_topic, Isolation::ReadCommitted);
        if published.len() == 2 { Ok(published) } else { Err(format!("{published:?}")) }
    });
    server.drain();
    published
}

#[test]
fn decision_is_below_the_span_of_its_message() {
    let (scratch, collector) = (scratch::directory(), Collector::start());
    let published = decisions(scratch.path(), Some(&collector));
    // Sent at the latest when the server ended.
    let span = collector.spans.recv_timeout(Duration::from_secs(30)).expect("a span");
    let own = span["span"].as_str().unwrap();
    let told = ["service", "name", "trace", "parent"].map(|member| span[member].as_str().unwrap());
    assert_eq!(told, ["realm-ledger", "decide", TRACE, PRODUCER], "{span}");
    assert_eq!(span["offset"][0], 0, "{span}");
    assert!(span["nanoseconds"].as_u64().unwrap() > 0, "{span}");
    assert_eq!(published[0].header("traceparent"), Some(&*format!("00-{TRACE}-{own}-01")));
    assert_eq!(published[1].header("traceparent"), None);
    assert!(collector.spans.recv_timeout(Duration::from_millis(500)).is_err(), "one message had a trace");
}

#[test]
fn no_trace_is_passed_on_without_a_collector() {
    let scratch = scratch::directory();
    for message in decisions(scratch.path(), None) {
        assert_eq!(message.header("traceparent"), None);
    }
}
