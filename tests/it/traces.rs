//! Spans: the `traceparent` of a message is the parent of its decision's span, which a collector gets by OTLP, and which is
//! the `traceparent` of the decision's message. Without a collector nothing of it happens.

use std::path::Path;

use ledger_tests::gateway::Script;
use ledger_tests::kafka::{self, Isolation, Message, Received};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{scratch, wait};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PRODUCER: &str = "b7ad6b7169203331";

/// The messages about two installs: one with a trace, and one without.
fn decisions(scratch: &Path, collector: Option<&Script>) -> Vec<Received> {
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
    // OpenTelemetry's own messages, in Python.
    let (scratch, collector) = (scratch::directory(), Script::verifier("receive_otlp.py"));
    let published = decisions(scratch.path(), Some(&collector));
    // Sent at the latest when the server ended.
    let span = collector.next_line();
    let own = span["span"].as_str().unwrap();
    let told = ["service", "name", "trace", "parent"].map(|member| span[member].as_str().unwrap());
    assert_eq!(told, ["realm-ledger", "decide", TRACE, PRODUCER], "{span}");
    assert_eq!(span["offset"][0], 0, "{span}");
    assert!(span["nanoseconds"].as_u64().unwrap() > 0, "{span}");
    assert_eq!(published[0].header("traceparent"), Some(&*format!("00-{TRACE}-{own}-01")));
    assert_eq!(published[1].header("traceparent"), None);
    assert!(collector.lines_so_far().is_empty(), "one message had a trace");
}

#[test]
fn no_trace_is_passed_on_without_a_collector() {
    let scratch = scratch::directory();
    for message in decisions(scratch.path(), None) {
        assert_eq!(message.header("traceparent"), None);
    }
}
