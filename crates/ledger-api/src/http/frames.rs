//! What of HTTP/2 can be seen below it: whether a client that began a frame, or a block of headers, has sent all of it.
//!
//! The library has no deadline for either. A connection is watched by the nine bytes that every frame begins with:
//! length, type and flags.

use std::time::Instant;

/// How a client begins that speaks HTTP/2 without asking.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Where in its frames a client is.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that are there.
    begun: usize,
    /// Bytes of the payload that are to come.
    payload_left: usize,
    /// More of a block of headers is to come.
    is_in_block: bool,
    /// Since when something is incomplete.
    incomplete: Option<Instant>,
}

impl Frames {
    /// Behind the preface: the first frame, the settings, is waited for.
    pub(super) fn new(now: Instant) -> Self {
        let head = [0; HEAD_BYTES];
        Self { head, begun: 0, payload_left: 0, is_in_block: false, incomplete: Some(now) }
    }

    /// Since when the rest of something is waited for.
    pub(super) fn incomplete(&self) -> Option<Instant> {
        self.incomplete
    }

    /// Bytes came.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let taken = self.payload_left.min(bytes.len());
                self.payload_left -= taken;
                bytes = &bytes[taken..];
            } else {
                let taken = (HEAD_BYTES - self.begun).min(bytes.len());
                self.head[self.begun..][..taken].copy_from_slice(&bytes[..taken]);
                self.begun += taken;
                bytes = &bytes[taken..];
                if self.begun < HEAD_BYTES {
                    break;
                }
                self.begin_payload();
            }
            if self.payload_left == 0 && !self.is_in_block {
                self.incomplete = None;
            }
        }
        if self.begun > 0 || self.payload_left > 0 || self.is_in_block {
            self.incomplete.get_or_insert(now);
        }
    }

    fn begin_payload(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.begun = 0;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.is_in_block = flags & END_HEADERS == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], &vec![0; length.into()]].concat()
    }

    fn is_incomplete_after(pieces: &[&[u8]]) -> bool {
        let mut frames = Frames::new(Instant::now());
        for piece in pieces {
            frames.read(piece, Instant::now());
        }
        frames.incomplete().is_some()
    }

    #[test]
    fn whole_frames_leave_nothing_to_wait_for_however_they_are_cut() {
        let bytes =
            [frame(4, 0, 6), frame(HEADERS, 0, 3), frame(CONTINUATION, END_HEADERS, 2), frame(0, 1, 0)];
        let bytes = bytes.concat();
        for at in 0..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert!(!is_incomplete_after(&[one, other]), "cut at {at}");
        }
    }

    #[test]
    fn a_part_of_a_frame_or_of_a_block_of_headers_is_waited_for() {
        let settings = frame(4, 0, 6);
        assert!(is_incomplete_after(&[]), "the settings are to come");
        assert!(is_incomplete_after(&[&settings, &settings[..4]]), "half a head");
        assert!(is_incomplete_after(&[&settings, &settings[..12]]), "half a payload");
        assert!(is_incomplete_after(&[&settings, &frame(HEADERS, 0, 3)]), "the block goes on");
    }

    #[test]
    fn what_came_whole_in_between_does_not_prolong_the_wait() {
        let (begin, later) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(1));
        let mut frames = Frames::new(begin);
        frames.read(&frame(4, 0, 6), begin);
        frames.read(&frame(HEADERS, 0, 3), begin);
        frames.read(&frame(CONTINUATION, 0, 3), later);
        assert_eq!(frames.incomplete(), Some(begin), "it is one block");
    }
}
