//! Segments that roll: while lines are appended and read, and the process starts again in between.

use super::*;

/// About six lines each.
const SEGMENT: u64 = 1_000;

fn small() -> JournalOptions {
    JournalOptions { segment_bytes: SEGMENT, keep: Duration::from_hours(1), ..JournalOptions::default() }
}

fn open_small(dir: &Path) -> Journal {
    Journal::open(dir, &small()).unwrap()
}

fn segments(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| name.ends_with(".ndjson")).collect()
}

fn in_order(ids: &[String], expected: std::ops::Range<u32>) {
    assert_eq!(ids, expected.map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn segments_roll_and_nothing_is_lost_or_twice_over_restarts_wherever_they_come() {
    let dir = TempDir::new().unwrap();
    let (mut wrote, mut taken) = (0, Vec::new());
    // From one line to more than two segments between two starts; what is read and not noted is read again.
    for lines in 1..=20 {
        let journal = open_small(dir.path());
        assert_eq!(journal.status().lines, u64::from(wrote));
        append_all(&journal, wrote..wrote + lines);
        wrote += lines;
        let mut reader = journal.read_on();
        let waiting = ids(&mut reader);
        in_order(&waiting, u32::try_from(taken.len()).unwrap()..wrote);
        if lines % 3 != 0 {
            taken.extend(waiting);
            reader.mark_published().unwrap();
        }
        assert_eq!(journal.status().waiting_events, u64::from(wrote) - taken.len() as u64);
    }
    in_order(&taken, 0..wrote);
    let rolled = segments(dir.path());
    assert!(rolled.len() > 20, "{rolled:?}");
    for name in &rolled {
        // A segment ends with the commit that fills it, here of one line.
        let bytes = fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(bytes < SEGMENT + 300, "{name} has {bytes}");
    }
    in_order(&ids(&mut open_small(dir.path()).read_from_start().unwrap()), 0..wrote);
}

#[test]
fn kept_segments_go_when_their_time_is_over_and_the_rest_goes_on() {
    let dir = TempDir::new().unwrap();
    let journal = open_small(dir.path());
    append_all(&journal, 0..60);
    let mut reader = journal.read_on();
    (0..30).for_each(|_| drop(reader.step().unwrap().unwrap()));
    reader.mark_published().unwrap();
    let (all, later) = (segments(dir.path()).len(), SystemTime::now() + Duration::from_hours(2));
    assert_eq!(journal.remove_old(SystemTime::now()).unwrap(), 0);
    let removed = journal.remove_old(later).unwrap();
    assert!(removed >= 3 && removed < all, "{removed} of {all}");
    drop((reader, journal));
    // The second start finds a journal that begins in the middle.
    let journal = open_small(dir.path());
    append_all(&journal, 60..70);
    let mut reader = journal.read_on();
    in_order(&ids(&mut reader), 30..70);
    reader.mark_published().unwrap();
    journal.remove_old(later).unwrap();
    assert_eq!(segments(dir.path()).len(), 1, "the one that is written to stays");
    assert_eq!(journal.status().lines, 70);
}

#[test]
fn torn_segment_is_cut_off_only_where_it_is_the_last() {
    let dir = TempDir::new().unwrap();
    append_all(&open_small(dir.path()), 0..20);
    let all = segments(dir.path());
    let tear = |name: &str| {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        (path, whole)
    };
    let (path, whole) = tear(&all[1]);
    let error = Journal::open(dir.path(), &small()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    fs::write(path, whole).unwrap();
    tear(all.last().unwrap());
    in_order(&ids(&mut open_small(dir.path()).read_on()), 0..19);
    // A crash between the new segment and its first line.
    File::create_new(path_of(dir.path(), 20)).unwrap();
    append_all(&open_small(dir.path()), 19..21);
    in_order(&ids(&mut open_small(dir.path()).read_on()), 0..21);
}

#[test]
fn what_is_cut_off_is_kept_and_more_than_a_write_can_tear_is_damage() {
    let dir = TempDir::new().unwrap();
    append_all(&open(dir.path()), 0..3);
    let path = path_of(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let last = begin_of_last_line(&whole);
    // An editor that changed the end of the last line.
    fs::write(&path, [&whole[..whole.len() - 1], b"\r\n"].concat()).unwrap();
    assert_eq!(ids(&mut open(dir.path()).read_on()), ["0", "1"]);
    let kept = path.with_extension(format!("torn-{last}"));
    assert_eq!(fs::read(kept).unwrap(), [&whole[last..whole.len() - 1], b"\r\n"].concat());
    fs::write(&path, [&whole[..last], &vec![0; 20 << 20]].concat()).unwrap();
    let error = Journal::open(dir.path(), &JournalOptions::default()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { line: 3, .. }), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), last as u64 + (20 << 20), "nothing is touched");
}

#[test]
fn room_that_is_reserved_is_kept_and_a_refusal_shows_until_something_goes_on() {
    let dir = TempDir::new().unwrap();
    let native = to_native_json(&event("0"));
    let bytes = line::write(&native, now()).len() as u64;
    let options = JournalOptions { max_bytes: 3 * bytes, ..JournalOptions::default() };
    let journal = Journal::open(dir.path(), &options).unwrap();
    let room = journal.reserve(native.len()).unwrap();
    append_all(&journal, 0..2);
    assert!(!journal.status().is_full(), "nothing was refused yet");
    assert!(runtime().block_on(journal.append(&event("2"))).is_err(), "the rest is promised");
    assert!(journal.status().is_full() && journal.reserve(1).is_err());
    runtime().block_on(async {
        let queued = journal.enqueue_reserved(&native, now(), &room).await;
        queued.unwrap().wait().await.unwrap();
    });
    drop(room);
    assert_eq!(journal.status().waiting_bytes, 3 * bytes);
    let mut reader = journal.read_on();
    reader.step().unwrap();
    reader.mark_published().unwrap();
    assert!(!journal.status().is_full());
    append_all(&journal, [3]);
}
