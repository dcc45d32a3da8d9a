//! gzip and zstd, known by their magic numbers, whatever the file is called.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use crate::text::read_until;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) fn from_magic(head: &[u8]) -> Option<Self> {
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
    let packing = Packing::from_magic(&head);
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

/// A decoder whose errors name what is wrong with the file.
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

/// Decodes zstd frames that follow each other, with the library that is linked already. A frame that needs a window beyond 128 MiB (`zstd --long=28` and more) is
/// refused by the library.
struct ZstdDecoder<R> {
    input: R,
    context: DCtx<'static>,
    in_frame: bool,
}

impl<R> ZstdDecoder<R> {
    fn new(input: R) -> Self {
        Self { input, context: DCtx::create(), in_frame: false }
    }
}

impl<R: BufRead> Read for ZstdDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let packed = self.input.fill_buf()?;
            let is_end = packed.is_empty();
            if is_end && !self.in_frame {
                return Ok(0);
            }
            let (mut from, mut to) = (InBuffer::around(packed), OutBuffer::around(&mut *buffer));
            // Without input too: the library may hold output that had no room before.
            let missing = self.context.decompress_stream(&mut to, &mut from).map_err(damaged)?;
            let (read, written) = (from.pos, to.pos());
            self.input.consume(read);
            self.in_frame = missing > 0;
            if written > 0 {
                return Ok(written);
            }
            if is_end && self.in_frame {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn damaged(code: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, get_error_name(code))
}
