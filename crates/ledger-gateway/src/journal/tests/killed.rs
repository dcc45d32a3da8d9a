//! A process that is killed while it appends: all that it answered is there, once, in order.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

const DIRECTORY: &str = "JOURNAL_OF_KILLED_PROCESS";
const SENDERS: u32 = 8;
const KILLS: u32 = 20;

/// The process that is killed: this test again, with a directory. It prints what it has on disk.
fn append_until_killed(dir: &str) {
    let journal = open(Path::new(dir));
    let round = journal.status().lines;
    runtime().block_on(async {
        let send = |sender| {
            let journal = journal.clone();
            async move {
                for number in 0_u64.. {
                    let id = format!("{sender}-{round:08}-{number:08}");
                    let appended = journal.append(&event(&id)).await.unwrap();
                    println!("answered {id} {}", appended.line);
                }
            }
        };
        let senders: Vec<_> = (0..SENDERS).map(|sender| tokio::spawn(send(sender))).collect();
        for sender in senders {
            sender.await.unwrap();
        }
    });
}

#[test]
fn every_answered_event_survives_twenty_kills_once_and_in_order() {
    if let Ok(dir) = env::var(DIRECTORY) {
        return append_until_killed(&dir);
    }
    let dir = TempDir::new().unwrap();
    let mut answered = BTreeMap::new();
    for kill in 0..KILLS {
        let name = "journal::tests::killed::every_answered_event_survives_twenty_kills_once_and_in_order";
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut note = |line: String| {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["answered", id, number] = words[..] {
                answered.insert(id.to_owned(), number.parse::<u64>().unwrap());
            }
        };
        told.by_ref().take(40 + 37 * kill as usize).for_each(&mut note);
        child.kill().unwrap();
        // What it printed before it died was answered too.
        told.for_each(&mut note);
        child.wait().unwrap();
    }
    let journal = open(dir.path());
    let found = ids(&mut journal.read_on());
    assert!(answered.len() > 2_000, "{}", answered.len());
    let places: BTreeMap<&str, u64> = found.iter().map(String::as_str).zip(1..).collect();
    assert_eq!(places.len(), found.len(), "an event is there twice");
    for (id, line) in &answered {
        assert_eq!(places.get(id.as_str()), Some(line), "{id}");
    }
    for sender in 0..SENDERS {
        let of_sender: Vec<&String> =
            found.iter().filter(|id| id.starts_with(&format!("{sender}-"))).collect();
        assert!(of_sender.is_sorted(), "sender {sender}");
    }
}
