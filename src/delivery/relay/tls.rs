//! TLS towards the next hop.

use super::settings::{RelaySettings, TlsMode};
use std::sync::Arc;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};

/// What a handshake needs.
pub(super) struct Tls {
    pub connector: TlsConnector,
    pub name: ServerName<'static>,
}

/// Why the settings for the next hop cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the next hop's address is not of the form host:port")]
    Address,
    #[error("the next hop's name cannot be the subject of a certificate")]
    Name,
    #[error("the file with trusted certificates cannot be used: {0}")]
    CaFile(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Host of `host:port`.
pub(super) fn host(address: &str) -> Result<&str, SettingsError> {
    let (host, port) = address.rsplit_once(':').ok_or(SettingsError::Address)?;
    port.parse::<u16>().map_err(|_| SettingsError::Address)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() { Err(SettingsError::Address) } else { Ok(host) }
}

impl Tls {
    /// None for `TlsMode::None`.
    pub fn new(settings: &RelaySettings) -> Result<Option<Self>, SettingsError> {
        let host = host(&settings.address)?;
        if settings.tls == TlsMode::None {
            return Ok(None);
        }
        let name = ServerName::try_from(host.to_string()).map_err(|_| SettingsError::Name)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = if settings.tls == TlsMode::Required {
            builder.with_root_certificates(roots(settings)?).with_no_client_auth()
        } else {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        };
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }
}

fn roots(settings: &RelaySettings) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(path) = &settings.ca_file else { return Ok(roots) };
    let unusable = |error: &dyn std::fmt::Display| SettingsError::CaFile(error.to_string());
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        roots.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
        found = true;
    }
    if found { Ok(roots) } else { Err(unusable(&"it holds no certificate")) }
}

/// Takes any certificate: opportunistic TLS keeps listeners out and cannot know who answers (RFC 7435 3). That the
/// peer holds the certificate's key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(host("hop.example:25").unwrap(), "hop.example");
        assert_eq!(host("[2001:db8::1]:25").unwrap(), "2001:db8::1");
        for bad in ["hop.example", "hop.example:", ":25", "hop.example:smtp", "hop.example:70000"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
