//! Stored values round-trip; other bytes are refused without a panic or a large allocation.

use std::fmt::Debug;

use ledger_core::ids::ClientKey;
use ledger_record::codec::{DecodeError, FORMAT};
use ledger_record::key::{IndexEntry, LogKey, index_keys, listed};
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::{ShardHead, SourcePosition, TenantRow, decode_changes, encode_changes};
use proptest::prelude::*;

use crate::{samples, strategies};

/// Decodes a value as the type of its sample, and encodes it again.
type Again = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, DecodeError>>;

/// The bytes of every sample.
fn values() -> Vec<(String, Vec<u8>, Again)> {
    let mut values: Vec<(String, Vec<u8>, Again)> = Vec::new();
    for (name, record) in samples::records() {
        let (stream, seq) = (record.stream.clone(), record.seq);
        let again = move |bytes: &[u8]| Record::decode(stream.clone(), seq, bytes).map(|read| read.encode());
        values.push((name, record.encode(), Box::new(again)));
    }
    let changes = encode_changes(&samples::changes());
    values.push((
        "changes".to_owned(),
        changes,
        Box::new(|bytes| Ok(encode_changes(&decode_changes(bytes)?))),
    ));
    let row = TenantRow { seq: 1, position: 2, first_ids: samples::first_ids(), tenant: samples::tenant() };
    values.push(("row".to_owned(), row.encode(), Box::new(|bytes| Ok(TenantRow::decode(bytes)?.encode()))));
    let source = SourcePosition::Kafka { next_offset: 1, leader_epoch: Some(2) };
    let again = |bytes: &[u8]| Ok(SourcePosition::decode(bytes)?.encode());
    values.push(("source".to_owned(), source.encode(), Box::new(again)));
    values
}

fn refused<T: Debug>(result: Result<T, DecodeError>) -> DecodeError {
    result.unwrap_err()
}

#[test]
fn truncated_values_are_refused() {
    for (name, bytes, again) in values() {
        for length in 0..bytes.len() {
            let error = refused(again(&bytes[..length]));
            let expected = match length {
                0 => matches!(error, DecodeError::Unversioned),
                _ => matches!(error, DecodeError::Malformed(_)),
            };
            assert!(expected, "{name} cut at {length}: {error:?}");
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for (name, mut bytes, again) in values() {
        bytes.push(0);
        let error = refused(again(&bytes));
        assert!(matches!(error, DecodeError::Trailing { rest_bytes: 1 }), "{name}: {error:?}");
    }
}

#[test]
fn newer_format_is_not_reported_as_damage() {
    for (name, mut bytes, again) in values() {
        for version in FORMAT + 1..=u8::MAX {
            bytes[0] = version;
            let error = refused(again(&bytes));
            let newer =
                matches!(error, DecodeError::NewerFormat { found, newest: FORMAT } if found == version);
            assert!(newer, "{name} of format {version}: {error:?}");
        }
        bytes[0] = 0;
        assert!(matches!(refused(again(&bytes)), DecodeError::Unversioned), "{name}");
    }
}

#[test]
fn damaged_byte_is_refused_or_encodes_back_the_same() {
    for (name, bytes, again) in values() {
        for place in 1..bytes.len() {
            for damage in [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] = damage;
                if let Ok(read) = again(&damaged) {
                    assert_eq!(read, damaged, "{name} with {damage:#x} at {place}");
                }
            }
        }
    }
}

#[test]
fn damaged_length_is_refused_without_allocating() {
    // At the start of a list and of a text: a length of four billion, and one of 2^64 - 1.
    let huge = [&b"\xff\xff\xff\xff\x0f"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"];
    for bytes in huge.map(|length| [&[FORMAT][..], length].concat()) {
        let bytes = &bytes[..];
        assert!(matches!(refused(decode_changes(bytes)), DecodeError::Malformed(_)));
    }
    let mut row =
        TenantRow { seq: 1, position: 2, first_ids: samples::first_ids(), tenant: samples::tenant() }
            .encode();
    let app = row.windows(16).position(|part| part == b"\x0fcom.example.app").unwrap();
    row.splice(app..=app, *b"\xff\xff\xff\xff\x0f");
    assert!(matches!(refused(TenantRow::decode(&row)), DecodeError::Malformed(_)));
}

#[test]
fn overlong_integer_is_refused() {
    // Each value has one encoding: an empty list is one byte.
    assert_eq!(decode_changes(&[FORMAT, 0]).unwrap(), []);
    for long in [&[0x80, 0][..], &[0x80, 0x80, 0]] {
        let bytes = [&[FORMAT][..], long].concat();
        assert!(matches!(refused(decode_changes(&bytes)), DecodeError::Malformed(_)), "{long:?}");
    }
}

#[test]
fn map_entries_out_of_order_are_refused() {
    let mut row =
        TenantRow { seq: 1, position: 2, first_ids: samples::first_ids(), tenant: samples::tenant() }
            .encode();
    let regions = row.windows(3).position(|part| part == b"\x02EU").unwrap();
    assert!(TenantRow::decode(&row).is_ok());
    // The second region of the own descriptor becomes a duplicate of the first.
    let second = row.windows(11).rposition(|part| part == b"\x02US\x1ahttps:/").unwrap();
    assert!(second > regions);
    row[second + 1..second + 3].copy_from_slice(b"EU");
    assert!(matches!(refused(TenantRow::decode(&row)), DecodeError::Malformed(_)));
}

fn streams() -> [Stream; 5] {
    let [tenant, app] = [Stream::Tenant(samples::client()), Stream::App(samples::app())];
    [tenant, app, Stream::Rejected, Stream::Seals, Stream::Succession]
}

#[test]
fn record_of_another_stream_kind_is_refused() {
    let seal = ("seal".to_owned(), samples::seal());
    let succession = ("succession".to_owned(), samples::succession());
    for (name, record) in samples::records().into_iter().chain([seal, succession]) {
        let bytes = record.encode();
        for stream in streams() {
            let same = std::mem::discriminant(&stream) == std::mem::discriminant(&record.stream);
            assert_eq!(Record::decode(stream, record.seq, &bytes).is_ok(), same, "{name}");
        }
    }
    let (_, event) = samples::records().swap_remove(0);
    let error = refused(Record::decode_event(&Stream::Rejected, &event.encode()));
    assert!(matches!(error, DecodeError::OtherStream));
}

#[test]
#[should_panic(expected = "a record in the wrong stream")]
fn writing_a_record_under_another_tenant_panics() {
    let (_, record) = samples::records().swap_remove(0);
    let stream = Stream::Tenant(ClientKey::new("someone.else").unwrap());
    let _ = Record { stream, ..record }.encode();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn records_round_trip(record in strategies::record()) {
        let bytes = record.encode();
        let mut reused = vec![0xee; 3];
        record.encode_into(&mut reused);
        prop_assert_eq!(&reused[3..], &bytes[..]);
        if let Content::Event { event, time_defaulted, .. } = &record.content {
            let logged = Record::decode_event(&record.stream, &bytes).unwrap();
            prop_assert_eq!(&logged.event, event);
            prop_assert_eq!(logged.time_defaulted, *time_defaulted);
            prop_assert_eq!((logged.position, logged.recorded), (record.position, record.recorded));
        }
        let key = LogKey { stream: record.stream.clone(), seq: record.seq };
        let LogKey { stream, seq } = LogKey::decode(&key.encode()).unwrap();
        prop_assert_eq!(Record::decode(stream, seq, &bytes).unwrap(), record);
    }

    #[test]
    fn changes_round_trip(changes in strategies::changes()) {
        prop_assert_eq!(decode_changes(&encode_changes(&changes)).unwrap(), changes);
    }

    #[test]
    fn tenants_round_trip(seq: u64, position: u64, (client, tenant) in strategies::tenant()) {
        for key in index_keys(&client, &listed(&tenant)) {
            let entry = IndexEntry::decode(&key).unwrap();
            prop_assert_eq!(entry.encode(), key);
        }
        let row = TenantRow { seq, position, first_ids: samples::first_ids(), tenant };
        prop_assert_eq!(TenantRow::decode(&row.encode()).unwrap(), row);
    }

    #[test]
    fn random_bytes_are_refused_or_encode_back_the_same(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for forced in [false, true] {
            if let (true, Some(version)) = (forced, bytes.first_mut()) {
                *version = FORMAT;
            }
            for stream in streams() {
                let _ = Record::decode_event(&stream, &bytes);
                if let Ok(record) = Record::decode(stream, 1, &bytes) {
                    prop_assert_eq!(record.encode(), &bytes[..]);
                }
            }
            if let Ok(row) = TenantRow::decode(&bytes) {
                prop_assert_eq!(row.encode(), &bytes[..]);
            }
            if let Ok(head) = ShardHead::decode(&bytes) {
                prop_assert_eq!(head.encode(), &bytes[..]);
            }
            let _ = (LogKey::decode(&bytes), IndexEntry::decode(&bytes));
        }
    }

    #[test]
    fn decoded_keys_encode_back_the_same(bytes in proptest::collection::vec(0..7_u8, 0..14)) {
        use ledger_record::key::{CorrectionKey, DuplicateKey, GapKey, MetaKey};
        // Few distinct values, so that separators and kinds often fall where they must.
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| if byte > 4 { b'A' + byte } else { byte }).collect();
        let written = [
            LogKey::decode(&bytes).map(|key| key.encode()),
            IndexEntry::decode(&bytes).map(|key| key.encode()),
            MetaKey::decode(&bytes).map(|key| key.encode()),
            CorrectionKey::decode(&bytes).map(|key| key.encode()),
            DuplicateKey::decode(&bytes).map(|key| key.encode()),
            GapKey::decode(&bytes).map(|key| key.encode()),
        ];
        for key in written.into_iter().flatten() {
            prop_assert_eq!(&key, &bytes);
        }
    }
}
