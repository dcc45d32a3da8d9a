//! Keys, signatures and certificates by OpenSSL: nothing of it is made by what checks it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// For what may be kept until the process ends, which removes nothing.
pub(crate) fn lasting_directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What `openssl` answers to this input, in a directory.
pub(crate) fn openssl(directory: &Path, line: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("openssl is needed, tests/run installs it: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    Ed25519,
}

/// A key that signs web tokens.
pub(crate) struct TokenSigner {
    directory: TempDir,
    kind: KeyKind,
    id: String,
}

impl TokenSigner {
    pub(crate) fn new(kind: KeyKind, id: &str) -> Self {
        let directory = lasting_directory();
        let algorithm = match kind {
            KeyKind::Rsa => "RSA -pkeyopt rsa_keygen_bits:2048",
            KeyKind::P256 => "EC -pkeyopt ec_paramgen_curve:P-256",
            KeyKind::Ed25519 => "ED25519",
        };
        openssl(directory.path(), &format!("genpkey -algorithm {algorithm} -out key.pem"), b"");
        Self { directory, kind, id: id.to_owned() }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.kind {
            KeyKind::Rsa => "RS256",
            KeyKind::P256 => "ES256",
            KeyKind::Ed25519 => "EdDSA",
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn public_pem(&self) -> Vec<u8> {
        openssl(self.directory.path(), "pkey -in key.pem -pubout", b"")
    }

    /// The public key in DER.
    pub(crate) fn public(&self) -> Vec<u8> {
        openssl(self.directory.path(), "pkey -in key.pem -pubout -outform DER", b"")
    }

    /// The public key as a member of a JWKS.
    pub(crate) fn jwk(&self) -> Value {
        let der = self.public();
        let mut jwk = match self.kind {
            KeyKind::Rsa => {
                let modulus = openssl(self.directory.path(), "rsa -in key.pem -noout -modulus", b"");
                let modulus = String::from_utf8(modulus).unwrap();
                let modulus = hex::decode(modulus.trim().trim_start_matches("Modulus=")).unwrap();
                json!({"kty": "RSA", "n": base64url(modulus), "e": "AQAB"})
            }
            KeyKind::P256 => {
                let (x, y) = der[der.len() - 64..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
            }
            KeyKind::Ed25519 => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&der[der.len() - 32..])})
            }
        };
        (jwk["kid"], jwk["use"]) = (self.id.clone().into(), "sig".into());
        jwk
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id})
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.signed(&self.header(), claims)
    }

    /// A token with any header, signed by this key.
    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let at = self.directory.path();
        let signature = match self.kind {
            KeyKind::Rsa => openssl(at, "dgst -sha256 -sign key.pem", message.as_bytes()),
            KeyKind::P256 => raw(&openssl(at, "dgst -sha256 -sign key.pem", message.as_bytes())),
            KeyKind::Ed25519 => {
                std::fs::write(at.join("message"), &message).unwrap();
                openssl(at, "pkeyutl -sign -rawin -inkey key.pem -in message", b"")
            }
        };
        format!("{message}.{}", base64url(signature))
    }
}

/// The two numbers of an ECDSA signature, out of their DER.
fn raw(der: &[u8]) -> Vec<u8> {
    let (mut rest, mut raw) = (&der[2..], Vec::new());
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        raw.extend(vec![0; 32 - number.len()]);
        raw.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    raw
}

/// An authority, and what it signs.
pub(crate) struct Authority(TempDir);

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

impl Authority {
    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let line = format!("req -x509 {NEW_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
        openssl(directory.path(), &line, b"");
        let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
        std::fs::write(directory.path().join("extensions"), extensions).unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes NAME.pem and NAME.key.
    pub(crate) fn sign(&self, name: &str) {
        let at = self.0.path();
        openssl(at, &format!("req -new {NEW_KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"), b"");
        let line = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.pem"
        );
        openssl(at, &line, b"");
    }

    pub(crate) fn der(&self, name: &str) -> Vec<u8> {
        openssl(self.0.path(), &format!("x509 -in {name}.pem -outform DER"), b"")
    }
}
