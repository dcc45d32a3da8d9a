use std::io::{BufReader, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::text::*;

const EVENT: &str =
    r#"{"id":"1","type":"enabled","time":"2026-01-01T00:00:00Z","clientKey":"c","appKey":"a"}"#;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; text.len() + 1024];
    let size = zstd_safe::compress(packed.as_mut_slice(), text, 3).unwrap();
    packed.truncate(size);
    packed
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let lines = Text::open(bytes).unwrap().lines().unwrap();
    lines.map(|line| String::from_utf8(line.unwrap().text).unwrap()).collect()
}

/// A reader that returns one byte at a time, like a slow pipe.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

#[test]
fn every_packing_gives_the_same_lines() {
    let line = |number| format!("{{\"id\":\"{number}\"}}\n");
    let text: String = (0..5_000).map(line).collect();
    let (first, rest) = text.as_bytes().split_at(33_333);
    let plain: Vec<&str> = text.lines().collect();
    let marked = [BYTE_ORDER_MARK, text.as_bytes()].concat();
    for (wrapping, bytes) in [
        ("plain", text.as_bytes().to_vec()),
        ("mark", marked.clone()),
        ("gzip", gzip(text.as_bytes())),
        ("gzip of several members", [gzip(first), gzip(rest)].concat()),
        ("gzip with a mark", gzip(&marked)),
        ("zstd", zstd(text.as_bytes())),
        ("zstd of several frames", [zstd(first), zstd(b""), zstd(rest)].concat()),
        ("zstd behind a frame to skip", [b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec(), zstd(&marked)].concat()),
    ] {
        assert_eq!(lines_of(&bytes), plain, "{wrapping}");
        let slow = BufReader::with_capacity(1, Trickle(&bytes));
        assert_eq!(Text::open(slow).unwrap().lines().unwrap().count(), 5_000, "{wrapping}, slowly");
    }
    let two_files = [marked.as_slice(), marked.as_slice()].concat();
    assert_eq!(lines_of(&two_files), [plain.as_slice(), plain.as_slice()].concat());
}

#[test]
fn opening_reads_only_the_first_line() {
    struct Endless(Vec<u8>);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.0.is_empty(), "read behind the first line");
            let read = self.0.as_slice().read(buffer)?;
            self.0.drain(..read);
            Ok(read)
        }
    }
    let text =
        Text::open(BufReader::with_capacity(8, Endless(format!("\n {EVENT}\n").into_bytes()))).unwrap();
    assert_eq!(*text.looks(), Looks::Ndjson);
}

#[test]
fn truncated_or_damaged_packing_is_reported() {
    let line = |number| format!("{EVENT} {number}\n");
    let text: String = (0..20_000).map(line).collect();
    for (packing, packed) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
        let read = |bytes: &[u8]| {
            let mut text = Text::open(bytes)?;
            assert!(text.is_packed());
            io::copy(&mut text, &mut io::sink())
        };
        assert_eq!(read(&packed).unwrap(), text.len() as u64);
        for cut in [packed.len() - 1, packed.len() / 2, 11] {
            let error = read(&packed[..cut]).unwrap_err().to_string();
            assert_eq!(error, format!("the {packing} data is cut off"), "{cut}");
        }
        let error = read(&[packed.as_slice(), b"garbage and more of it"].concat()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the {packing} data is damaged: ")), "{error}");
    }
}

/// The detected format, and the remedy for the file `x`.
fn detected(bytes: &[u8]) -> (String, String) {
    let error = Text::open(bytes).unwrap().lines().unwrap_err();
    let text = error.to_string();
    let what = text.strip_prefix("this is no NDJSON, one JSON object a line: it looks like ").unwrap();
    (what.to_owned(), error.remedy("x"))
}

fn wide(text: &str, unit: impl Fn(u16) -> Vec<u8>) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn foreign_format_is_named_with_its_conversion() {
    let pretty = EVENT.replace(',', ",\n  ");
    let two = format!("{EVENT}\n{EVENT}\n");
    let long = format!("{{\"events\":[{}]}}", vec![EVENT; 2_000].join(","));
    let control: Vec<u8> = (1..=8).chain(14..=31).collect();
    let cases: &[(&str, &str, Vec<u8>)] = &[
        ("values span several lines", "jq -c . x", pretty.clone().into()),
        ("values span several lines", "jq -c . x", vec![pretty.as_str(); 2_000].join("\n").into()),
        ("a JSON array", "jq -c '.[]' x", format!("[{EVENT},{EVENT}]").into()),
        ("a JSON array", "jq -c '.[]' x", format!("[\n{EVENT},\n{EVENT}\n]\n").into()),
        ("a JSON array", "jq -c '.[]' x", format!("[\n  {pretty}\n]\n").into()),
        ("a JSON array", "jq -c '.[]' unpacked", gzip(format!("\u{feff}[{EVENT}]").as_bytes())),
        (
            "one JSON object that holds",
            "jq -c '.events[]' x",
            format!("{{\"n\":1,\"events\":[{EVENT}]}}").into(),
        ),
        ("one JSON object that holds", "jq -c '.events[]' x", long.into()),
        ("commas between them", "sed", format!("{EVENT},\n{EVENT},\n").into()),
        ("several values on a line", "jq -c . x", format!("{EVENT}{EVENT}\n").into()),
        ("carriage returns", "tr '\\r' '\\n' < x", two.replace('\n', "\r").into()),
        (
            "JSON inside JSON strings",
            "jq -c fromjson x",
            format!("{}\n", serde_json::Value::from(EVENT)).into(),
        ),
        ("JSON text sequence", "tr -d '\\036' < x | jq -c .", format!("\u{1e}{EVENT}\n").into()),
        ("server-sent events", "sed -n", format!("data: {EVENT}\n\n").into()),
        ("before the JSON", "sed", format!("acme\t{EVENT}\n").into()),
        ("Python", "ast.literal_eval", EVENT.replace('"', "'").into()),
        ("CSV", "delimiter=\",\")", "id,type,time\n1,enabled,2026-01-01T00:00:00Z\n".into()),
        ("CSV", "delimiter=\";\")", "\u{feff}\"id\";\"type\"\r\n\"1\";\"enabled\"\r\n".into()),
        ("CSV", "delimiter=\"\\t\")", "id\ttype\ttime, in UTC\n1\tenabled\t2026-01-01T00:00:00Z\n".into()),
        ("CSV", "delimiter=\"|\")", "\"id, or ids, or none\"|type\n1|enabled\n".into()),
        ("YAML", "yq", "- id: 1\n  type: enabled\n".into()),
        ("SQL dump", "as JSON instead", "-- MySQL dump\nINSERT INTO t VALUES (1);\n".into()),
        ("HTML", "error page", "<!DOCTYPE html>\n<html></html>\n".into()),
        ("XML", "as JSON instead", "<?xml version=\"1.0\"?><a/>".into()),
        ("zero bytes", "tr -d '\\000' < x", [&[0; 40], EVENT.as_bytes()].concat()),
        ("UTF-16 (little-endian)", "iconv -f UTF-16LE", wide(&two, |unit| unit.to_le_bytes().to_vec())),
        (
            "UTF-16 (little-endian)",
            "UTF-16LE",
            wide(&format!("\u{feff}{two}"), |unit| unit.to_le_bytes().to_vec()),
        ),
        ("UTF-16 (big-endian)", "UTF-16BE", wide(&two, |unit| unit.to_be_bytes().to_vec())),
        (
            "UTF-16 (big-endian)",
            "UTF-16BE",
            wide(&format!("\u{feff}{two}"), |unit| unit.to_be_bytes().to_vec()),
        ),
        ("UTF-32 (little-endian)", "UTF-32LE", wide(&two, |unit| u32::from(unit).to_le_bytes().to_vec())),
        ("a zip archive", "unzip -p x", b"PK\x03\x04\x14\0\0\0\0\0".to_vec()),
        ("xlsx", "CSV", b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0[Content_Types].xml".to_vec()),
        ("Parquet", "duckdb", b"PAR1\x15\x04".to_vec()),
        ("bzip2", "bzip2 -dc x", b"BZh91AY&SY".to_vec()),
        ("xz", "xz -dc x", b"\xfd7zXZ\0\0\x04".to_vec()),
        ("gzip inside of gzip", "gzip -dc unpacked", gzip(&gzip(two.as_bytes()))),
        ("zstd inside of gzip", "zstd -dc unpacked", gzip(&zstd(two.as_bytes()))),
        ("an SQLite database", "sqlite3", b"SQLite format 3\0\x10".to_vec()),
        ("binary data", "as JSON instead", [&[0x80, 0x9d], &control[..], b", ; |"].concat()),
        ("other text", "as JSON instead", b"hello\nworld\n".to_vec()),
    ];
    for (what, command, bytes) in cases {
        let (said, remedy) = detected(bytes);
        let sample = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        assert!(said.contains(what), "{said:?}, not {what:?}: {sample:?}");
        assert!(remedy.contains(command), "{remedy:?}, not {command:?}: {sample:?}");
    }
}

#[test]
fn faulty_ndjson_is_still_ndjson() {
    let wrong_first = format!("\"time\":\"2026\"}}\n{EVENT}\n{EVENT}\n");
    let array_first = format!("[{EVENT}]\n{EVENT}\n");
    let long = format!("{{\"id\":\"1\",\"tags\":[{{}}],\"x\":\"{}\"}}\n", "x".repeat(100_000));
    let with_array = format!("{{\"tags\":[{{}}],{}\n", &EVENT[1..]);
    let odd = format!("{{\"n\":1e400,\"s\":\"\\ud800\",{}\n", &EVENT[1..]);
    let texts =
        ["", "\n \r\n", "\u{feff}", EVENT, "{}\n", &wrong_first, &array_first, &long, &with_array, &odd];
    for text in texts {
        let bytes = text.as_bytes();
        assert_eq!(*Text::open(bytes).unwrap().looks(), Looks::Ndjson, "{}", &text[..text.len().min(80)]);
        assert_eq!(
            Text::open(bytes).unwrap().lines().unwrap().count(),
            text.trim_start_matches('\u{feff}').lines().count()
        );
    }
}
