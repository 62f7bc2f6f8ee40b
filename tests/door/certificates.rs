//! An authority of our own, and what it issues.

use outgate::intake::{OwnCertificate, smtp::TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Arc;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Issued {
    pub pem: String,
    pub key: String,
    der: CertificateDer<'static>,
    secret: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let made = params.signed_by(&key, &self.0).unwrap();
        Issued { pem: made.pem(), key: key.serialize_pem(), der: made.der().clone(), secret: key.serialize_der() }
    }

    /// A client that trusts this authority alone, and shows a certificate if it has one.
    pub fn client(&self, shows: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shows {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::try_from(shown.secret.clone()).unwrap();
                builder.with_client_auth_cert(vec![shown.der.clone()], key).unwrap()
            }
        })
    }
}

impl Issued {
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn own(&self) -> OwnCertificate {
        OwnCertificate { chain: self.pem.as_bytes().into(), key: Arc::<[u8]>::from(self.key.as_bytes()).into() }
    }

    /// The door's settings with this certificate, and clients of this authority.
    pub fn settings(&self, clients: &Authority) -> TlsSettings {
        TlsSettings { certificate: self.own(), authorities: Some(clients.pem().as_bytes().into()) }
    }
}
