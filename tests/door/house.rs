//! A door on loopback, and a client for it.

use crate::corridor::{Fake, Shared};
use outgate::{
    intake::{
        Stream,
        smtp::{Door, Peer, Settings, bind},
    },
    keys::Keys,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

pub const KEY: [u8; 32] = [9; 32];

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct House {
    pub fake: Arc<Fake>,
    pub door: Arc<Door<Shared>>,
    pub address: SocketAddr,
    /// Where TLS begins with the first byte.
    pub tls_address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
}

pub fn settings() -> Settings {
    let mut settings = Settings::new(Vec::new(), "gate.example");
    settings.own_domains = vec!["ours.example".into()];
    settings.peers = vec![Peer::new(vec!["127.0.0.0/8".parse().unwrap()])];
    settings
}

impl House {
    pub async fn open(settings: Settings) -> Self {
        let fake = Fake::new();
        let door = Door::new(settings, Arc::new(Shared(Arc::clone(&fake))), &Keys::new(&KEY)).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let under_tls = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let tls_address = under_tls.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(Arc::clone(&door).serve(vec![listener], vec![under_tls], stopped));
        Self { fake, door, address, tls_address, stop, serving }
    }

    pub async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: Stream::Clear(stream), input: Vec::new() }
    }

    /// A client that began with TLS.
    pub async fn tls_client(&self, config: &Arc<ClientConfig>) -> Client {
        let stream = TcpStream::connect(self.tls_address).await.unwrap();
        let mut client = Client { stream: Stream::Clear(stream), input: Vec::new() };
        client.secure(config).await.unwrap();
        client
    }

    /// A client that has said EHLO under TLS.
    pub async fn secured(&self, config: &Arc<ClientConfig>) -> Client {
        let mut client = self.greeted().await;
        client.say("STARTTLS\r\n").await;
        client.expect("220").await;
        client.secure(config).await.unwrap();
        client.say("EHLO client.example\r\n").await;
        client.expect("250").await;
        client
    }

    pub async fn client_from(&self, address: &str) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: Stream::Clear(stream), input: Vec::new() }
    }

    /// A client that has said EHLO.
    pub async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.expect("220").await;
        client.say("EHLO client.example\r\n").await;
        client.expect("250").await;
        client
    }

    /// Waits until `done`, since what the door does behind a closed connection has no reply.
    pub async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never happened: {what}");
    }

    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let handed = self.fake.handed.lock().unwrap();
        handed.iter().map(|submission| submission.message.read(0..submission.message.len()).into_owned()).collect()
    }
}

pub struct Client {
    stream: Stream,
    input: Vec<u8>,
}

impl Client {
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Shakes hands, whoever the door is.
    pub async fn secure(&mut self, config: &Arc<ClientConfig>) -> std::io::Result<()> {
        let Stream::Clear(stream) = std::mem::replace(&mut self.stream, Stream::Ended) else { panic!("not in clear") };
        let name = ServerName::try_from("gate.example").unwrap();
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        self.stream = Stream::Tls(Box::new(stream.into()));
        Ok(())
    }

    /// The certificate that the door has shown.
    pub fn shown(&self) -> Vec<u8> {
        let Stream::Tls(stream) = &self.stream else { panic!("no TLS") };
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    /// The next line without CR LF; none when the door has closed.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    /// One read of the socket.
    pub async fn more(&mut self) -> usize {
        self.input.reserve(64 << 10);
        timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await.expect("the door says nothing").unwrap_or(0)
    }

    /// A whole reply, which must begin with `start`.
    pub async fn expect(&mut self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.line().await else { panic!("closed instead of {start}, after {lines:?}") };
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                assert!(lines[0].starts_with(start), "{lines:?} instead of {start}");
                return lines;
            }
        }
    }

    /// How many bytes are here and not yet looked at.
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// Opens a transaction up to 354.
    pub async fn data(&mut self, sender: &str) {
        self.say(format!("MAIL FROM:<{sender}>\r\nRCPT TO:<b@there.example>\r\nDATA\r\n")).await;
        for code in ["250", "250", "354"] {
            self.expect(code).await;
        }
    }

    /// The code of the reply to a whole message, dot included in `wire`.
    pub async fn send(&mut self, wire: &[u8]) -> String {
        self.data("a@ours.example").await;
        self.say(wire).await;
        self.expect("").await.remove(0)
    }
}
