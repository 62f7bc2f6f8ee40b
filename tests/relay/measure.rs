//! How fast the relay client is by itself. Run by hand: `cargo test --release --test relay -- --ignored measure`.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const CLIENTS: usize = 16;
const EACH: usize = 2_000;

/// Answers as a fast hop does, without looking at more than it must.
async fn sink(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"220 hop\r\n").await.unwrap();
    let (mut chunk, mut in_message) = (vec![0; 64 << 10], false);
    loop {
        let length = stream.read(&mut chunk).await.unwrap_or(0);
        let reply: &[u8] = match &chunk[..length] {
            [] => return,
            read if in_message && !read.ends_with(b"\r\n.\r\n") => continue,
            _ if std::mem::take(&mut in_message) => b"250 queued\r\n",
            [b'E', ..] => b"250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            [b'M', ..] => b"250 ok\r\n250 ok\r\n",
            [b'D', ..] => {
                in_message = true;
                b"354 go\r\n"
            }
            _ => b"221 bye\r\n",
        };
        stream.write_all(reply).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_small_messages() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(sink(stream));
        }
    });
    let relay = Relay::new(RelaySettings::new(address, TlsMode::None, "gate.example")).unwrap();
    let message = Arc::new(
        "a line of seventy-two bytes or so, as they are usual in an ordinary mail\r\n".repeat(55).into_bytes(),
    );
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (relay, message) = (relay.clone(), message.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let (transaction, _) = begun(&relay).await;
                    let outgoing = Outgoing::bytes(Arc::from(&b"Received: by gate.example\r\n"[..]), message.clone());
                    assert_eq!(code(&transaction.send(outgoing, in_seconds(10)).await), 250);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let rate = (CLIENTS * EACH) as f64 / started.elapsed().as_secs_f64();
    eprintln!("{rate:.0} messages/s over {CLIENTS} connections, client and sink in one process");
}
