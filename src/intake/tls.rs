//! What TLS needs on either side of us: certificates, keys and authorities in PEM.

use crate::sensitive::Sensitive;
use std::sync::Arc;
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// What we show of ourselves: a certificate with its chain, and its key. PEM, as the files were when they were read.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnCertificate {
    pub chain: Arc<[u8]>,
    pub key: Sensitive<Arc<[u8]>>,
}

/// All certificates of a file.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it holds no certificate in PEM".into()) } else { Ok(found) }
}

/// The first private key of a file. What is wrong with it is said without a byte of it.
pub fn private_key(pem: &Sensitive<Arc<[u8]>>) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| "it holds no private key in PEM".into())
}

/// Those of the file alone, else the public ones.
pub fn authorities(pem: Option<&[u8]>) -> Result<RootCertStore, String> {
    let Some(pem) = pem else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}
