//! TLS towards the next hop.

use super::settings::{RouteSettings, TlsMode};
use crate::intake::{OwnCertificate, tls};
use std::sync::Arc;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, ConfigBuilder, DigitallySignedStruct, SignatureScheme,
        client::{
            WantsClientCert,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// What a handshake needs.
pub(super) struct Tls {
    pub connector: TlsConnector,
    pub name: ServerName<'static>,
    /// Whether a handshake that succeeds says who the hop is.
    pub verifies: bool,
}

/// Why the settings for the next hop cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the next hop's address is not of the form host:port")]
    Address,
    #[error("the next hop's name cannot be the subject of a certificate")]
    Name,
    #[error("the file with trusted certificates cannot be used: {0}")]
    Authorities(String),
    #[error("our certificate for the next hop cannot be used: {0}")]
    Certificate(String),
    #[error("the key of our certificate for the next hop cannot be used: {0}")]
    Key(String),
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
    pub fn new(address: &str, route: &RouteSettings) -> Result<Option<Self>, SettingsError> {
        let host = host(address)?;
        if route.tls == TlsMode::None {
            return Ok(None);
        }
        let name = route.tls_name.as_deref().unwrap_or(host).to_string();
        let name = ServerName::try_from(name).map_err(|_| SettingsError::Name)?;
        let provider = Arc::new(ring::default_provider());
        // TLS 1.2 and 1.3: rustls has nothing older.
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let verifies = route.tls.verifies();
        let builder = if verifies {
            builder.with_root_certificates(
                tls::authorities(route.authorities.as_deref()).map_err(SettingsError::Authorities)?,
            )
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        };
        let config = with_certificate(builder, route.certificate.as_ref())?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name, verifies }))
    }
}

fn with_certificate(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: Option<&OwnCertificate>,
) -> Result<ClientConfig, SettingsError> {
    let Some(certificate) = certificate else { return Ok(builder.with_no_client_auth()) };
    let chain = tls::certificates(&certificate.chain).map_err(SettingsError::Certificate)?;
    let key = tls::private_key(&certificate.key).map_err(SettingsError::Key)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| SettingsError::Key(error.to_string()))
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
