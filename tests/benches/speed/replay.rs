//! The log of a shard into the fold, against the log read and decoded.

use std::path::Path;

use ledger_api::ledger::Ledger;
use ledger_api::query::{WhatIfQuery, no_lines};
use ledger_core::policy::Policy;
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::whatif::WhatIfScope;
use ledger_record::record::{Content, Record, Stream};
use ledger_store::{DataDir, Reader, ShardId, StoreOptions, rebuild};

use super::hashing::hash_what_is_verified;
use super::measure::{Took, Watch, report, tell_ratio};

/// Takes turns: decode only, decode and fold, what-if with one policy and with three, the whole of `rebuild`,
/// which writes and compares as well, and `verify` against reading and hashing all that is stored, and against the
/// hashing alone that it cannot do without.
pub(crate) fn run(dir: &Path, topic: &str, pairs: usize) {
    let id = ShardId { topic: topic.to_owned(), partition: 0 };
    let (mut decoded, mut folded, mut rebuilt) = (Vec::new(), Vec::new(), Vec::new());
    let (mut supposed, mut supposed_thrice) = (Vec::new(), Vec::new());
    let (mut hashed, mut hashed_needed, mut verified) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = 0;
    for _ in 0..pairs {
        let reader = reader(dir, &id);
        let (took, read) = decode(&reader);
        records = read;
        decoded.push(took);
        folded.push(fold(&reader, read));
        hashed.push(hash_all(&reader));
        hashed_needed.push(hash_what_is_verified(&reader, &ledger_tests::secret()));
        verified.push(verify(&reader));
        let ledger = Ledger::from_readers(vec![(id.clone(), reader)]);
        supposed.push(what_if(&ledger, &POLICIES[..1], read));
        supposed_thrice.push(what_if(&ledger, &POLICIES, read));
        drop(ledger);
        rebuilt.push(rebuild_all(dir, &id));
    }
    println!("\nreplay of {records} records");
    report("decode, tenant by tenant", records, &decoded);
    report("decode and fold", records, &folded);
    report("what-if, one policy", records, &supposed);
    report("what-if, three policies", records, &supposed_thrice);
    report("rebuild: fold, write, compare, switch", records, &rebuilt);
    report("all rows read and hashed", records, &hashed);
    report("SHA-256 of what verify hashes, one thread", records, &hashed_needed);
    report("verify", records, &verified);
    tell_ratio("decode and fold / decode", &folded, &decoded);
    tell_ratio("what-if, one policy / decode", &supposed, &decoded);
    tell_ratio("what-if, three policies / decode", &supposed_thrice, &decoded);
    tell_ratio("rebuild / decode", &rebuilt, &decoded);
    tell_ratio("verify / all rows read and hashed", &verified, &hashed);
    tell_ratio("verify / SHA-256 of what it hashes", &verified, &hashed_needed);
}

const POLICIES: [Policy; 3] = [Policy::Days { days: 30 }, Policy::Off, Policy::Indefinite];

/// As the command and the route run it; one shard is one thread.
fn what_if(ledger: &Ledger, policies: &[Policy], expected: usize) -> Took {
    let asked =
        WhatIfQuery { policies: policies.to_vec(), scope: WhatIfScope::default(), differences: false };
    let watch = Watch::start();
    let answer = ledger.ask(&asked, Timestamp::MAX, &no_lines);
    let answer = answer.expect("an answer");
    let took = watch.stop();
    assert_eq!(answer.records, expected as u64, "records of the same log");
    took
}

pub(crate) fn reader(dir: &Path, id: &ShardId) -> Reader {
    let data = DataDir::open_existing_read_only(dir, StoreOptions::default()).expect("a ledger");
    data.read_shard(id).expect("a shard")
}

fn decode(reader: &Reader) -> (Took, usize) {
    let snapshot = reader.snapshot();
    let watch = Watch::start();
    let records = snapshot.tenant_records().expect("the log");
    let mut read = 0;
    for record in records {
        std::hint::black_box(record.expect("a record"));
        read += 1;
    }
    (watch.stop(), read)
}

fn fold(reader: &Reader, expected: usize) -> Took {
    let snapshot = reader.snapshot();
    let watch = Watch::start();
    let apps = snapshot.app_timelines().expect("the timelines");
    let mut log: Vec<Record> = Vec::new();
    let mut read = 0;
    let fold_one = |log: &mut Vec<Record>| {
        let entries: Vec<Entry<'_>> = log.iter().filter_map(entry).collect();
        std::hint::black_box(Tenant::from_history(&entries, &apps));
        log.clear();
    };
    for record in snapshot.tenant_records().expect("the log") {
        let record = record.expect("a record");
        let of: Option<&Stream> = log.last().map(|last| &last.stream);
        if of.is_some_and(|stream| *stream != record.stream) {
            fold_one(&mut log);
        }
        log.push(record);
        read += 1;
    }
    fold_one(&mut log);
    assert_eq!(read, expected, "records of the same log");
    watch.stop()
}

fn entry(record: &Record) -> Option<Entry<'_>> {
    match &record.content {
        Content::Event { event, .. } => Some(Entry { seq: record.seq, event }),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => None,
    }
}

fn rebuild_all(dir: &Path, id: &ShardId) -> Took {
    let data = DataDir::open(dir, StoreOptions::default(), ledger_tests::secret()).expect("a ledger");
    let watch = Watch::start();
    let report = rebuild(&data, id, &mut |_, _| {}).expect("a rebuild");
    assert_eq!(report.differences, [], "the fold from zero is what was there");
    watch.stop()
}

/// Every row of every family, once, into SHA-256.
fn hash_all(reader: &Reader) -> Took {
    let snapshot = reader.snapshot();
    let watch = Watch::start();
    std::hint::black_box(snapshot.digests().expect("the rows"));
    watch.stop()
}

fn verify(reader: &Reader) -> Took {
    let snapshot = reader.snapshot();
    let watch = Watch::start();
    snapshot.verify(&ledger_tests::secret(), &[], &mut |_, _| {}).expect("a true ledger");
    watch.stop()
}
