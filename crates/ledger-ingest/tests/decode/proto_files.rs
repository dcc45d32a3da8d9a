//! The proto files have every query and field of the interface description.

use prost_reflect::DescriptorPool;

use super::encodings::proto_root;
use super::samples::full_events;

fn pool() -> DescriptorPool {
    let root = proto_root();
    let files = ["event", "ledger"].map(|name| root.join(format!("realmledger/v1/{name}.proto")));
    DescriptorPool::from_file_descriptor_set(protox::compile(files, [root]).unwrap()).unwrap()
}

#[test]
fn service_has_every_query() {
    let pool = pool();
    let service = pool.get_service_by_name("realmledger.v1.LedgerService").unwrap();
    let methods: Vec<_> = service.methods().map(|method| method.name().to_owned()).collect();
    assert_eq!(
        methods,
        [
            "ListInstallations",
            "ListMigrations",
            "ListLineage",
            "Search",
            "GetInstallation",
            "GetTenant",
            "ReadLog",
            "ListCorrections",
            "Explain",
            "Preview",
            "SubscribeDecisions",
            "WhatIf",
            "ScanWhatIf",
            "Replay",
            "ListCheckpoints",
            "GetProof",
            "ListQuarantine",
            "GetQuarantineItem",
            "RetryQuarantineItem",
            "Submit",
            "GetCommand"
        ]
    );
}

#[test]
fn event_message_has_every_native_field() {
    let event = pool().get_message_by_name("realmledger.v1.LifecycleEvent").unwrap();
    for sample in full_events() {
        for name in sample.as_object().unwrap().keys() {
            assert!(event.get_field_by_json_name(name).is_some(), "{name}");
        }
    }
}
