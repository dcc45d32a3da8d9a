//! `backup` and `restore` of a directory at rest, and what they refuse.

use std::path::PathBuf;

use ledger_store::{DataDir, StoreOptions};
use realm_ledger::Exit;
use serde_json::Value;

use crate::world::{RunResult, World, execute, history};

fn backup(world: &World, more: &str) -> RunResult {
    world.ask(&format!("backup {} {more}", dir(world).display()))
}

fn dir(world: &World) -> PathBuf {
    world.path().join("backup")
}

fn restore(world: &World, to: &str, more: &str) -> RunResult {
    execute(&format!(
        "restore {} --data-dir {} {more}",
        dir(world).display(),
        world.path().join(to).display()
    ))
}

fn refused(result: &RunResult, exit: Exit, text: &str) {
    assert_eq!(result.exit, exit, "{}", result.messages);
    assert!(result.messages.contains(text), "{}", result.messages);
}

#[test]
fn restored_directory_answers_and_verifies_like_the_one_that_was_backed_up() {
    let world = World::with(&history());
    let made = backup(&world, "");
    let (world_keys, messages) = (world.path().join("ledger.keys"), made.messages.clone());
    assert!(
        messages.contains("generation 1 in ") && messages.contains(world_keys.to_str().unwrap()),
        "{messages}"
    );
    let shard: Value = serde_json::from_str(&made.done()).unwrap();
    assert_eq!((&shard["generation"], &shard["partition"]), (&1.into(), &0.into()));
    assert!(shard["sealedSize"].as_u64().unwrap() > 0 && shard.get("nextOffset").is_none(), "{shard}");
    let restored = restore(&world, "restored", "");
    assert!(restored.messages.contains("restored.keys"), "{}", restored.messages);
    assert_eq!(serde_json::from_str::<Value>(&restored.done()).unwrap(), shard);
    let asked = |data: &str, command: &str| {
        execute(&format!("{command} --data-dir {}", world.path().join(data).display())).done()
    };
    for command in ["state --at 2026-06-01T00:00:00Z", "log acme.atlassian.net", "export --ndjson"] {
        assert_eq!(asked("restored", command), asked("ledger", command), "{command}");
    }
    // The keys come from where they were kept.
    let secret = secret(&world);
    std::fs::rename(world_keys, world.path().join("restored.keys")).unwrap();
    asked("restored", "verify");
    assert!(!contains(&dir(&world), &secret), "the secret is in the backup");
}

fn secret(world: &World) -> Vec<u8> {
    let text = std::fs::read_to_string(world.path().join("ledger.keys/secret")).unwrap();
    text.trim().as_bytes().to_vec()
}

/// Whether any file below a directory has these bytes.
fn contains(dir: &std::path::Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, bytes);
        }
        let text = std::fs::read(path).unwrap();
        text.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn keep_leaves_the_newest_generations_and_the_check_reads_them() {
    let world = World::with(&history());
    for _ in 0..3 {
        backup(&world, "").done();
    }
    let kept = backup(&world, "--keep 2");
    assert!(kept.messages.contains("removed generation 1, 2, and"), "{}", kept.messages);
    refused(&restore(&world, "gone", "--generation 1"), Exit::Failed, "has no generation 1; it has 3, 4");
    let checked = execute(&format!("backup {} --verify", dir(&world).display()));
    assert!(checked.messages.contains("2 of 2 generation(s) read"), "{}", checked.messages);
    assert_eq!(checked.done(), "");
    restore(&world, "third", "--generation 3").done();
    std::fs::write(dir(&world).join("generations/4.json"), "{}").unwrap();
    let checked = execute(&format!("backup {} --verify", dir(&world).display()));
    refused(&checked, Exit::Difference, "1 of 2 generation(s) read");
    assert!(checked.output.contains("4.json is damaged"), "{}", checked.output);
    refused(&restore(&world, "fourth", ""), Exit::Difference, "--verify");
}

#[test]
fn keep_that_removes_nothing_reports_the_generation_that_does_not_read() {
    let world = World::with(&history());
    for _ in 0..3 {
        backup(&world, "").done();
    }
    let generation = |number: u32| dir(&world).join(format!("generations/{number}.json"));
    std::fs::write(generation(2), "{}").unwrap();
    refused(&backup(&world, "--keep 3"), Exit::Difference, "nothing was removed: generation 2, which");
    assert!(generation(1).exists() && generation(4).exists());
    std::fs::rename(generation(2), dir(&world).join("given-up")).unwrap();
    let kept = backup(&world, "--keep 2");
    assert!(kept.messages.contains("removed generation 1, 3, and"), "{}", kept.messages);
    kept.done();
}

#[test]
fn backup_of_a_directory_that_a_server_holds_names_the_other_way() {
    let world = World::with(&history());
    let data = DataDir::open_existing_read_only(&world.data_dir(), StoreOptions::default()).unwrap();
    let shard = data.shards().unwrap().remove(0);
    // A process does not see its own locks, so another one holds it.
    let lock = world.data_dir().join("shards").join(&shard.topic).join("0/LOCK");
    let mut holder = std::process::Command::new("python3")
        .args(["-c", "import fcntl,sys;f=open(sys.argv[1],'r+');fcntl.lockf(f,fcntl.LOCK_EX);print('held',flush=True);sys.stdin.read()"])
        .arg(lock)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 4];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    refused(&backup(&world, ""), Exit::Failed, "backup --url");
    holder.kill().unwrap();
    holder.wait().unwrap();
    backup(&world, "").done();
}

#[test]
fn wrong_usage_is_exit_2_and_a_restore_into_something_fails() {
    let world = World::with(&history());
    for line in
        ["backup", "backup a --url http://localhost:1", "backup a --verify --keep 2", "backup a --keep 0"]
    {
        assert_eq!(execute(line).exit, Exit::Usage, "{line}");
    }
    refused(&restore(&world, "new", ""), Exit::Failed, "has no generation");
    backup(&world, "").done();
    refused(&restore(&world, "ledger", ""), Exit::Failed, "is not empty");
    refused(
        &world.ask(&format!("backup {}/inside", world.data_dir().display())),
        Exit::Failed,
        "contain each other",
    );
    refused(&backup(&World::new(), ""), Exit::Failed, "holds no ledger");
}

#[test]
fn server_without_a_directory_for_backups_refuses_by_name() {
    let world = World::with(&history());
    let server = crate::world::Server::over(&world.data_dir());
    refused(&execute(&format!("backup --url {}", server.url())), Exit::Failed, "has no backup.dir");
}
