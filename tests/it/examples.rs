//! `proto/EXAMPLES.md`: each block is run as it stands, against a ledger that Kafka feeds, and prints what stands behind it.
//!
//! A block `sh` runs in bash; one of Python behind the first, which all begin with; the functions of Rust are those of the
//! program `written-examples` (`tests/shown`), whose source is made of the blocks. `BLESS=1` makes it.

mod first_page;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_tests::kafka::{Broker, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::tools::{printed, tool};
use ledger_tests::{python, scratch, wait};
use serde_json::{Value, json};

use crate::tidy::root;

const CLIENT: &str = "acme.atlassian.net";
const APP: &str = "com.example.notes";

/// A block, and the text behind it.
struct Block<'m> {
    language: &'m str,
    line: usize,
    code: String,
    shown: Option<String>,
}

fn blocks(markdown: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut lines = (1..).zip(markdown.lines());
    while let Some((line, opening)) = lines.next() {
        let Some(language) = opening.strip_prefix("```") else { continue };
        let within = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let code: String = within.flat_map(|line| [line, "\n"]).collect();
        match (language, blocks.last_mut()) {
            ("text", Some(before)) => before.shown = Some(code),
            _ => blocks.push(Block { language, line, code, shown: None }),
        }
    }
    blocks
}

fn examples() -> String {
    fs::read_to_string(root().join("proto/EXAMPLES.md")).unwrap()
}

/// Whether this is what stands there: `…` is anything.
fn is_as_shown(printed: &str, shown: &str) -> bool {
    let mut pieces = shown.trim_end().split('…');
    let Some(mut rest) = pieces.next().and_then(|first| printed.trim_end().strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

#[test]
fn ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(is_as_shown("a1b22c\n", "a…b…c"));
    assert!(is_as_shown("same\n", "same\n"));
    assert!(is_as_shown("begin and more", "begin…"));
    for (printed, shown) in [("a1b", "a…c"), ("other", "same"), ("begin", "begin more…"), ("ab", "a")] {
        assert!(!is_as_shown(printed, shown), "{printed} {shown}");
    }
}

#[test]
fn rust_of_the_examples_is_what_is_compiled() {
    let markdown = examples();
    let written: Vec<String> = blocks(&markdown)
        .into_iter()
        .filter(|block| block.language == "rust")
        .map(|block| block.code)
        .collect();
    let (written, path) = (written.join("\n"), root().join("tests/shown/written.rs"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &written).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), written, "BLESS=1 makes tests/shown/written.rs");
}

/// So long ago.
fn days_ago(days: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    format_instant(Timestamp::from_millis(now - days * 86_400_000))
}

fn events() -> Vec<Message> {
    let event = |id: &str, kind: &str, days: i64, more: &Value| {
        let mut event = json!({ "id": id, "type": kind, "time": days_ago(days), "appKey": APP });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    let urls = json!({ "EU": "https://eu.example.com", "US": "https://us.example.com" });
    let descriptor = json!({ "descriptor": {
        "baseUrl": "https://example.com", "regionBaseUrls": urls, "dataResidency": { "realmPersistence": true }
    } });
    let installed = json!({ "clientKey": CLIENT, "endpointRealm": "EU", "productRealm": "EU" });
    let site = |client: &str, name: &str| json!({ "clientKey": client, "endpointRealm": "EU", "siteUrl": format!("https://{name}.atlassian.net") });
    let migration =
        json!({ "clientKey": "initech.atlassian.net", "migrationId": "57500", "targetRealm": "US" });
    let other = json!({ "clientKey": "globex.atlassian.net" });
    vec![
        Message::new(APP, event("d-1", "descriptor-published", 300, &descriptor)),
        Message::new(CLIENT, event("e-1", "installed", 200, &installed)),
        Message::new(CLIENT, event("e-2", "uninstalled", 2, &json!({ "clientKey": CLIENT }))),
        Message::new(
            "initech.atlassian.net",
            event("m-1", "installed", 100, &site("initech.atlassian.net", "initech")),
        ),
        Message::new("initech.atlassian.net", event("m-2", "migration-scheduled", 5, &migration)),
        Message::new("hooli-old", event("h-1", "installed", 90, &site("hooli-old", "hooli"))),
        Message::new("hooli-new", event("h-2", "installed", 10, &site("hooli-new", "hooli"))),
        // Under the key of another tenant.
        Message::new(CLIENT, event("e-3", "disabled", 1, &other)),
    ]
}

/// A token, and the lines that name it.
fn token() -> (String, String) {
    let args = ["token", "create", "operator", "--scope", "operate", "--app", "*"];
    let output = server::command().args(args).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    let made = String::from_utf8(output.stdout).unwrap();
    let (token, table) = made.split_once('\n').unwrap();
    (token.to_owned(), table.to_owned())
}

fn serve(broker: &Broker, scratch: &Path, access: &str) -> Server {
    let config = scratch.join("realm-ledger.toml");
    fs::write(&config, access).unwrap();
    let mut setup = Setup::new(broker.cluster(), "realm.lifecycle".to_owned(), scratch.join("data"));
    "realm.checkpoints".clone_into(&mut setup.checkpoints_topic);
    broker.cluster().create_topic(&setup.topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    broker.cluster().create_topic(&setup.checkpoints_topic, 1, &[("cleanup.policy", "compact")]);
    broker.cluster().produce(&setup.topic, &events());
    setup.more = vec![
        ("CONFIG", config.display().to_string()),
        ("BACKUP__DIR", scratch.join("backups").display().to_string()),
        ("EVIDENCE__TICK_INTERVAL", "1s".to_owned()),
    ];
    let server = Server::start(&setup, &scratch.join("log"));
    server.wait_until_ready(1);
    server
}

/// Where the examples run: a directory with what they use of the checkout, and their variables.
struct Bench<'s> {
    directory: &'s Path,
    variables: Vec<(&'static str, String)>,
    /// What each program of Python begins with.
    python_begin: String,
}

impl Bench<'_> {
    fn run(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.directory).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    fn of_block(&self, block: &Block<'_>) -> Output {
        match block.language {
            "sh" => self.run("bash", &["-euo", "pipefail", "-c", &block.code]),
            "python" => {
                fs::write(
                    self.directory.join("example.py"),
                    format!("{}\n{}", self.python_begin, block.code),
                )
                .unwrap();
                self.run("python3", &["-B", "example.py"])
            }
            "rust" => {
                let name = block.code.strip_prefix("fn ").and_then(|code| code.split('(').next()).unwrap();
                self.run(env!("CARGO_BIN_EXE_written-examples"), &[name])
            }
            other => unreachable!("line {}: no test runs {other}", block.line),
        }
    }
}

/// The verifier key, once the first records are signed.
fn verifier_key(bench: &Bench<'_>, data: &Path) -> String {
    wait::for_value(|| {
        let output =
            bench.run("bash", &["-c", &format!("curl -sf -H \"$AUTH\" $U/v1/tenants/{CLIENT}/proof")]);
        if output.status.success() { Ok(()) } else { Err(printed(&output)) }
    });
    let mut command = server::command();
    let output = command.args(["keys", "show", "--format", "json", "--data-dir"]).arg(data).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    shown["verifierKey"].as_str().unwrap().to_owned()
}

#[test]
fn examples_print_what_stands_behind_them() {
    let (broker, scratch) = (Broker::start(), scratch::directory());
    let (token, access) = token();
    let server = serve(&broker, scratch.path(), &access);
    for name in ["proto", "tests"] {
        std::os::unix::fs::symlink(root().join(name), scratch.path().join(name)).unwrap();
    }
    let markdown = examples();
    let blocks = blocks(&markdown);
    let mut path: Vec<_> =
        [python::interpreter(), Path::new(tool("grpcurl").get_program()).to_owned(), server::program()]
            .iter()
            .map(|program| program.parent().unwrap().to_owned())
            .collect();
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut bench = Bench {
        directory: scratch.path(),
        variables: vec![
            ("PATH", std::env::join_paths(path).unwrap().into_string().unwrap()),
            ("U", server.url.clone()),
            ("HOST", server.url.trim_start_matches("http://").to_owned()),
            ("AUTH", format!("authorization: Bearer {token}")),
            ("TOKEN", token),
        ],
        python_begin: blocks.iter().find(|block| block.language == "python").unwrap().code.clone(),
    };
    let key = verifier_key(&bench, &scratch.path().join("data"));
    bench.variables.push(("KEY", key));
    let mut faults = String::new();
    let mut compared = 0;
    for block in &blocks {
        // What programs begin with shows nothing.
        let shown = block.shown.as_deref();
        if shown.is_none() && block.language != "sh" {
            continue;
        }
        let output = bench.of_block(block);
        let is_right = shown.is_none_or(|shown| is_as_shown(&String::from_utf8_lossy(&output.stdout), shown));
        compared += usize::from(shown.is_some());
        if !(output.status.success() && is_right) {
            write!(faults, "\nEXAMPLES.md:{}: {}\n{}", block.line, output.status, printed(&output)).unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(compared > 25, "{compared} were compared");
    server.drain();
}
