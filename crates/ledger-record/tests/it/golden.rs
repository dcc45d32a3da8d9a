//! The bytes of the format: every kind of value and every variant keeps its first encoding and decodes from it.
//!
//! `golden/v2.txt` has a name and the bytes of each value, in hexadecimal. A changed line is a changed format and
//! needs a new number in the data directory; `BLESS=1` then writes the file again.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

use ledger_core::tenant::Tenant;
use ledger_record::codec::DecodeError;
use ledger_record::record::Record;
use ledger_record::rows::{
    AppRow, FirstIds, Generation, PublisherRow, ShardHead, ShardIdentity, SourcePosition, TenantRow,
    decode_changes, encode_changes,
};

use crate::samples::{self, at};

const FROZEN: &str = include_str!("../golden/v2.txt");

struct Golden {
    frozen: BTreeMap<&'static str, Vec<u8>>,
    written: String,
    differing: Vec<String>,
}

impl Golden {
    fn new() -> Self {
        let lines = FROZEN.lines().map(|line| line.split_once(' ').unwrap());
        let frozen = lines.map(|(name, bytes)| (name, hex::decode(bytes).unwrap())).collect();
        Self { frozen, written: String::new(), differing: Vec::new() }
    }

    fn check<T: Debug + PartialEq>(
        &mut self,
        name: &str,
        value: &T,
        encoded: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) {
        let line = format!("{name} {}", hex::encode(encoded));
        let _ = writeln!(self.written, "{line}");
        match self.frozen.remove(name) {
            Some(frozen) if frozen == encoded => match decode(&frozen) {
                Ok(decoded) => assert_eq!(&decoded, value, "{name}"),
                Err(error) => panic!("{name}: {error}"),
            },
            Some(_) | None => self.differing.push(line),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the file is made by the test that checks it")]
    fn finish(self) {
        if std::env::var_os("BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2.txt");
            std::fs::write(path, &self.written).unwrap();
            return;
        }
        assert!(
            self.differing.is_empty(),
            "not written as it was written first, or not frozen yet:\n{}",
            self.differing.join("\n")
        );
        assert!(self.frozen.is_empty(), "frozen, but no longer written: {:?}", self.frozen.keys());
    }
}

macro_rules! check_rows {
    ($golden:ident, $($row:ident: $($name:literal => $value:expr,)+)+) => {
        $($({
            let row = $value;
            $golden.check($name, &row, &row.encode(), $row::decode);
        })+)+
    };
}

#[test]
fn golden_bytes_are_written_and_read_unchanged() {
    let mut golden = Golden::new();
    let seal = ("record-seal".to_owned(), samples::seal());
    let succession = ("record-succession".to_owned(), samples::succession());
    for (name, record) in samples::records().into_iter().chain([seal, succession]) {
        let (stream, seq) = (record.stream.clone(), record.seq);
        golden.check(&name, &record, &record.encode(), |bytes| Record::decode(stream.clone(), seq, bytes));
    }
    let changes = samples::changes();
    golden.check("changes", &changes, &encode_changes(&changes), decode_changes);
    check_rows! { golden,
        TenantRow:
            "tenant-row" => TenantRow { seq: 7, position: 9, first_ids: samples::first_ids(), tenant: samples::tenant() },
            "tenant-row-bare" => TenantRow { seq: 1, position: 2, first_ids: FirstIds::default(), tenant: Tenant::default() },
        AppRow:
            "app-row" => AppRow { seq: 1, installations: 2, latest: Some(at(3)) },
            "app-row-bare" => AppRow::default(),
        ShardIdentity:
            "shard-identity" => ShardIdentity {
                cluster_id: Some("c".to_owned()),
                topic: "realm.lifecycle".to_owned(),
                topic_id: Some("t".to_owned()),
                partition: 7,
            },
        ShardHead:
            "shard-head" => ShardHead {
                next_position: 1,
                recorded: Some(at(2)),
                refused: 3,
                duplicates: 4,
                ahead_ms: 5,
            },
        SourcePosition:
            "source-kafka" => SourcePosition::Kafka { next_offset: 5, leader_epoch: Some(-1) },
            "source-import" => SourcePosition::Import { lines: 6, sha256: [7; 32] },
            "source-carried" => SourcePosition::Carried { first: 1, end: 9, recorded: Some(at(3)) },
        PublisherRow:
            "publisher-cursor" => PublisherRow { next_position: 8 },
        Generation:
            "generation" => Generation { live: 9 },
    }
    golden.finish();
}
