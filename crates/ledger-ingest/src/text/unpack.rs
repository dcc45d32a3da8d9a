//! gzip and zstd, known by their magic numbers, whatever the file is called.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::text::read_until;
use crate::text::zstd::ZstdDecoder;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// By the magic number.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // The second begins a frame to be skipped, with which some tools begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The content, whether it is compressed or not. Members and frames that follow each other are one content.
pub(super) fn unpack<'a>(mut raw: impl BufRead + 'a) -> io::Result<(Option<Packing>, Box<dyn BufRead + 'a>)> {
    let mut head = Vec::new();
    read_until(&mut raw, &mut head, |head| head.len() >= 4)?;
    let packing = Packing::of(&head);
    let raw = Cursor::new(head).chain(raw);
    let unpacked = |packing, inner: Box<dyn Read + 'a>| Unpacked { packing, inner };
    let input: Box<dyn BufRead + 'a> = match packing {
        None => Box::new(raw),
        Some(packing @ Packing::Gzip) => {
            Box::new(BufReader::new(unpacked(packing, Box::new(MultiGzDecoder::new(raw)))))
        }
        Some(packing @ Packing::Zstd) => {
            Box::new(BufReader::new(unpacked(packing, Box::new(ZstdDecoder::new(raw)))))
        }
    };
    Ok((packing, input))
}

/// A decoder whose errors say what is wrong with the file.
struct Unpacked<'a> {
    packing: Packing,
    inner: Box<dyn Read + 'a>,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let packing = self.packing;
        self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), format!("the {packing} data is cut off"))
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                io::Error::new(error.kind(), format!("the {packing} data is damaged: {error}"))
            }
            _ => error,
        })
    }
}
