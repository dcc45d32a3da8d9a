//! What is looked at of a client certificate, once its chain was verified in the handshake.

use ledger_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use spki::der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use spki::der::{Decode as _, Reader as _, Result, SliceReader, Tag, Tagged as _};

/// The certificate that a client proved to have the key of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Of all of it (DER).
    pub sha256: [u8; 32],
    /// From then on it is good no longer.
    pub until: Timestamp,
}

impl ClientCertificate {
    /// A certificate whose end cannot be read has ended.
    #[must_use]
    pub fn new(der: &[u8]) -> Self {
        let until = not_after(der).unwrap_or(Timestamp::from_millis(0));
        Self { sha256: Sha256::digest(der).into(), until }
    }
}

/// `tbsCertificate.validity.notAfter` of RFC 5280, 4.1, and the second that it names.
fn not_after(der: &[u8]) -> Result<Timestamp> {
    let certificate = AnyRef::from_der(der)?;
    let body = SliceReader::new(certificate.value())?.decode::<AnyRef<'_>>()?;
    let mut members = SliceReader::new(body.value())?;
    // Serial number, algorithm, issuer; before them a version, if it is not the first.
    let has_version = Tag::peek(&members)? != Tag::Integer;
    for _ in 0..3 + usize::from(has_version) {
        members.decode::<AnyRef<'_>>()?;
    }
    let validity = members.decode::<AnyRef<'_>>()?;
    let mut instants = SliceReader::new(validity.value())?;
    instants.decode::<AnyRef<'_>>()?;
    let end = instants.decode::<AnyRef<'_>>()?;
    let since_epoch = match end.tag() {
        Tag::UtcTime => end.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => end.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    Ok(Timestamp::from_millis(seconds.saturating_add(1).saturating_mul(1000)))
}
