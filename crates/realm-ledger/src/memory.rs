//! The metrics of memory: declared and described once, and read when the metrics are asked for.

use ledger_store::DataDir;
use metrics::{Unit, describe_gauge, gauge};

const BYTES: &str = "realm_ledger_memory_bytes";
const SET_BYTES: &str = "realm_ledger_memory_set_bytes";

pub(crate) fn describe() {
    describe_gauge!(
        BYTES,
        Unit::Bytes,
        "Resident memory of the process by part: blocks, write-buffers, tenants, batches, evidence, recent \
         (records for the publisher), and others (Kafka's queues, answers, threads, code, what the allocators keep)."
    );
    describe_gauge!(SET_BYTES, Unit::Bytes, "The setting memory, or what auto is on this machine.");
}

/// Reports what is in use of each part; `others` is what the system counts beside them.
pub(crate) fn report(data: &DataDir) {
    let parts = data.memory_used();
    let counted: usize = parts.iter().map(|(_, bytes)| bytes).sum();
    for (part, bytes) in parts {
        gauge!(BYTES, "part" => part.as_str()).set(as_f64(bytes));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let others = resident_bytes(&status).map(|resident| as_f64(resident.saturating_sub(counted)));
    gauge!(BYTES, "part" => "others").set(others.unwrap_or(f64::NAN));
    gauge!(SET_BYTES).set(as_f64(data.memory().bytes()));
}

/// `VmRSS` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<usize> {
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 bytes need not be exact")]
fn as_f64(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::StoreOptions;

    use super::*;

    #[test]
    fn parts_and_others_are_what_is_resident() {
        let scratch = tempfile::tempdir().unwrap();
        let options = StoreOptions { memory_bytes: Some(64 << 20), ..StoreOptions::default() };
        let data = DataDir::open(scratch.path(), options, LedgerSecret::from_bytes([7; 32])).unwrap();
        let metrics = crate::telemetry::start_metrics().unwrap();
        report(&data);
        let shown = metrics.render();
        for part in ["blocks", "write-buffers", "tenants", "batches", "evidence", "others"] {
            assert!(shown.contains(&format!("{BYTES}{{part=\"{part}\"}} ")), "{shown}");
        }
        assert!(shown.contains(&format!("{SET_BYTES} 67108864")), "{shown}");
        assert_eq!(resident_bytes("VmSize:\t 9 kB\nVmRSS:\t    1024 kB\n"), Some(1 << 20));
    }
}
