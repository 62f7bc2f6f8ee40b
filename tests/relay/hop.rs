//! A next hop that does what its script says, on a real loopback socket.
//!
//! A script is a conversation, one step a line:
//! `S text` says text; `C line` reads that line; `c line` reads a line that came in the same write as the one before;
//! `SLOW text` says text one byte at a time; `RAW text` says half a line; `HUGE code n` says a reply of n bytes; `BODY` reads a
//! message to its final dot; `PART` reads some of it; `WAIT ms`; `TLS` shakes hands; `EOF` sees the client go;
//! `NOCOMMAND` sees it go without a word of SMTP. At its end the hop closes.

use outgate::intake::OwnCertificate;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier},
};

/// The opening of most conversations.
pub const GREETING: &str = "S 220 hop.example
    C EHLO gate.example
    S 250-hop.example
    S 250-PIPELINING
    S 250-8BITMIME
    S 250-DSN
    S 250 SIZE 1000000";

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

pub struct Hop {
    pub address: String,
    task: JoinHandle<Vec<Vec<u8>>>,
}

pub struct Certified {
    pub pem: String,
    made: Made,
    acceptor: TlsAcceptor,
}

type Made = Arc<rcgen::CertifiedKey<rcgen::KeyPair>>;

pub fn certificate(name: &str) -> Certified {
    certificate_for(name, &[&rustls::version::TLS12, &rustls::version::TLS13])
}

/// For a hop that speaks these versions alone.
pub fn certificate_for(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Certified {
    let made = Arc::new(rcgen::generate_simple_self_signed(vec![name.to_string()]).unwrap());
    let config = config(&made, versions, None);
    Certified { pem: made.cert.pem(), made, acceptor: TlsAcceptor::from(Arc::new(config)) }
}

/// One that a client shows.
pub fn client_certificate() -> Certified {
    certificate("gate.example")
}

impl Certified {
    /// As this one, for a hop that takes nobody without that client certificate.
    pub fn asking_for(&self, client: &Certified) -> Certified {
        let config = config(&self.made, &[&rustls::version::TLS12, &rustls::version::TLS13], Some(client));
        Certified { pem: self.pem.clone(), made: self.made.clone(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub fn shown(&self) -> OwnCertificate {
        let key: Arc<[u8]> = self.made.signing_key.serialize_pem().into_bytes().into();
        OwnCertificate { chain: self.pem.as_bytes().into(), key: key.into() }
    }
}

fn config(
    made: &Made,
    versions: &[&'static rustls::SupportedProtocolVersion],
    client: Option<&Certified>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(client.made.cert.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap()
}

impl Hop {
    /// One script for each connection, in the order in which they come.
    pub async fn start(scripts: &[&str]) -> Self {
        Self::with_tls(scripts, None).await
    }

    pub async fn with_tls(scripts: &[&str], acceptor: Option<&Certified>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), scripts, acceptor)
    }

    pub fn on(listener: TcpListener, scripts: &[&str], acceptor: Option<&Certified>) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let scripts: Vec<String> = scripts.iter().map(|script| script.to_string()).collect();
        let acceptor = acceptor.map(|certified| certified.acceptor.clone());
        let task = tokio::spawn(async move {
            let mut conversations = Vec::new();
            for (number, script) in scripts.into_iter().enumerate() {
                let (stream, _) = timeout(Duration::from_secs(20), listener.accept())
                    .await
                    .unwrap_or_else(|_| panic!("connection {number} never came"))
                    .unwrap();
                stream.set_nodelay(true).unwrap();
                conversations.push(tokio::spawn(converse(stream, script, acceptor.clone())));
            }
            let mut bodies = Vec::new();
            for conversation in conversations {
                bodies.extend(conversation.await.unwrap());
            }
            bodies
        });
        Self { address, task }
    }

    /// The messages that arrived, once all scripts are played to their end.
    pub async fn bodies(self) -> Vec<Vec<u8>> {
        timeout(Duration::from_secs(20), self.task).await.expect("a script is not at its end").unwrap()
    }
}

async fn converse(stream: TcpStream, script: String, acceptor: Option<TlsAcceptor>) -> Vec<Vec<u8>> {
    let mut steps: VecDeque<String> = script.lines().map(|line| line.trim().to_string()).collect();
    let mut stream: Box<dyn Wire> = {
        let mut clear = Conversation { wire: Box::new(stream), unread: Vec::new(), bodies: Vec::new() };
        clear.play(&mut steps).await;
        if steps.is_empty() {
            return clear.bodies;
        }
        assert!(clear.unread.is_empty(), "commands in clear behind STARTTLS");
        clear.wire
    };
    if let Some(acceptor) = acceptor {
        match acceptor.accept(stream).await {
            Ok(tls) => stream = Box::new(tls),
            Err(_) => return Vec::new(),
        }
    }
    let mut inner = Conversation { wire: stream, unread: Vec::new(), bodies: Vec::new() };
    inner.play(&mut steps).await;
    inner.bodies
}

struct Conversation {
    wire: Box<dyn Wire>,
    unread: Vec<u8>,
    bodies: Vec<Vec<u8>>,
}

impl Conversation {
    /// Plays up to the end or to `TLS`.
    async fn play(&mut self, steps: &mut VecDeque<String>) {
        while let Some(step) = steps.pop_front() {
            let (verb, rest) = step.split_once(' ').unwrap_or((&step, ""));
            match verb {
                "S" => self.say(&format!("{rest}\r\n")).await,
                "SLOW" => {
                    for byte in format!("{rest}\r\n").chars() {
                        self.say(&byte.to_string()).await;
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
                "RAW" => self.say(&rest.replace("\\r", "\r").replace("\\n", "\n")).await,
                "HUGE" => {
                    let (code, size) = rest.split_once(' ').unwrap();
                    let line = format!("{code}-5.7.1 {}\r\n", "x".repeat(900));
                    let text = line.repeat(size.parse::<usize>().unwrap() / line.len());
                    self.say(&format!("{text}{code} 5.7.1 end\r\n")).await;
                }
                "C" => {
                    let line = self.line().await;
                    assert_eq!(line, rest);
                }
                "c" => {
                    let here = self.unread.windows(2).any(|pair| pair == b"\r\n");
                    assert!(here, "{rest} did not come in the same write");
                    assert_eq!(self.line().await, rest);
                }
                "BODY" => self.body().await,
                "PART" => {
                    self.fill().await;
                    self.unread.clear();
                }
                "WAIT" => tokio::time::sleep(Duration::from_millis(rest.parse().unwrap())).await,
                "EOF" => {
                    let mut byte = [0];
                    let end = timeout(Duration::from_secs(10), self.wire.read(&mut byte)).await.unwrap();
                    assert!(matches!(end, Ok(0) | Err(_)), "more came: {byte:?}");
                }
                "NOCOMMAND" => {
                    let mut seen = [0];
                    let read = timeout(Duration::from_secs(10), self.wire.read(&mut seen)).await.unwrap();
                    let seen = &seen[..read.unwrap_or(0)];
                    // A TLS record of a handshake or alert, not a line of SMTP.
                    assert!(matches!(seen.first(), None | Some(0x15 | 0x16)), "{seen:?}");
                }
                "TLS" => return,
                _ => panic!("no such step: {step}"),
            }
        }
        let _ = self.wire.flush().await;
        let _ = self.wire.shutdown().await;
    }

    async fn say(&mut self, text: &str) {
        // The client may be gone already; what it does then is what the test is about.
        let _ = self.wire.write_all(text.as_bytes()).await;
        let _ = self.wire.flush().await;
    }

    async fn fill(&mut self) {
        let mut chunk = vec![0; 64 << 10];
        let read = timeout(Duration::from_secs(10), self.wire.read(&mut chunk)).await;
        let length = read.expect("the client says nothing").unwrap_or(0);
        assert!(length > 0, "the client went away after {:?}", String::from_utf8_lossy(&self.unread));
        self.unread.extend_from_slice(&chunk[..length]);
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.unread.drain(..end + 2).collect::<Vec<_>>();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            self.fill().await;
        }
    }

    /// The message as it stood on the wire, dots still doubled.
    async fn body(&mut self) {
        while self.unread != b".\r\n" && !self.unread.ends_with(b"\r\n.\r\n") {
            self.fill().await;
        }
        let ends = self.unread.windows(5).filter(|end| end == b"\r\n.\r\n").count();
        assert!(ends <= 1, "something follows the final dot");
        self.bodies.push(std::mem::take(&mut self.unread));
    }
}
