//! Signatures of web tokens, checked by ring: `jsonwebtoken` brings no cryptography of its own, and rustls has ring here
//! already.
//!
//! Only RS256 (2048 bits and more), ES256 and `EdDSA` (Ed25519) are there. There is no HMAC at all, so no public key can be
//! taken for a shared secret, and nothing that signs. Whoever calls `jsonwebtoken` calls [`check_signatures_here`] before.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// From now on `jsonwebtoken` checks the signatures of the whole process this way.
pub fn check_signatures_here() {
    // Another one is this one: nothing else installs any.
    let _ = PROVIDER.install_default();
}

/// The RSA key of a public key in PEM (`-----BEGIN PUBLIC KEY-----`); none if it is anything else.
#[must_use]
pub fn rsa_key_from_pem(pem: &[u8]) -> Option<DecodingKey> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let key = SubjectPublicKeyInfoRef::try_from(der.as_ref()).ok()?;
    key.algorithm.assert_algorithm_oid(RSA_ENCRYPTION).ok()?;
    key.subject_public_key.as_bytes().map(DecodingKey::from_rsa_der)
}

/// `rsaEncryption` of RFC 8017.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is the library's")]
fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is the library's")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let of_bytes = |scheme: &'static dyn VerificationAlgorithm| {
        Ok::<_, Error>(PublicKey::Bytes(UnparsedPublicKey::new(scheme, key.try_get_as_bytes()?.to_vec())))
    };
    let key = match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            PublicKey::Rsa(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })
        }
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(_)) => of_bytes(&RSA_PKCS1_2048_8192_SHA256)?,
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(_)) => of_bytes(&ECDSA_P256_SHA256_FIXED)?,
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(_)) => of_bytes(&ED25519)?,
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key }))
}

enum PublicKey {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    Bytes(UnparsedPublicKey<Vec<u8>>),
}

struct RingVerifier {
    algorithm: Algorithm,
    key: PublicKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match &self.key {
            PublicKey::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            PublicKey::Bytes(key) => key.verify(message, signature),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
