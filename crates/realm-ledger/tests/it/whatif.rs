//! `whatif`: from a directory and from a server, with differences and pictures.

use realm_ledger::Exit;
use serde_json::Value;

use crate::world::{Run, RunResult, Server, World, execute};

const APP: &str = "com.example.roadmap";
const OFF: &str = r#"{"mode":"off"}"#;
const MONTH: &str = r#"{"mode":"days","days":30}"#;
const ALWAYS: &str = r#"{"mode":"indefinite"}"#;

/// Two tenants that were uninstalled for ten days and for two months while their product moved.
fn world() -> World {
    let event = |id: &str, client: &str, kind: &str, time: &str, fields: &str| {
        format!(
            r#"{{"id":"{id}","type":"{kind}","time":"{time}T00:00:00Z","clientKey":"{client}","appKey":"{APP}"{fields}}}"#
        )
    };
    let (eu, us) =
        (r#","endpointRealm":"EU","productRealm":"EU""#, r#","endpointRealm":"US","productRealm":"US""#);
    let descriptor = format!(
        r#"{{"id":"d","type":"descriptor-published","time":"2026-01-01T00:00:00Z","appKey":"{APP}","descriptor":{{"baseUrl":"https://a.example","regionBaseUrls":{{"EU":"https://eu.a.example","US":"https://us.a.example"}}}}}}"#
    );
    World::with(&[
        descriptor,
        event("1", "acme", "installed", "2026-01-02", eu),
        event("2", "acme", "uninstalled", "2026-02-01", ""),
        event("3", "acme", "installed", "2026-02-11", us),
        event("4", "birch", "installed", "2026-01-02", eu),
        event("5", "birch", "uninstalled", "2026-02-01", ""),
        event("6", "birch", "installed", "2026-04-02", us),
    ])
}

fn run(arguments: &[&str], place: [&str; 2]) -> RunResult {
    let mut run = Run::new("whatif");
    run.arguments.extend(arguments.iter().chain(&place).map(|argument| (*argument).to_owned()));
    run.execute()
}

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn whatif_gives_the_same_reports_locally_and_remotely() {
    let world = world();
    let (data_dir, server) = (world.data_dir(), Server::over(&world.data_dir()));
    let (local, remote) = (["--data-dir", data_dir.to_str().unwrap()], ["--url", &server.url()]);
    let policies = ["--policy", OFF, "--policy", MONTH, "--policy", ALWAYS];
    let output = run(&policies, local).done();
    let reports = lines(&output);
    let counts: Vec<_> = reports
        .iter()
        .map(|report| ["reinstalls", "persisted", "moved"].map(|name| report[name].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [[2, 0, 2], [2, 1, 1], [2, 2, 0]]);
    assert_eq!(reports[1]["policy"], serde_json::json!({"mode": "days", "days": 30}));
    assert_eq!(reports[0]["gaps"]["p50Days"], 10.0);
    assert_eq!(reports[0]["gaps"]["maxDays"], 60.0);
    assert_eq!(reports[0]["gaps"]["shares"][3], serde_json::json!({"days": 30, "share": 0.5}));
    assert_eq!(run(&policies, remote).done(), output);
    // In a span of time, and of another app.
    let march = [&policies[..2], &["--from", "2026-03-01T00:00:00Z"]].concat();
    assert_eq!(lines(&run(&march, local).done())[0]["reinstalls"], 1);
    assert_eq!(run(&march, remote).done(), run(&march, local).done());
    let other = [&policies[..2], &["--app", "com.example.other"]].concat();
    for place in [local, remote] {
        let mistyped = run(&other, place);
        assert_eq!((mistyped.exit, mistyped.output.as_str()), (Exit::Failed, ""));
        assert!(
            mistyped.messages.contains("nothing is recorded of app com.example.other"),
            "{}",
            mistyped.messages
        );
    }
}

#[test]
fn differences_name_the_first_differing_record() {
    let world = world();
    let (data_dir, server) = (world.data_dir(), Server::over(&world.data_dir()));
    let asked = ["--policy", OFF, "--policy", MONTH, "--policy", ALWAYS, "--differences", "-"];
    for place in [["--data-dir", data_dir.to_str().unwrap()], ["--url", &server.url()]] {
        let result = run(&asked, place);
        assert!(
            result.messages.contains("days 30") && result.messages.contains("1 (50 %)")
                || result.messages.contains("1 (50.0 %)"),
            "{}",
            result.messages
        );
        let differences = lines(&result.done());
        let of = |aspect: &str| {
            let has = |found: &&Value| found["differs"].as_array().unwrap().iter().any(|one| one == aspect);
            differences.iter().filter(has).count()
        };
        assert_eq!((of("window"), of("pin"), of("rule")), (4, 3, 4), "{differences:?}");
        let found: Vec<_> = differences
            .into_iter()
            .filter(|found| found["differs"][0] == "pin")
            .map(|found| {
                (
                    found["clientKey"].clone(),
                    found["policy"]["mode"].clone(),
                    found["seq"].clone(),
                    found["supposed"]["pinnedRealm"].clone(),
                    found["actual"]["pinnedRealm"].clone(),
                )
            })
            .collect();
        let differs =
            |client: &str, mode: &str| (client.into(), mode.into(), 3.into(), "EU".into(), "US".into());
        assert_eq!(
            found,
            [differs("acme", "days"), differs("acme", "indefinite"), differs("birch", "indefinite")]
        );
    }
    let file = world.path().join("differences.ndjson");
    let to_file = [&asked[..7], &[file.to_str().unwrap()]].concat();
    let reports = run(&to_file, ["--data-dir", data_dir.to_str().unwrap()]).done();
    assert_eq!((reports.lines().count(), std::fs::read_to_string(&file).unwrap().lines().count()), (3, 8));
}

#[test]
fn gaps_are_drawn_as_text_and_svg() {
    let world = world();
    let data_dir = world.data_dir();
    let picture = world.path().join("gaps.svg");
    let place = ["--data-dir", data_dir.to_str().unwrap()];
    let drawing = ["--policy", OFF, "--plot", "--svg", picture.to_str().unwrap(), "--format", "table"];
    let output = run(&drawing, place).done();
    assert!(output.contains("BACK") && output.contains("≤ 10 d") && output.contains("50.0 %"), "{output}");
    assert!(std::fs::read_to_string(&picture).unwrap().contains("2 reinstalls"));
    // Data stays data.
    let piped = run(&drawing[..3], place);
    assert!(piped.messages.contains("BACK"), "{}", piped.messages);
    assert_eq!(lines(&piped.done()).len(), 1);
}

#[test]
fn invalid_policy_is_wrong_usage() {
    for policy in ["{}", r#"{"mode":"days","days":0}"#, r#"{"mode":"forever"}"#] {
        let result = run(&["--policy", policy], ["--data-dir", "nowhere"]);
        assert_eq!(result.exit, Exit::Usage, "{policy}");
    }
    assert_eq!(execute("whatif").exit, Exit::Usage);
}
