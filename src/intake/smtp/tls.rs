//! TLS at the door: the certificate that we show, and the certificates of clients.

use crate::intake::{OwnCertificate, tls};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, DigitallySignedStruct, DistinguishedName, ProtocolVersion, ServerConfig, ServerConnection,
        SignatureScheme,
        client::{danger::HandshakeSignatureValid, verify_server_name},
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::{
            ParsedCertificate, WebPkiClientVerifier,
            danger::{ClientCertVerified, ClientCertVerifier},
        },
    },
    server,
};

/// What the door needs for TLS, as read from its files.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsSettings {
    pub certificate: OwnCertificate,
    /// PEM: who may have issued the certificates of clients. None: the public authorities.
    pub authorities: Option<Arc<[u8]>>,
}

/// Why the door cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the door's certificate cannot be used: {0}")]
    Certificate(String),
    #[error("the key of the door's certificate cannot be used: {0}")]
    Key(String),
    #[error("the file with trusted certificates cannot be used: {0}")]
    Authorities(String),
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// TLS, ready for handshakes.
pub struct ServerTls {
    acceptor: TlsAcceptor,
    /// Checks what clients show, when anybody is known by it.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What a handshake showed.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    /// Version and cipher.
    pub label: String,
    pub certificate: Option<Certified>,
}

/// A client's certificate that one of the trusted authorities issued, and that is in force.
#[derive(Clone)]
pub struct Certified(CertificateDer<'static>);

impl ServerTls {
    /// Clients are asked for a certificate only where `asks`: some programs put the question to a person.
    pub fn new(settings: &TlsSettings, asks: bool) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());
        // TLS 1.2 and 1.3: rustls has nothing older.
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| setup(&error))?;
        let verifier = if asks {
            let roots = tls::authorities(settings.authorities.as_deref()).map_err(TlsError::Authorities)?;
            let built = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            Some(built.map_err(|error| TlsError::Authorities(error.to_string()))?)
        } else {
            None
        };
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(strict) => builder.with_client_cert_verifier(Arc::new(TakesAny(Arc::clone(strict)))),
        };
        let chain = tls::certificates(&settings.certificate.chain).map_err(TlsError::Certificate)?;
        let key = tls::private_key(&settings.certificate.key).map_err(TlsError::Key)?;
        let config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Key(error.to_string()))?;
        Ok(Self { acceptor: Arc::new(config).into(), verifier })
    }

    /// The handshake, which must be whole within `limit`.
    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> io::Result<(server::TlsStream<TcpStream>, Secured)> {
        let stream = timeout(limit, self.acceptor.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let secured = self.secured(stream.get_ref().1);
        Ok((stream, secured))
    }

    fn secured(&self, session: &ServerConnection) -> Secured {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = session.negotiated_cipher_suite();
        let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("an unnamed cipher");
        let shown = session.peer_certificates().and_then(<[_]>::split_first);
        let certificate = shown.zip(self.verifier.as_ref()).and_then(|((own, chain), verifier)| {
            // Anew for a session that is resumed: its certificate may have ended since.
            let verified = verifier.verify_client_cert(own, chain, UnixTime::now());
            if let Err(error) = &verified {
                tracing::debug!(%error, "a client's certificate says nothing to us");
            }
            verified.is_ok().then(|| Certified(own.clone().into_owned()))
        });
        Secured { label: format!("{version} with cipher {cipher}"), certificate }
    }
}

impl Certified {
    /// Whether the certificate is for this host name (its subject alternative names; RFC 9525).
    pub(super) fn is_for(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        ParsedCertificate::try_from(&self.0).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certified")
    }
}

/// Takes whatever certificate a client shows: many mail servers show one that nobody asked for (self-signed, private
/// authority, ended), and their mail need not stop for it. Whether it counts is looked at afterwards; that the client
/// holds its key is checked here.
#[derive(Debug)]
struct TakesAny(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for TakesAny {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a list of all public authorities would make the handshake 15 KB longer.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
