//! What is refused before anything is written.

use super::*;
use crate::OpenError;

fn filled() -> Backed {
    let backed = Backed::new();
    fill(&mut backed.shards(), 0);
    backed
}

#[test]
fn restore_refuses_a_directory_with_anything_in_it() {
    let backed = filled();
    backed.at_rest().unwrap();
    let (to, _) = backed.restored("restored", None).unwrap();
    let refused = backed.restored("restored", None).unwrap_err();
    assert!(matches!(refused, BackupError::Open(OpenError::NotEmpty { .. })), "{refused}");
    assert_eq!(dumps(&opened(&to)), dumps(&backed.ledger.data));
    let other = backed.ledger.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes.txt"), "mine").unwrap();
    assert!(backed.restored("other", None).is_err());
    assert_eq!(fs::read_to_string(other.join("notes.txt")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}

#[test]
fn generation_that_is_not_there_is_refused_with_those_that_are() {
    let backed = filled();
    let none = backed.restored("restored", None).unwrap_err();
    assert!(matches!(none, BackupError::NoGeneration { .. }), "{none}");
    assert!(matches!(verify_backup(&backed.backup, &mut unheard()), Err(BackupError::NoGeneration { .. })));
    backed.at_rest().unwrap();
    backed.at_rest().unwrap();
    let missing = backed.restored("restored", Some(3)).unwrap_err().to_string();
    assert!(missing.contains("no generation 3; it has 1, 2"), "{missing}");
    assert!(!backed.ledger.dir.path().join("restored").exists());
}

#[test]
fn two_ledgers_do_not_share_a_directory() {
    let backed = filled();
    backed.at_rest().unwrap();
    let other = Ledger::new();
    let of_other = |secret: [u8; 32], partition: u32, name: &str| {
        let path = other.dir.path().join(name);
        let data = DataDir::open(&path, StoreOptions::default(), LedgerSecret::from_bytes(secret)).unwrap();
        data.bind(TOPIC, &partitions(4)).unwrap();
        drop(data.open_shard(&shard_id(partition)).unwrap());
        back_up(&data, &|_| None, &backed.backup, hour(0), &mut unheard()).unwrap_err()
    };
    let refused = of_other([8; 32], 0, "secret");
    assert!(matches!(refused, BackupError::OtherLedger { .. }), "{refused}");
    let refused = of_other([7; 32], 3, "shards");
    assert!(matches!(&refused, BackupError::LacksShard { shard, .. } if *shard == shard_id(0)), "{refused}");
    assert_eq!(crate::backup::last_generation(&backed.backup).unwrap().unwrap().number, 1);
}

#[test]
fn directory_inside_of_the_data_and_a_busy_one_are_refused() {
    let backed = filled();
    let inside = backed.ledger.data.path().join("backups");
    let refused = back_up(&backed.ledger.data, &|_| None, &inside, hour(0), &mut unheard()).unwrap_err();
    assert!(matches!(refused, BackupError::Inside { .. }), "{refused}");
    assert!(!inside.exists());
    backed.at_rest().unwrap();
    let held = fs::File::open(backed.backup.join("backup.lock")).unwrap();
    held.lock().unwrap();
    assert!(matches!(backed.at_rest(), Err(BackupError::Busy { .. })));
    drop(held);
    backed.at_rest().unwrap();
}

#[test]
fn shard_that_is_gone_or_does_not_open_is_in_no_backup() {
    let backed = filled();
    let shard = backed.ledger.data.path().join("shards").join(TOPIC).join("1");
    let aside = backed.ledger.dir.path().join("aside");
    fs::rename(&shard, &aside).unwrap();
    let refused = backed.at_rest().unwrap_err();
    assert!(matches!(refused, BackupError::Open(OpenError::Gone { .. })), "{refused}");
    fs::rename(&aside, &shard).unwrap();
    fs::write(shard.join("CURRENT"), "no such manifest\n").unwrap();
    let refused = backed.at_rest().unwrap_err();
    assert!(matches!(&refused, BackupError::Open(error) if error.is_damage()), "{refused}");
    assert!(crate::backup::last_generation(&backed.backup).unwrap().is_none());
    // Moved away by the operator, it is not missed.
    fs::rename(&shard, shard.with_extension("away")).unwrap();
    backed.at_rest().unwrap();
    let (to, _) = backed.restored("restored", None).unwrap();
    assert_eq!(opened(&to).shards().unwrap(), [shard_id(0)]);
}

#[test]
fn generation_of_a_newer_format_or_with_a_name_that_leads_elsewhere_is_refused() {
    let backed = filled();
    backed.at_rest().unwrap();
    let path = backed.backup.join("generations/1.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(r#""format":1"#, r#""format":3"#)).unwrap();
    assert!(matches!(backed.restored("newer", None), Err(BackupError::NewerFormat { found: 3, .. })));
    for name in ["../CURRENT", "/tmp/CURRENT", "CURRENT.json"] {
        fs::write(&path, text.replace(r#""name":"CURRENT""#, &format!(r#""name":"{name}""#))).unwrap();
        let refused = backed.restored("leads-elsewhere", None).unwrap_err();
        assert!(matches!(refused, BackupError::Damaged(BackupDamage::Names { .. })), "{refused}");
    }
    for topic in ["../elsewhere", "/tmp/elsewhere", "..", ""] {
        let topic = format!(r#""shards":[{{"topic":"{topic}""#);
        let led_away = text.replace(r#""shards":[{"topic":"realm.lifecycle""#, &topic);
        assert_ne!(led_away, text);
        fs::write(&path, led_away).unwrap();
        let refused = backed.restored("leads-elsewhere", None).unwrap_err();
        assert!(matches!(refused, BackupError::Damaged(BackupDamage::Names { .. })), "{topic}: {refused}");
        assert!(matches!(backed.damage()[..], [BackupDamage::Names { .. }, ..]), "{topic}");
    }
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(matches!(backed.damage()[..], [BackupDamage::Generation { .. }, ..]));
    // What the generation says of a shard is compared with the shard.
    let other = text.replacen(r#""nextPosition":"#, r#""nextPosition":1"#, 1);
    fs::write(&path, other).unwrap();
    let refused = backed.restored("differs", None).unwrap_err();
    assert!(matches!(refused, BackupError::Differs { what: "next position", .. }), "{refused}");
}
