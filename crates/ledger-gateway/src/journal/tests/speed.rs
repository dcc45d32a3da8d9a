//! How long an append takes, and how few fsyncs many of them share. Figures are printed; what is asserted holds on any disk.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::*;

static SYNCS: AtomicU64 = AtomicU64::new(0);

fn counted(file: &File) -> io::Result<()> {
    SYNCS.fetch_add(1, Ordering::AcqRel);
    file.sync_data()
}

fn slow(file: &File) -> io::Result<()> {
    thread::sleep(Duration::from_millis(20));
    counted(file)
}

/// At this rate for so long. Answers the times that appends took, sorted, and the fsyncs.
fn append_at(per_second: u32, seconds: u32, sync: SyncFile) -> (Vec<Duration>, u64) {
    let dir = TempDir::new().unwrap();
    let journal = Journal::open_with(dir.path(), &JournalOptions::default(), sync).unwrap();
    let before = SYNCS.load(Ordering::Acquire);
    let mut took = runtime().block_on(async {
        let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut running = Vec::new();
        for number in 0..per_second * seconds {
            due.tick().await;
            let journal = journal.clone();
            running.push(tokio::spawn(async move {
                let began = Instant::now();
                journal.append(&event(&number.to_string())).await.unwrap();
                began.elapsed()
            }));
        }
        let mut took = Vec::new();
        for append in running {
            took.push(append.await.unwrap());
        }
        took
    });
    took.sort_unstable();
    (took, SYNCS.load(Ordering::Acquire) - before)
}

#[test]
fn appends_share_fsyncs_where_the_disk_is_slow() {
    for (name, sync, is_slow) in
        [("this disk", counted as SyncFile, false), ("an fsync of 20 ms", slow as SyncFile, true)]
    {
        let seconds = 5;
        let (took, syncs) = append_at(200, seconds, sync);
        let [p50, p99] = [50, 99].map(|percent| took[(took.len() - 1) * percent / 100]);
        println!("{name}: 200 appends/s, {} fsyncs/s, p50 {p50:?}, p99 {p99:?}", syncs / u64::from(seconds));
        assert!(syncs <= took.len() as u64);
        if is_slow {
            assert!(syncs < 50 * u64::from(seconds) + 10, "each fsync takes all that waits: {syncs}");
        }
    }
    let began = Instant::now();
    let dir = TempDir::new().unwrap();
    let journal = Journal::open_with(dir.path(), &JournalOptions::default(), counted).unwrap();
    let count = 50_000_u32;
    let before = SYNCS.load(Ordering::Acquire);
    runtime().block_on(async {
        let mut pending = Vec::new();
        for number in 0..count {
            let native = to_native_json(&event(&number.to_string()));
            pending.push(journal.enqueue(&native, now()).await.unwrap());
        }
        for append in pending {
            append.wait().await.unwrap();
        }
    });
    let syncs = SYNCS.load(Ordering::Acquire) - before;
    println!(
        "as many as it takes: {:.0} appends/s, {syncs} fsyncs",
        f64::from(count) / began.elapsed().as_secs_f64()
    );
    assert!(syncs < u64::from(count) / 10);
}
