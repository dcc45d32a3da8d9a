//! Pruning never takes what a kept generation needs, wherever it is interrupted and whatever runs beside it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;
use crate::backup::prune;

/// What happens to a directory for backups.
#[derive(Debug, Clone)]
enum Act {
    /// The ledger grows.
    Fill,
    /// A generation; with a number it stops at that step.
    BackUp(Option<usize>),
    /// Keeps so many generations; with a number it stops at that step.
    Keep(usize, Option<usize>),
    /// Keeps so many generations while another backup has written this number of steps.
    KeepBeside(usize, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let step = || proptest::option::weighted(0.4, 0..40_usize);
    let act = prop_oneof![
        2 => Just(Act::Fill),
        4 => step().prop_map(Act::BackUp),
        3 => (1..4_usize, step()).prop_map(|(keep, step)| Act::Keep(keep, step)),
        2 => (1..4_usize, 0..40_usize).prop_map(|(keep, step)| Act::KeepBeside(keep, step)),
    ];
    proptest::collection::vec(act, 4..14)
}

fn until(step: Option<usize>) -> impl FnMut(u64, u64) -> ControlFlow<()> {
    let mut count = 0;
    move |_, _| {
        count += 1;
        if step.is_some_and(|step| count > step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn generations(backup: &Path) -> BTreeSet<u64> {
    let files = fs::read_dir(backup.join("generations")).into_iter().flatten();
    files.filter_map(|file| file.unwrap().path().file_stem()?.to_str()?.parse().ok()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_generation_that_is_there_is_whole(acts in acts()) {
        let backed = Backed::new();
        let mut shards = backed.shards();
        fill(&mut shards, 0);
        let mut round = 1;
        let data = &backed.ledger.data;
        for act in acts {
            let before = generations(&backed.backup);
            let open = |id: &ShardId| shards.iter().find(|shard| shard.id() == id).map(Shard::reader);
            let keep_newest = |keep: usize| before.iter().rev().take(keep).copied().collect::<BTreeSet<_>>();
            match act {
                Act::Fill => {
                    fill(&mut shards, round);
                    round += 1;
                }
                Act::BackUp(step) => {
                    let made = back_up(data, &open, &backed.backup, hour(0), &mut until(step));
                    prop_assert_eq!(generations(&backed.backup).len(), before.len() + usize::from(made.is_ok()));
                }
                _ if before.is_empty() => continue,
                Act::Keep(keep, step) => {
                    let done = prune(&backed.backup, NonZeroUsize::new(keep).unwrap(), &mut until(step));
                    prop_assert!(generations(&backed.backup).is_superset(&keep_newest(keep)));
                    if done.is_ok() {
                        prop_assert_eq!(generations(&backed.backup), keep_newest(keep));
                        prop_assert_eq!(blobs(&backed.backup).len(), needed(&backed.backup).len());
                    }
                }
                Act::KeepBeside(keep, step) => {
                    let mut count = 0;
                    let mut beside = |_, _| {
                        count += 1;
                        if count == step + 1 {
                            let report =
                                prune(&backed.backup, NonZeroUsize::new(keep).unwrap(), &mut unheard()).unwrap();
                            assert!(report.is_beside_writer && report.blobs == 0);
                        }
                        ControlFlow::Continue(())
                    };
                    let made = back_up(data, &open, &backed.backup, hour(0), &mut beside).unwrap();
                    prop_assert!(generations(&backed.backup).contains(&made.generation.number));
                }
            }
            if !generations(&backed.backup).is_empty() {
                prop_assert!(backed.damage().is_empty(), "{:?}", backed.damage());
            }
        }
        for number in generations(&backed.backup) {
            let (to, _) = backed.restored(&format!("restored-{number}"), Some(number)).unwrap();
            assert_true(&opened(&to).read_shard(&shard_id(0)).unwrap());
        }
    }
}

/// The blobs that the generations name.
fn needed(backup: &Path) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for number in generations(backup) {
        let text = fs::read_to_string(backup.join(format!("generations/{number}.json"))).unwrap();
        let generation: serde_json::Value = serde_json::from_str(&text).unwrap();
        let files = generation["shards"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|shard| shard["files"].as_array().unwrap());
        let files = files.chain([&generation["ledger"]]);
        needed.extend(files.map(|file| file["sha256"].as_str().unwrap().to_owned()));
    }
    needed
}

#[test]
fn nothing_is_removed_where_a_kept_generation_does_not_read() {
    let backed = Backed::new();
    fill(&mut backed.shards(), 0);
    for _ in 0..3 {
        backed.at_rest().unwrap();
    }
    let there = (generations(&backed.backup), blobs(&backed.backup));
    fs::write(backed.backup.join("generations/3.json"), "{").unwrap();
    let report = prune(&backed.backup, NonZeroUsize::MIN, &mut unheard()).unwrap();
    assert_eq!((report.unread, report.removed), (vec![3], Vec::new()));
    assert_eq!((generations(&backed.backup), blobs(&backed.backup)), there);
}

#[test]
fn files_of_a_backup_are_for_their_owner_alone() {
    let backed = Backed::new();
    fill(&mut backed.shards(), 0);
    backed.at_rest().unwrap();
    let mut left = vec![backed.backup.clone()];
    let mut seen = 0;
    while let Some(path) = left.pop() {
        let file = fs::metadata(&path).unwrap();
        assert_eq!(file.permissions().mode() & 0o077, 0, "{}", path.display());
        if file.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen += 1;
    }
    assert!(seen > 6, "{seen}");
}
