//! `search`, `lineage` and `decisions`, on a directory and on a server.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use realm_ledger::Exit;
use serde_json::{Value, json};

use crate::world::{Server, World, execute, history};

const APP: &str = "com.example.roadmap";

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A site that was made anew, beside the others.
fn world() -> World {
    let installed = |id: &str, client: &str, day: u32, site: &str| {
        format!(
            r#"{{"id":"{id}","type":"installed","time":"2026-03-{day:02}T00:00:00Z","clientKey":"{client}","appKey":"{APP}","endpointRealm":"EU","siteUrl":"{site}","entitlementId":"ent-{id}"}}"#
        )
    };
    let mut history = history();
    history.push(installed("s-1", "old-site", 3, "https://www.Site.example/wiki"));
    history.push(installed("s-2", "new-site", 9, "https://site.example"));
    history.push(installed("l-1", "linked", 9, ""));
    history.push(format!(
        r#"{{"id":"l-2","type":"continued","time":"2026-03-10T00:00:00Z","clientKey":"linked","appKey":"{APP}","fromClientKey":"gone","evidence":"a ticket"}}"#
    ));
    World::with(&history)
}

/// The same from a directory and from a server.
fn asked(world: &World, server: &Server, command: &str) -> String {
    let local = world.ask(command).done();
    assert_eq!(local, execute(&format!("{command} --url {}", server.url())).done(), "{command}");
    local
}

#[test]
fn search_finds_by_key_and_by_name_locally_and_remotely() {
    let world = world();
    let server = Server::over(&world.data_dir());
    let found = |q: &str| {
        let found = lines(&asked(&world, &server, &format!("search {q}")));
        found.iter().map(|tenant| tenant["clientKey"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("o"), ["odd.atlassian.net", "old-site", "open.atlassian.net"]);
    assert_eq!(found("https://SITE.example/jira"), ["new-site", "old-site"]);
    assert_eq!((found("ent-s-1"), found("ent-s-")), (vec!["old-site".to_owned()], vec![]));
    let table = asked(&world, &server, "search site.example --format table");
    assert!(table.contains(&format!("SITE_HOST ({APP})")), "{table}");
    let nothing = world.ask("search nobody --format table");
    assert_eq!((nothing.exit, nothing.output.as_str()), (Exit::Done, ""));
    assert!(nothing.messages.contains("no client key begins with nobody"), "{}", nothing.messages);
    let refused = world.ask(&format!("search {}", "x".repeat(2049)));
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.messages.contains("expected 1 to 2048 bytes"), "{}", refused.messages);
}

#[test]
fn lineage_lists_links_and_proposals_and_exports_proposals() {
    let world = world();
    let server = Server::over(&world.data_dir());
    let all = lines(&asked(&world, &server, "lineage"));
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["link"]["from"]["clientKey"], "gone");
    assert_eq!(all[1]["proposal"]["shared"], json!([{"by": "SITE_HOST", "value": "site.example"}]));
    assert_eq!(lines(&asked(&world, &server, "lineage new-site")).len(), 1);
    assert_eq!(asked(&world, &server, "lineage --app com.example.other"), "");
    let table = asked(&world, &server, "lineage --format table");
    assert!(table.contains("old-site") && table.contains("SITE_HOST site.example"), "{table}");
    assert_eq!(
        asked(&world, &server, "lineage --export"),
        format!(
            "appKey,fromClientKey,fromRealm,fromStatus,lastEvent,toClientKey,toRealm,toStatus,firstEvent,siteHost,\
             entitlementId,installationId\n{APP},old-site,EU,INSTALLED,2026-03-03T00:00:00.000Z,new-site,EU,INSTALLED,\
             2026-03-09T00:00:00.000Z,site.example,,\n"
        )
    );
    let unnamed = execute(&format!("lineage --confirm x.csv --url {}", server.url()));
    assert_eq!(unnamed.exit, Exit::Usage, "{}", unnamed.messages);
    assert_eq!(world.ask("lineage --confirm x.csv --actor jane").exit, Exit::Usage);
    let torn = world.file("torn.csv", "appKey,fromClientKey\na,b\n");
    let torn = execute(&format!("lineage --confirm {} --actor jane --url {}", torn.display(), server.url()));
    assert_eq!(torn.exit, Exit::Failed);
    assert!(torn.messages.contains("lineage --export"), "{}", torn.messages);
}

#[test]
fn decisions_so_far_are_printed_from_a_cursor_on() {
    let world = world();
    let server = Server::over(&world.data_dir());
    let all = asked(&world, &server, "decisions");
    let rules = lines(&all);
    assert!(rules.len() >= 8, "{all}");
    assert_eq!(rules[0]["specversion"], "1.0");
    let first = world.ask("decisions --limit 3");
    let cursor = first.messages.trim().strip_prefix("go on with --from ").unwrap().to_owned();
    let rest = asked(&world, &server, &format!("decisions --from {cursor}"));
    assert_eq!(first.done() + &rest, all);
    let persisted = lines(&asked(&world, &server, "decisions --rule PERSISTED"));
    assert_eq!(persisted.len(), 1);
    assert_eq!(asked(&world, &server, "decisions --app com.example.other"), "");
    assert_eq!(world.ask("decisions --rule REINSTALLED").exit, Exit::Usage);
    assert_eq!(world.ask("decisions --follow").exit, Exit::Usage, "a directory has nothing to come");
    let table = world.ask("decisions --rule PERSISTED --format table").done();
    assert!(table.contains("PERSISTED") && table.contains("acme.atlassian.net"), "{table}");
}

/// Passes connections on to a server. The first ones are cut off after so many bytes of their answer.
fn cutting_off(server: &Server, after: Vec<usize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let behind = server.url().trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        let mut after = after.into_iter();
        while let Ok((mut client, _)) = listener.accept() {
            let mut server = TcpStream::connect(&behind).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut to));
            let mut left = after.next().unwrap_or(usize::MAX);
            let mut part = [0; 64];
            while left > 0 {
                let read = server.read(&mut part).unwrap_or(0);
                if read == 0 || client.write_all(&part[..read]).is_err() {
                    break;
                }
                left = left.saturating_sub(read);
            }
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    });
    url
}

#[test]
fn followed_decisions_go_on_after_the_server_went_away_without_a_gap_or_a_repeat() {
    let world = world();
    let server = Server::over(&world.data_dir());
    let all = world.ask("decisions").done();
    let count = all.lines().count();
    let url = cutting_off(&server, vec![all.len() / 2, 900, 10]);
    let followed = execute(&format!("decisions --follow --limit {count} --url {url}"));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&followed.output), sorted(&all));
    assert!(followed.messages.contains("going on from the last decision"), "{}", followed.messages);
    assert!(followed.messages.contains("the server answers again"), "{}", followed.messages);
    let nobody = execute("decisions --follow --url http://127.0.0.1:1");
    assert_eq!(nobody.exit, Exit::Failed, "a server that was never there did not go away");
}
