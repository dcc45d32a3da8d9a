//! What decoding costs per event, by encoding: native JSON is the hot path of ingestion.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger_ingest::decode::{Header, Message, decode};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

const INSTALLED: &str = r#"{"id":"01JDK2Z6W3R7Q8","type":"installed","time":"2026-03-01T10:00:00.000Z","clientKey":"acme.atlassian.net","appKey":"com.example.app","endpointRealm":"EU","productRealm":"EU","installationId":"ari:cloud:ecosystem::installation/6f1b2c3d","siteUrl":"https://acme.atlassian.net"}"#;
const UNINSTALLED: &str = r#"{"id":"01JDK2Z6W3R7Q9","type":"uninstalled","time":"2026-04-01T00:00:00.000Z","clientKey":"acme.atlassian.net","appKey":"com.example.app","endpointRealm":"EU"}"#;
const DESCRIPTOR: &str = r#"{"id":"d-1","type":"descriptor-published","time":"2026-01-01T00:00:00Z","appKey":"com.example.app","descriptor":{"version":"1.2","baseUrl":"https://app.example.com","regionBaseUrls":{"US":"https://us.app.example.com","EU":"https://eu.app.example.com","AU":"https://au.app.example.com"},"dataResidency":{"realmPersistence":true,"realmPersistenceDays":14}}}"#;
const ENVELOPE: &str = r#"{"specversion":"1.0","source":"/hooks","id":"01JDK2Z6W3R7Q8","type":"realmledger.uninstalled","time":"2026-04-01T00:00:00.000Z","subject":"acme.atlassian.net","appkey":"com.example.app","data":{"endpointRealm":"EU"}}"#;

fn header<'a>(name: &'a str, value: &'a str) -> Header<'a> {
    (name, value.as_bytes())
}

fn native(json: &str) -> Message<'_> {
    Message { value: Some(json.as_bytes()), ..Message::default() }
}

fn protobuf(json: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let files = protox::compile([root.join("realmledger/v1/event.proto")], [root])?;
    let pool = DescriptorPool::from_file_descriptor_set(files)?;
    let descriptor = pool.get_message_by_name("realmledger.v1.LifecycleEvent").ok_or("no such message")?;
    let json: serde_json::Value = serde_json::from_str(json)?;
    Ok(DynamicMessage::deserialize(descriptor, json)?.encode_to_vec())
}

fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, json) in [
        ("native installed", INSTALLED),
        ("native uninstalled", UNINSTALLED),
        ("native descriptor", DESCRIPTOR),
    ] {
        let message = native(json);
        group.bench_function(name, |bencher| bencher.iter(|| decode(black_box(&message)).is_ok()));
    }

    let Ok(protobuf) = protobuf(INSTALLED) else { return };
    let headers = [header("content-type", "application/x-protobuf")];
    let message = Message { value: Some(&protobuf), headers: &headers, ..Message::default() };
    group.bench_function("protobuf installed", |bencher| {
        bencher.iter(|| decode(black_box(&message)).is_ok());
    });

    let headers = [header("content-type", "application/cloudevents+json")];
    let message = Message { value: Some(ENVELOPE.as_bytes()), headers: &headers, ..Message::default() };
    group.bench_function("structured uninstalled", |bencher| {
        bencher.iter(|| decode(black_box(&message)).is_ok());
    });

    let headers = [
        header("ce_specversion", "1.0"),
        header("ce_id", "01JDK2Z6W3R7Q8"),
        header("ce_type", "realmledger.uninstalled"),
        header("ce_time", "2026-04-01T00:00:00.000Z"),
        header("ce_subject", "acme.atlassian.net"),
        header("ce_appkey", "com.example.app"),
    ];
    let message =
        Message { value: Some(br#"{"endpointRealm":"EU"}"#), headers: &headers, ..Message::default() };
    group.bench_function("binary uninstalled", |bencher| {
        bencher.iter(|| decode(black_box(&message)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
