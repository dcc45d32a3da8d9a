//! TLS on the HTTP interface: certificate and key from PEM files, read again when they change, and client certificates where
//! an authority for them is named.
//!
//! A client may leave its certificate out: then it needs a token. Which principal a certificate is of follows from its
//! SHA-256 alone ([`crate::access`]). HTTP/2 or HTTP/1.1 is agreed on in the handshake (ALPN), which has the deadline of a
//! head. What comes behind it goes through the same socket as without TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::converse::{Peer, Protocol};
use crate::access::ClientCertificate;
use crate::authorities::{CertificatesError, certificates};
use crate::limits::TLS_UNSENT_BYTES;

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate, with those that it is signed by, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
    /// Authorities of client certificates, as PEM; none: no client is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The key.
    #[error("{} cannot be read as PEM", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// They do not fit.
    #[error("certificate, key and client_ca cannot be used together")]
    Unfit(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a file was like when it was read.
type FileStamp = Option<(SystemTime, u64)>;

/// Certificate and key as they are now.
pub struct Tls {
    options: TlsOptions,
    config: RwLock<Arc<ServerConfig>>,
    stamps: Mutex<Vec<FileStamp>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

/// HTTP/2 and HTTP/1.1, as ALPN names them.
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Shakes hands with a client.
pub(super) async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    let stream =
        acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(TLS_UNSENT_BYTES))).await?;
    let session = stream.get_ref().1;
    let protocol = match session.alpn_protocol() {
        Some(H2) => Some(Protocol::Http2),
        Some(HTTP_1_1) => Some(Protocol::Http1),
        // A client that names none speaks what its first bytes say.
        _ => None,
    };
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.map(|certificate| ClientCertificate::new(certificate));
    Ok((stream, Peer { protocol, certificate }))
}

impl Tls {
    /// Reads the files; what is wrong with them otherwise.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let stamps = Mutex::new(options.stamps());
        let config = RwLock::new(load(&options)?);
        Ok(Self { options, config, stamps })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files again if one of them changed. New connections get what they have; as long as they do not fit, as one
    /// of them is not replaced yet, what they had.
    pub(super) fn follow_files(&self) {
        let now = self.options.stamps();
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamps == now {
            return;
        }
        match load(&self.options) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                *stamps = now;
                tracing::info!(certificate = %self.options.certificate.display(), "the certificate was read anew");
            }
            Err(error) => {
                let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, reason, "the certificate changed and cannot be used; the one before serves on");
            }
        }
    }
}

impl TlsOptions {
    /// Everything that keeps [`Tls::new`] from speaking TLS: of each file, or of all together.
    #[must_use]
    pub fn faults(&self) -> Vec<TlsError> {
        let of_files = [Some(&self.certificate), self.client_ca.as_ref()].into_iter().flatten();
        let of_files = of_files.filter_map(|path| certificates(path).err().map(TlsError::from));
        let faults: Vec<_> = of_files.chain(self.key().err()).collect();
        if faults.is_empty() { load(self).err().into_iter().collect() } else { faults }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let failed = |source| TlsError::Key { path: self.key.clone(), source };
        PrivateKeyDer::from_pem_file(&self.key).map_err(failed)
    }

    fn stamps(&self) -> Vec<FileStamp> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len()))
        };
        files.into_iter().flatten().map(stamp).collect()
    }
}

fn load(options: &TlsOptions) -> Result<Arc<ServerConfig>, TlsError> {
    fn unfit(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TlsError {
        TlsError::Unfit(error.into())
    }
    let chain = certificates(&options.certificate)?;
    let key = options.key()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(unfit)?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(unfit)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().map_err(unfit)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unfit)?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}
