//! What it costs to judge what was handed out: a bundle of 20 records, and the lines of a whole log.

use std::collections::BTreeMap;
use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger_record::proof::log::LogReader;
use ledger_record::proof::note::VerifierKey;
use ledger_record::proof::tiles;
use ledger_record::proof::verify::verify;
use serde::Deserialize;

const BUNDLES: &str = include_str!("../../../tests/fixtures/bundles/cases.ndjson");
const LOGS: &str = include_str!("../../../tests/fixtures/tlogs/cases.ndjson");

#[derive(Deserialize)]
struct Case {
    name: String,
    keys: Vec<String>,
    #[serde(default)]
    bundle: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

fn case(cases: &str, name: &str) -> Case {
    let cases = cases.lines().filter_map(|line| serde_json::from_str(line).ok());
    let Some(case) = cases.into_iter().find(|case: &Case| case.name == name) else {
        unreachable!("a frozen case")
    };
    case
}

fn bundle(criterion: &mut Criterion) {
    let case = case(BUNDLES, "twenty records");
    let keys: Vec<VerifierKey> = case.keys.iter().filter_map(|key| VerifierKey::parse(key).ok()).collect();
    assert!(verify(&case.bundle, &keys, None).is_ok_and(|verified| verified.records.len() == 20));
    criterion.bench_function("bundle of 20 records", |bencher| {
        bencher.iter(|| verify(black_box(&case.bundle), &keys, None));
    });
}

fn log(criterion: &mut Criterion) {
    let case = case(LOGS, "goes on from a pinned checkpoint");
    let entries = case.files.iter().filter(|(path, _)| path.starts_with("tile/entries/"));
    let tiles: Vec<Vec<u8>> = entries.filter_map(|(_, text)| STANDARD.decode(text).ok()).collect();
    let lines: Vec<&str> = tiles.iter().filter_map(|tile| tiles::lines(tile).ok()).flatten().collect();
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("lines", |bencher| {
        bencher.iter(|| {
            let mut reader = LogReader::default();
            for line in &lines {
                assert!(reader.append(black_box(line)).is_ok());
            }
            reader.tree().root()
        });
    });
    group.finish();
}

criterion_group!(benches, bundle, log);
criterion_main!(benches);
