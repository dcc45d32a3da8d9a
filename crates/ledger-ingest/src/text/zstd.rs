//! zstd as a stream, on the library that is linked already.

use std::io::{self, BufRead, Read};

use zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

/// Decodes frames that follow each other. A frame that needs a window beyond 128 MiB (`zstd --long=28` and more) is
/// refused by the library.
pub(super) struct ZstdDecoder<R> {
    input: R,
    context: DCtx<'static>,
    in_frame: bool,
}

impl<R> ZstdDecoder<R> {
    pub(super) fn new(input: R) -> Self {
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
