//! Files with certificates: of a server, and of authorities that are trusted in place of the public ones.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Why a file has no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// It is no PEM.
    #[error("{} cannot be read as PEM", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Nothing in it is one.
    #[error("{} has no certificate", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// All of a file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let failed = |source| CertificatesError::File { path: path.to_owned(), source };
    let read = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if all.is_empty() { Err(CertificatesError::Empty { path: path.to_owned() }) } else { Ok(all) }
}

/// How a client checks servers: by the authorities of this file and no others; without one, by the public ones.
pub fn client_tls(authorities: Option<&Path>) -> Result<TlsConfig, CertificatesError> {
    let Some(path) = authorities else { return Ok(TlsConfig::default()) };
    let all = certificates(path)?;
    let roots = all.iter().map(|der| Certificate::from_der(der).to_owned());
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots.collect::<Vec<_>>())).build())
}
