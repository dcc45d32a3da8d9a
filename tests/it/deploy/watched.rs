//! Alerts, runbook and dashboard against the metrics of a real server.

use std::collections::BTreeSet;
use std::path::Path;

use ledger_tests::kafka::{self, Message};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::Value;

use super::text;

/// Words of a text that can be names of metrics.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.filter(|word| word.starts_with("realm_ledger_")).collect()
}

/// What is behind this mark, to the end of the line.
fn lines_with<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(mark)).collect()
}

/// A server that reads one topic, waits for another one that is not there, signs, publishes, takes hooks, has backups, and
/// someone who may ask.
fn watched_server(scratch: &Path) -> Server {
    let cluster = kafka::shared();
    let config = scratch.join("realm-ledger.toml");
    let access = "[[access.token]]\nname = \"support\"\nscopes = [\"read\"]\napps = [\"*\"]\nsha256 = \"";
    let hooks = "[gateway]\nlisten = \"127.0.0.1:0\"\n[[gateway.app]]\nname = \"app\"\napp_key = \"app\"\n\
                 realms = [\"EU\"]\naudiences = [\"https://app.example.com\"]\n";
    std::fs::write(&config, format!("{access}{}\"\n{hooks}", "ab".repeat(32))).unwrap();
    let mut setup = Setup::new(cluster, kafka::unique_name("watched"), scratch.join("data"));
    for (topic, named) in
        [(&mut setup.decisions_topic, "decisions"), (&mut setup.checkpoints_topic, "checkpoints")]
    {
        *topic = kafka::unique_name(named);
        cluster.create_topic(topic, 1, &[("cleanup.policy", "compact")]);
    }
    cluster.create_topic(&setup.topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let event = r#"{"id":"e-1","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app","endpointRealm":"EU"}"#;
    cluster.produce(&setup.topic, &[Message::new("acme", event)]);
    setup.topic.push_str(",there-is-no-such-topic");
    setup.more = vec![
        ("CONFIG", config.display().to_string()),
        ("BACKUP__DIR", scratch.join("backups").display().to_string()),
        ("EVIDENCE__TICK_INTERVAL", "1s".to_owned()),
    ];
    Server::start(&setup, &scratch.join("log"))
}

#[test]
fn every_metric_of_alerts_and_dashboard_is_one_of_a_server() {
    let scratch = scratch::directory();
    let server = watched_server(scratch.path());
    assert_eq!(server.get("/v1/tenants/acme").0, 401, "a refusal to count");
    let (alerts, dashboard) = (text("alerts.yaml"), text("grafana.json"));
    let (of_alerts, of_dashboard) = (metrics_in(&alerts), metrics_in(&dashboard));
    assert!(of_alerts.len() > 15 && of_dashboard.len() > 25, "{of_alerts:?} {of_dashboard:?}");
    let named: BTreeSet<_> = of_alerts.union(&of_dashboard).copied().collect();
    wait::for_value(|| {
        let metrics = server.get("/metrics").1;
        let lines = metrics.as_str().unwrap().lines().filter(|line| !line.starts_with('#'));
        let there: BTreeSet<_> = lines.filter_map(|line| line.split(['{', ' ']).next()).collect();
        let missing: Vec<_> = named.difference(&there).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("/metrics has no {missing:?}")) }
    });
    let metrics = server.get("/metrics").1;
    let refused = metrics.as_str().unwrap().lines().find(|line| line.contains("code=\"unauthenticated\""));
    let refused = refused.expect("the refusal by query and code");
    assert!(refused.contains("query=\"Tenant\""), "{refused}");
    let of_topic = |line: &&str| line.contains("shard=\"there-is-no-such-topic\"");
    let stopped = metrics.as_str().unwrap().lines().find(of_topic).expect("the topic that is not there");
    assert!(stopped.starts_with("realm_ledger_stopped{") && stopped.ends_with(" 1"), "{stopped}");
    server.drain();
}

#[test]
fn every_alert_has_its_entry_in_the_runbook_and_no_entry_is_without_one() {
    let (alerts, runbook) = (text("alerts.yaml"), text("RUNBOOK.md"));
    let mut alerting = lines_with(&alerts, "- alert: ");
    let links = lines_with(&alerts, "runbook: ");
    let expected: Vec<_> =
        alerting.iter().map(|name| format!("RUNBOOK.md#{}", name.to_lowercase())).collect();
    assert_eq!(links, expected, "each alert links to its entry");
    let mut entries = lines_with(&runbook, "### ");
    alerting.sort_unstable();
    entries.sort_unstable();
    assert!(!entries.is_empty());
    assert_eq!(alerting, entries);
}

#[test]
fn links_of_the_runbook_lead_to_headings() {
    let operation = std::fs::read_to_string(crate::tidy::root().join("proto/OPERATION.md")).unwrap();
    let anchor = |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let headings: BTreeSet<_> = operation.lines().filter(|line| line.starts_with("##")).map(anchor).collect();
    let runbook = text("RUNBOOK.md");
    let links: Vec<_> =
        runbook.split("OPERATION.md#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert!(headings.contains(link), "{link} is no heading of OPERATION.md: {headings:?}");
    }
}

#[test]
fn panels_of_the_dashboard_are_numbered_once_and_have_questions() {
    let dashboard: Value = serde_json::from_str(&text("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
}
