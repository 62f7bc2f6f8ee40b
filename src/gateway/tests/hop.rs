//! A next hop that takes everything and keeps it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

pub(super) struct Hop {
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<String>>>,
}

impl Hop {
    /// Ends with the test's runtime.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = Arc::<Mutex<Vec<String>>>::default();
        let keep = arrived.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, keep.clone()));
            }
        });
        Self { address, arrived }
    }

    /// Waits until so many messages are there, and takes all.
    pub async fn take(&self, least: usize) -> Vec<String> {
        for _ in 0..400 {
            if self.arrived.lock().unwrap().len() >= least {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let arrived = std::mem::take(&mut *self.arrived.lock().unwrap());
        assert!(arrived.len() >= least, "{} of {least} messages arrived", arrived.len());
        arrived
    }
}

#[expect(clippy::disallowed_methods, reason = "the only peer is our own relay")]
async fn serve(stream: TcpStream, arrived: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 hop.example ESMTP\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let reply: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => b"250-hop.example\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") && stream.read_line(&mut message).await? > 0 {}
                arrived.lock().unwrap().push(message);
                b"250 2.0.0 kept\r\n"
            }
            "QUIT" => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        stream.write_all(reply).await?;
        line.clear();
    }
    Ok(())
}
