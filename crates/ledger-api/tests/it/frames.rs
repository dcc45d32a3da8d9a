//! A client of HTTP/2 by hand: it sends and reads frames, and does what no library would.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::Server;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The setting for how much of a stream may be sent before it is read.
pub(crate) const INITIAL_WINDOW: u16 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of headers of a request, its names and values as they are.
pub(crate) fn head(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    for (name, value) in pseudo.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            // Seven bits of the length, the rest in sevens.
            match text.len() {
                short @ 0..127 => block.push(u8::try_from(short).unwrap()),
                long => {
                    block.push(127);
                    let mut rest = long - 127;
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128 + 128).unwrap());
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).unwrap());
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A connection that has sent the preface.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Whether pings are answered.
    pub(crate) answers_pings: bool,
}

impl Client {
    pub(crate) fn of(server: &Server) -> Self {
        Self::with_settings(server, &[])
    }

    pub(crate) fn with_settings(server: &Server, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self { stream, answers_pings: true };
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.send(PREFACE);
        client.send(&frame(SETTINGS, 0, 0, &settings));
        client
    }

    /// The server may be gone already.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn get(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, more)));
    }

    /// The next frame; none at the end. Settings and pings are answered.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let read = self.read()?;
            match (read.kind, read.flags & ACK) {
                (SETTINGS, 0) => self.send(&frame(SETTINGS, ACK, 0, &[])),
                (PING, 0) if self.answers_pings => self.send(&frame(PING, ACK, 0, &read.payload)),
                (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                _ => return Some(read),
            }
        }
    }

    fn read(&mut self) -> Option<Frame> {
        let mut begin = [0; 9];
        self.exactly(&mut begin)?;
        let [a, b, c, kind, flags, stream @ ..] = begin;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.exactly(&mut payload)?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// A connection that is closed while bytes are under way ends as reset.
    fn exactly(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the server goes on waiting"),
            Err(_) => None,
        }
    }

    /// The body of the answer on a stream, and how the stream ended: the last frame of it.
    pub(crate) fn answer(&mut self, stream: u32) -> (String, Frame) {
        let mut body = Vec::new();
        loop {
            let next = self.next().unwrap();
            if next.stream != stream {
                continue;
            }
            if next.kind == DATA {
                body.extend_from_slice(&next.payload);
                let length = u32::try_from(next.payload.len()).unwrap().to_be_bytes();
                if !next.payload.is_empty() {
                    self.send(&frame(WINDOW_UPDATE, 0, stream, &length));
                    self.send(&frame(WINDOW_UPDATE, 0, 0, &length));
                }
            }
            if next.kind == RST_STREAM || next.flags & END_STREAM != 0 {
                return (String::from_utf8(body).unwrap(), next);
            }
        }
    }

    /// What comes until the connection ends.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }
}
