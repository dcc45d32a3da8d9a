//! What it costs to write and to read a record and a tenant, and how many bytes they take.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger_core::event::{Body, Event, InstallationFact, Installed};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::json;
use ledger_record::record::{Content, Coordinates, RULES, Record, Stream};
use ledger_record::rows::{FirstIds, TenantRow};

fn realm(key: &str) -> Realm {
    Realm::parse(key).unwrap_or(Realm::GLOBAL)
}

/// The `installed` event of the documentation, taken in by an empty tenant.
fn installed() -> (Record, TenantRow) {
    let (Ok(client), Ok(app), Ok(id)) = (
        ClientKey::new("acme.atlassian.net"),
        AppKey::new("com.example.app"),
        EventId::new("01JD3M6Z7N8Q4R5S6T7V8W9X0Y"),
    ) else {
        unreachable!("these are keys")
    };
    let installed = Installed {
        endpoint_realm: Some(realm("EU")),
        product_realm: Some(realm("EU")),
        ..Installed::default()
    };
    let event = Event {
        id,
        time: Timestamp::from_millis(1_772_359_200_000),
        actor: None,
        reason: None,
        body: Body::Installation {
            client: client.clone(),
            app,
            fact: InstallationFact::Installed(Box::new(installed)),
        },
    };
    let mut tenant = Tenant::default();
    let outcome = tenant.append(Entry { seq: 1, event: &event }, &AppTimelines::default());
    assert_eq!(
        outcome.changes.first().and_then(|change| change.decision).map(|it| it.rule),
        Some(Rule::Fresh)
    );
    let mut first_ids = FirstIds::default();
    first_ids.push(1, &event);
    let record = Record {
        position: 884_000,
        stream: Stream::Tenant(client),
        seq: 1,
        source: Coordinates { source: "realm.lifecycle".into(), partition: 7, offset: 884_213 },
        recorded: Timestamp::from_millis(1_772_359_200_456),
        rules: RULES,
        content: Content::Event { event, time_defaulted: false, outcome },
    };
    (record, TenantRow { seq: 1, position: 884_000, first_ids, tenant })
}

#[expect(clippy::print_stdout, reason = "the sizes belong to what a benchmark reports")]
fn codec(criterion: &mut Criterion) {
    let (record, row) = installed();
    let (bytes, row_bytes) = (record.encode(), row.encode());
    if let Content::Event { event, .. } = &record.content {
        let native = json::to_vec(event).unwrap_or_default();
        println!(
            "record {} bytes, tenant {} bytes, native JSON {} bytes",
            bytes.len(),
            row_bytes.len(),
            native.len()
        );
    }
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    let mut out = Vec::new();
    group.bench_function("encode_into", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&record).encode_into(&mut out);
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| Record::decode(record.stream.clone(), record.seq, black_box(&bytes)));
    });
    group.bench_function("decode_event", |bencher| {
        bencher.iter(|| Record::decode_event(&record.stream, black_box(&bytes)));
    });
    group.finish();
    let mut group = criterion.benchmark_group("tenant");
    group.throughput(Throughput::Bytes(row_bytes.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| black_box(&row).encode()));
    group.bench_function("decode", |bencher| bencher.iter(|| TenantRow::decode(black_box(&row_bytes))));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
