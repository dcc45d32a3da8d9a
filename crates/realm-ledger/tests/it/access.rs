//! Tokens: made, pasted into a configuration, sent by commands, and found nowhere afterwards.

mod noted;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ledger_api::access::{new_token, token_hash};
use realm_ledger::Exit;
use serde_json::Value;

use crate::world::{Run, World, execute};

/// A token and the lines that name it, as `token create` prints them.
fn created(arguments: &str) -> (String, String) {
    let output = execute(&format!("token create {arguments}")).done();
    let (token, lines) = output.split_once("\n\n").unwrap();
    (token.to_owned(), lines.to_owned())
}

/// `serve` with a configuration and without brokers; killed when dropped.
struct Served {
    child: Child,
    log: PathBuf,
    url: String,
    admin_url: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn with(world: &World, access: &str) -> Self {
        Self::started(world, access, &[])
    }

    fn started(world: &World, access: &str, flags: &[&str]) -> Self {
        let settings = "[http]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\n[kafka]\nbrokers = '127.0.0.1:1'\n";
        let config = world.file("ledger.toml", &format!("{settings}{access}"));
        let log = world.path().join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realm-ledger"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REALM_LEDGER_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--data-dir"]).arg(world.data_dir()).arg("--config").arg(config).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let mut served = Self { child, log, url: String::new(), admin_url: String::new() };
        let until = Instant::now() + Duration::from_mins(1);
        while served.url.is_empty() {
            assert!(Instant::now() < until, "{}", served.logged());
            std::thread::sleep(Duration::from_millis(20));
            let logged = served.logged();
            let ready = logged.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let ready = ready.into_iter().find(|line| line["message"] == "ready");
            if let Some(ready) = ready {
                let url = |name: &str| ready[name].as_str().unwrap().to_owned();
                (served.url, served.admin_url) = (url("url"), url("admin_url"));
            }
        }
        served
    }

    fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The lines of the log about access.
    fn access_lines(&self) -> Vec<Value> {
        let lines = self.logged();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "access").collect()
    }

    fn get(&self, path: &str, authorization: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.get(format!("{}{path}", self.url)).header("authorization", authorization);
        let mut answer = request.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }
}

fn files_below(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, all) } else { all.push(path) }
    }
}

#[test]
fn created_token_is_whole_and_its_lines_have_its_hash() {
    let (token, lines) =
        created("support --scope read --scope audit --app a --app b --expires 2030-01-01T00:00:00Z");
    assert!(token.starts_with("rl_") && token.len() == 52, "{token}");
    assert!(!lines.contains(&token));
    let hash: String = hex::encode(token_hash(&token));
    let expected = format!(
        "[[access.token]]\nname = \"support\"\nsha256 = \"{hash}\"\nscopes = [\"read\", \"audit\"]\napps = [\"a\", \"b\"]\n\
         expires = \"2030-01-01T00:00:00.000Z\"\n"
    );
    assert_eq!(lines, expected);
    let (other, all) = created("all --scope operate --all-apps");
    assert!(other != token && all.contains("apps = [\"*\"]"), "{all}");
}

#[test]
fn commands_send_the_token_and_it_is_found_nowhere_afterwards() {
    let world = World::new();
    let (token, lines) = created("support --scope read --scope audit --app com.granted.app");
    let served = Served::with(&world, &lines);
    let file = world.file("token", &format!("{token}\n"));
    let state = format!("state acme.atlassian.net --url {}", served.url);
    let refused = execute(&state);
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.messages.contains("no credentials were sent"), "{}", refused.messages);
    let with_file = execute(&format!("{state} --token-file {}", file.display()));
    assert!(
        with_file.messages.contains("not every shard") || with_file.messages.contains("not known"),
        "{}",
        with_file.messages
    );
    let mut run = Run::new(&format!("log acme.atlassian.net --url {}", served.url));
    run.environment.insert("REALM_LEDGER_TOKEN".to_owned(), token.clone());
    let with_variable = run.execute();
    assert!(!with_variable.messages.contains("credentials"), "{}", with_variable.messages);
    let stranger = new_token([9; 32]);
    let (web, basic) =
        ("eyJhbGciOiJIUzI1NiJ9.Y2FuYXJ5LWNhbmFyeQ.Y2FuYXJ5LXNpZ25hdHVyZQ", "Y2FuYXJ5OmNhbmFyeQ==");
    let mut answers = String::new();
    for authorization in
        [format!("Bearer {stranger}"), format!("Bearer {web}"), format!("Basic {basic}"), stranger.clone()]
    {
        let (status, body) = served.get("/v1/quarantine", &authorization);
        assert_eq!(status, 401, "{body}");
        answers += &body;
    }
    let (status, body) = served.get(&format!("/v1/quarantine?token={stranger}"), &format!("Bearer {token}"));
    assert_eq!(status, 400, "{body}");
    answers += &body;
    let hidden = served.get("/v1/tenants/acme.atlassian.net/apps/com.hidden.app", &format!("Bearer {token}"));
    answers += &hidden.1;
    let metrics = ureq::get(format!("{}/metrics", served.admin_url)).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    let counted = r#"realm_ledger_access_refusals_total{query="Quarantine",code="unauthenticated"} 4"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    let accesses = served.access_lines();
    let line = |query: &str, code: &str| {
        let fits = |line: &&Value| line["query"] == query && (code.is_empty() || line["code"] == code);
        accesses.iter().find(fits).cloned().unwrap_or_default()
    };
    assert!(line("Installation", "not-granted")["app_key"] == "com.hidden.app", "{accesses:?}");
    let used = line("Log", "");
    let is_whole = used["principal"] == "support" && used["client_key"] == "acme.atlassian.net";
    assert!(is_whole && used["code"] == "not-ready", "{accesses:?}");
    assert!(line("Quarantine", "unauthenticated")["status"] == 401, "{accesses:?}");
    let mut files = Vec::new();
    files_below(&world.data_dir(), &mut files);
    let mut everywhere: Vec<String> = files
        .iter()
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .collect();
    everywhere.extend([
        served.logged(),
        metrics,
        answers,
        refused.messages,
        with_file.messages,
        with_variable.messages,
    ]);
    for canary in [&*token, &stranger, web, basic] {
        // A part of one would do.
        let part = &canary[4..20];
        assert!(everywhere.iter().all(|text| !text.contains(part)), "{canary} was left behind");
    }
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Regression: nothing but public authorities was trusted, so no command could ask an https server of a private one.
#[test]
fn https_server_is_asked_where_its_authority_is_named() {
    let world = World::new();
    let openssl = |line: &str| {
        let output =
            Command::new("openssl").args(line.split(' ')).current_dir(world.path()).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    world.file("extensions", "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n");
    openssl(&format!("req -x509 {NEW_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(&format!("req -new {NEW_KEY} -subj /CN=server -keyout server.key -out server.csr"));
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    );
    let at = |name: &str| world.path().join(name).display().to_string();
    let tls = format!("[http.tls]\ncertificate = '{}'\nkey = '{}'\n", at("server.pem"), at("server.key"));
    let served = Served::with(&world, &tls);
    assert!(served.url.starts_with("https://"), "{}", served.url);
    let search = format!("search acme --url {}", served.url);
    let refused = execute(&search);
    assert!(
        refused.exit != Exit::Done && refused.messages.contains("cannot be asked"),
        "{}",
        refused.messages
    );
    // It has read no partition to its end, and says so: it was asked.
    let answered = execute(&format!("{search} --ca {}", at("ca.pem")));
    assert!(
        answered.messages.contains("not ready") || answered.messages.contains("read to its end"),
        "{}",
        answered.messages
    );
    let unusable = execute(&format!("{search} --ca {}", at("server.key")));
    assert_eq!(unusable.exit, Exit::Usage, "{}", unusable.messages);
}
