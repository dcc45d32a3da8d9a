//! Files of `deploy/` under the tools of those who read them. Each tool is also given a file with a fault, which it has to find.

use std::fs;
use std::path::Path;
use std::process::Command;

use ledger_tests::tools::{printed, tool};
use ledger_tests::{scratch, server};
use serde_json::Value;

use super::text;
use crate::tidy::root;

/// Checks a file as it is, and with a fault: `what` is in it once.
fn check(name: &str, content: &str, [what, fault]: [&str; 2], tool: impl Fn(&Path) -> Command) {
    let scratch = scratch::directory();
    let path = scratch.path().join(name);
    let run = |content: &str| {
        fs::write(&path, content).unwrap();
        tool(&path).output().unwrap()
    };
    let output = run(content);
    assert!(output.status.success(), "{name}: {}", printed(&output));
    assert!(content.contains(what), "{name} has no {what}");
    let output = run(&content.replacen(what, fault, 1));
    assert!(!output.status.success(), "{name}: the fault {fault} is not found: {}", printed(&output));
}

fn promtool(path: &Path) -> Command {
    let mut command = tool("promtool");
    command.args(["check", "rules", "--lint-fatal"]).arg(path);
    command
}

#[test]
fn alerts_are_rules_for_prometheus() {
    check(
        "alerts.yaml",
        &text("alerts.yaml"),
        ["realm_ledger_lag_seconds > 300", "realm_ledger_lag_seconds >"],
        promtool,
    );
}

#[test]
fn alerts_fire_when_they_should_and_no_sooner() {
    let mut command = tool("promtool");
    let output =
        command.args(["test", "rules"]).arg(root().join("tests/deploy/alerts.yaml")).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
}

#[test]
fn questions_of_the_dashboard_are_some_for_prometheus() {
    let dashboard: Value = serde_json::from_str(&text("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, target) in targets.enumerate() {
        let question = target["expr"].as_str().unwrap().replace("$job", ".*").replace("$instance", ".*");
        let number = number.to_string();
        let parts = [
            "      - record: dashboard:question:",
            &number,
            "
        expr: >
          ",
            &question,
            "
",
        ];
        rules += &parts.concat();
    }
    check("dashboard.yaml", &rules, ["sum by (", "sum by by ("], promtool);
}

#[test]
fn dockerfile_has_no_warning() {
    check("Dockerfile", &text("Dockerfile"), ["WORKDIR /build", "WORKDIR build"], |path| {
        let mut command = tool("hadolint");
        command.args(["--no-color", "--failure-threshold", "info"]).arg(path);
        command
    });
}

#[test]
fn compose_file_is_one_for_compose() {
    check("compose.yaml", &text("compose.yaml"), ["healthcheck:", "healthchecks:"], |path| {
        let mut command = tool("compose");
        command.arg(path);
        command
    });
}

#[test]
fn unit_is_one_for_systemd() {
    // systemd looks whether the program is there.
    let program = server::program().display().to_string();
    let unit = text("realm-ledger.service").replace("/usr/local/bin/realm-ledger", &program);
    check("realm-ledger.service", &unit, ["DynamicUser=yes", "DynamicUsers=yes"], |path| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "--recursive-errors=no"]).arg(path);
        command
    });
}
