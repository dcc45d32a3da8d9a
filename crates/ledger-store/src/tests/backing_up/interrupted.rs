//! What is interrupted at any step counts for nothing, and stands in the way of nothing.

use std::io::{BufRead as _, BufReader};

use super::*;
use crate::tests::crash;

/// Stops at a step; counts them.
fn stopping_at(step: usize, count: &mut usize) -> impl FnMut(u64, u64) -> ControlFlow<()> {
    move |_, _| {
        *count += 1;
        if *count > step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn backup_that_stops_at_any_step_leaves_no_generation() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    let open =
        |shards: &[Shard], id: &ShardId| shards.iter().find(|shard| shard.id() == id).map(Shard::reader);
    fill(&mut shards, 0);
    let mut steps = 0;
    for step in 0.. {
        let mut count = 0;
        let mut progress = stopping_at(step, &mut count);
        let made =
            back_up(&backed.ledger.data, &|id| open(&shards, id), &backed.backup, hour(0), &mut progress);
        if let Ok(made) = made {
            assert_eq!(made.generation.number, 1);
            break;
        }
        assert!(matches!(made, Err(BackupError::Stopped)), "{made:?}");
        assert!(crate::backup::last_generation(&backed.backup).unwrap().is_none());
        assert!(!backed.ledger.data.path().join("backup").exists());
        steps += 1;
    }
    assert!(steps > 10, "only {steps} steps");
    assert!(backed.damage().is_empty());
    backed.restored("restored", None).unwrap();
}

/// The process itself is killed: nothing is cleaned up behind it.
#[test]
fn process_killed_at_any_step_of_a_backup_leaves_no_half_generation() {
    if let Some(dir) = crash::role() {
        let step: usize = fs::read_to_string(dir.join("step")).unwrap().parse().unwrap();
        let data = open(&dir.join("data"), StoreOptions::default());
        let mut shards = [0, 1].map(|partition| data.open_shard(&shard_id(partition)).unwrap());
        if step == 0 {
            fill(&mut shards, 0);
        }
        let mut count = 0;
        let mut progress = |_, _| {
            if count == step {
                println!("killed at {step}");
                let itself = std::process::id().to_string();
                std::process::Command::new("kill").args(["-s", "KILL", &itself]).status().unwrap();
            }
            count += 1;
            ControlFlow::Continue(())
        };
        let open = |id: &ShardId| shards.iter().find(|shard| shard.id() == id).map(Shard::reader);
        back_up(&data, &open, &dir.join("backup"), hour(0), &mut progress).unwrap();
        println!("done");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let itself =
        "tests::backing_up::interrupted::process_killed_at_any_step_of_a_backup_leaves_no_half_generation";
    let mut generations = 0;
    for step in (0..60).step_by(3) {
        fs::write(dir.path().join("step"), step.to_string()).unwrap();
        let mut child = crash::writer(itself, dir.path(), "");
        let said: Vec<String> =
            BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        child.wait().unwrap();
        let is_done = said.iter().any(|line| line.contains("done"));
        assert!(is_done || said.iter().any(|line| line.contains("killed at")), "{said:?}");
        generations += usize::from(is_done);
        let last = crate::backup::last_generation(&dir.path().join("backup")).unwrap();
        assert_eq!(last.map_or(0, |last| last.generations), generations);
        if generations > 0 {
            let check = verify_backup(&dir.path().join("backup"), &mut unheard()).unwrap();
            assert!(check.damage.is_empty(), "{check:?}");
        }
        if is_done && generations > 1 {
            break;
        }
    }
    assert!(generations > 0, "no step was the last one");
    let backup = dir.path().join("backup");
    let to = dir.path().join("restored");
    restore(&backup, None, &to, StoreOptions::default(), &mut unheard()).unwrap();
    let left = blobs(&backup).into_iter().filter(|blob| blob.extension().is_some()).count();
    assert_eq!(left, 0, "what was being copied is removed by the next backup");
    assert_eq!(dumps(&opened(&to)), dumps(&opened(&dir.path().join("data"))));
}

#[test]
fn restore_that_stops_at_any_step_leaves_nothing_that_opens_and_can_be_repeated() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    backed.beside(&shards);
    let to = backed.ledger.dir.path().join("restored");
    let mut steps = 0;
    for step in 0.. {
        let mut count = 0;
        let mut progress = stopping_at(step, &mut count);
        match restore(&backed.backup, None, &to, StoreOptions::default(), &mut progress) {
            Ok(_) => break,
            Err(BackupError::Stopped) => steps += 1,
            Err(error) => panic!("{error}"),
        }
        for opened in [
            DataDir::open_existing_read_only(&to, StoreOptions::default()),
            DataDir::open(&to, StoreOptions::default(), secret()),
        ] {
            let refused = opened.unwrap_err();
            assert!(matches!(refused, crate::OpenError::Restoring { .. }), "{refused}");
        }
    }
    assert!(steps > 10, "only {steps} steps");
    assert_eq!(dumps(&opened(&to)), dumps(&backed.ledger.data));
}
