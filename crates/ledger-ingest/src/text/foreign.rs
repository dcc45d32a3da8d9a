//! What a file may be instead of NDJSON, and what makes NDJSON of it.

use std::borrow::Cow;

use crate::text::unpack::Packing;

/// A file that is no NDJSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no NDJSON, one JSON object a line: it looks like {what}")]
pub struct NotNdjson {
    what: &'static str,
    remedy: Cow<'static, str>,
    packing: Option<Packing>,
}

/// A kind of file: what it is, and a sentence in which `FILE` is its path.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileKind(pub(super) &'static str, pub(super) &'static str);

impl From<FileKind> for NotNdjson {
    fn from(FileKind(what, remedy): FileKind) -> Self {
        Self { what, remedy: remedy.into(), packing: None }
    }
}

impl NotNdjson {
    /// What the operator can do, for the file of this path.
    #[must_use]
    pub fn remedy(&self, file: &str) -> String {
        let file = quoted(file);
        match self.packing {
            None => self.remedy.replace("FILE", &file),
            Some(packing) => {
                let remedy = self.remedy.replace("FILE", "unpacked");
                format!("unpack it with `{packing} -dc {file} > unpacked`; then {remedy}")
            }
        }
    }

    /// The same of a file that was compressed.
    pub(super) fn packed(self, packing: Option<Packing>) -> Self {
        Self { packing, ..self }
    }

    /// Columns, with this between them.
    pub(super) fn csv(delimiter: char) -> Self {
        let delimiter = if delimiter == '\t' { "\\t".to_owned() } else { delimiter.to_string() };
        let remedy = format!(
            "with columns that are called like the fields of an event, `python3 -c 'import csv, json, sys; \
             [print(json.dumps({{k: v for k, v in row.items() if v}})) for row in csv.DictReader(sys.stdin, \
             delimiter=\"{delimiter}\")]' < FILE` makes NDJSON of it"
        );
        Self { what: "CSV", remedy: remedy.into(), packing: None }
    }

    /// An object that holds the events as the items of a member.
    pub(super) fn envelope(member: &str) -> Self {
        let is_plain =
            !member.is_empty() && member.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
        let filter = if is_plain { format!(".{member}[]") } else { ".MEMBER[]".to_owned() };
        let remedy = format!("`jq -c '{filter}' FILE` makes NDJSON of it");
        Self {
            what: "one JSON object that holds the events in an array",
            remedy: remedy.into(),
            packing: None,
        }
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> Cow<'_, str> {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "._-/+=:,@%".contains(sign);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path.into();
    }
    format!("'{}'", path.replace('\'', r"'\''")).into()
}

pub(super) const ARRAY: FileKind = FileKind("a JSON array", "`jq -c '.[]' FILE` makes NDJSON of it");
pub(super) const PRETTY: FileKind =
    FileKind("JSON whose values span several lines", "`jq -c . FILE` makes NDJSON of it");
pub(super) const SEVERAL_A_LINE: FileKind =
    FileKind("JSON with several values on a line", "`jq -c . FILE` makes NDJSON of it");
pub(super) const COMMAS: FileKind =
    FileKind("JSON objects with commas between them", r"`sed 's/,[[:space:]]*$//' FILE` makes NDJSON of it");
pub(super) const CARRIAGE_RETURNS: FileKind =
    FileKind("text whose lines end with carriage returns", r"`tr '\r' '\n' < FILE` makes lines of it");
pub(super) const STRINGS: FileKind =
    FileKind("JSON inside JSON strings", "`jq -c fromjson FILE` takes it out of them");
pub(super) const SEQUENCE: FileKind =
    FileKind("a JSON text sequence (RFC 7464)", r"`tr -d '\036' < FILE | jq -c .` makes NDJSON of it");
pub(super) const EVENT_STREAM: FileKind =
    FileKind("server-sent events", "`sed -n 's/^data: *//p' FILE` takes the data out of it");
pub(super) const PREFIXED: FileKind =
    FileKind("lines with something before the JSON", "`sed 's/^[^{]*//' FILE` takes it away");
pub(super) const PYTHON: FileKind = FileKind(
    "Python objects, not JSON",
    "`python3 -c 'import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]' \
     < FILE` makes NDJSON of it",
);
pub(super) const YAML: FileKind = FileKind("YAML", "`yq -o=json -I=0 '.[]' FILE` makes NDJSON of it");
pub(super) const SQL: FileKind =
    FileKind("an SQL dump", "export the table's rows as JSON instead, one object a line");
pub(super) const HTML: FileKind =
    FileKind("an HTML page", "it may be a login or an error page: open it, and download the file again");
pub(super) const XML: FileKind = FileKind("XML", "export the events as JSON instead, one object a line");
pub(super) const ZEROS: FileKind = FileKind(
    "binary data, or text with zero bytes in it",
    r"if a crash or a sparse copy left zeros in a text, `tr -d '\000' < FILE` takes them away",
);
pub(super) const BINARY: FileKind =
    FileKind("binary data", "export the events as JSON instead, one object a line");
pub(super) const TEXT: FileKind =
    FileKind("other text", "export the events as JSON instead, one object a line");
pub(super) const XLSX: FileKind = FileKind(
    "a spreadsheet (xlsx)",
    "save it as CSV in UTF-8, and try that: the message says how it is converted",
);
pub(super) const UTF_16_LE: FileKind =
    FileKind("text in UTF-16 (little-endian)", "`iconv -f UTF-16LE -t UTF-8 FILE` converts it");
pub(super) const UTF_16_BE: FileKind =
    FileKind("text in UTF-16 (big-endian)", "`iconv -f UTF-16BE -t UTF-8 FILE` converts it");
pub(super) const UTF_32_LE: FileKind =
    FileKind("text in UTF-32 (little-endian)", "`iconv -f UTF-32LE -t UTF-8 FILE` converts it");
pub(super) const UTF_32_BE: FileKind =
    FileKind("text in UTF-32 (big-endian)", "`iconv -f UTF-32BE -t UTF-8 FILE` converts it");
pub(super) const TAR: FileKind = FileKind("a tar archive", "`tar -xOf FILE` unpacks it");

/// Files that begin with bytes of their own.
pub(super) const SIGNATURES: &[(&[u8], FileKind)] = &[
    (
        b"PAR1",
        FileKind(
            "Parquet",
            "`duckdb -c \"COPY (FROM 'FILE') TO '/dev/stdout' (FORMAT json)\"` makes NDJSON of it",
        ),
    ),
    (b"PK\x03\x04", FileKind("a zip archive", "`unzip -p FILE` unpacks it")),
    (b"PK\x05\x06", FileKind("an empty zip archive", "there is nothing in it to import")),
    (b"BZh", FileKind("bzip2", "`bzip2 -dc FILE` unpacks it")),
    (b"\xfd7zXZ\0", FileKind("xz", "`xz -dc FILE` unpacks it")),
    (b"\x04\x22\x4d\x18", FileKind("lz4", "`lz4 -dc FILE` unpacks it")),
    (b"\xff\x06\0\0sNaPpY", FileKind("snappy", "unpack it first")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", "`7z x -so FILE` unpacks it")),
    (b"\x1f\x9d", FileKind("compress (.Z)", "`uncompress -c FILE` unpacks it")),
    // What is inside of gzip or zstd: the outer one is unpacked already.
    (b"\x1f\x8b", FileKind("gzip inside of gzip or zstd", "`gzip -dc FILE` unpacks one of them")),
    (b"\x28\xb5\x2f\xfd", FileKind("zstd inside of gzip or zstd", "`zstd -dc FILE` unpacks one of them")),
    (b"Obj\x01", FileKind("Avro", "`avro-tools tojson FILE` makes NDJSON of it")),
    (b"ORC", FileKind("ORC", "`orc-contents FILE` makes NDJSON of it")),
    (
        b"SQLite format 3\0",
        FileKind("an SQLite database", "`sqlite3 -json FILE 'SELECT …' | jq -c '.[]'` makes NDJSON of it"),
    ),
    (
        b"PGDMP",
        FileKind("a dump of PostgreSQL", "export the table's rows as JSON instead, one object a line"),
    ),
    (b"%PDF", FileKind("PDF", "export the events as JSON instead, one object a line")),
    (b"\xd0\xcf\x11\xe0", FileKind("an old Office file (xls)", "save it as CSV in UTF-8, and try that")),
    (b"-----BEGIN PGP", FileKind("an encrypted or signed file (PGP)", "`gpg -d FILE` decrypts it")),
    (b"age-encryption.org", FileKind("an encrypted file (age)", "`age -d FILE` decrypts it")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_the_file_as_a_shell_takes_it() {
        let array = NotNdjson::from(ARRAY);
        assert_eq!(array.remedy("a/b-1.json"), "`jq -c '.[]' a/b-1.json` makes NDJSON of it");
        assert_eq!(array.remedy("it's.json"), r"`jq -c '.[]' 'it'\''s.json'` makes NDJSON of it");
        assert_eq!(NotNdjson::envelope("events").remedy("x"), "`jq -c '.events[]' x` makes NDJSON of it");
        assert_eq!(NotNdjson::envelope("a b").remedy("x"), "`jq -c '.MEMBER[]' x` makes NDJSON of it");
    }
}
