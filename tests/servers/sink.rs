//! The world behind the servers: takes every message and keeps it. Only CR LF . CR LF ends a message here.

use super::group::eventually;
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A message that arrived.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// What stood behind `MAIL FROM:` and behind each `RCPT TO:`.
    pub sender: String,
    pub recipients: Vec<String>,
    pub bytes: Vec<u8>,
}

impl Kept {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The message's own header.
    pub fn head(&self) -> String {
        self.text().split_inclusive("\r\n").take_while(|line| *line != "\r\n").collect()
    }

    pub fn contains(&self, words: &str) -> bool {
        memchr::memmem::find(&self.bytes, words.as_bytes()).is_some()
    }
}

pub struct Sink {
    pub port: u16,
    kept: Arc<Mutex<Vec<Kept>>>,
    stopped: Arc<AtomicBool>,
}

impl Sink {
    pub fn listen() -> Self {
        Self::listen_at(0)
    }

    pub fn listen_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let sink = Self { port: listener.local_addr().unwrap().port(), kept: Arc::default(), stopped: Arc::default() };
        let (kept, stopped) = (sink.kept.clone(), sink.stopped.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let kept = kept.clone();
                // A client that breaks off is seen by what does not arrive.
                thread::spawn(move || converse(stream, &kept).ok());
            }
        });
        sink
    }

    pub fn kept(&self) -> Vec<Kept> {
        self.kept.lock().unwrap().clone()
    }

    /// Those with these words in their bytes.
    pub fn with(&self, words: &str) -> Vec<Kept> {
        self.kept.lock().unwrap().iter().filter(|kept| kept.contains(words)).cloned().collect()
    }

    /// Those with this subject: not those that a bounce or a notice quotes.
    pub fn titled(&self, subject: &str) -> Vec<Kept> {
        let line = format!("Subject: {subject}\r\n");
        self.with(&line).into_iter().filter(|kept| kept.head().contains(&line)).collect()
    }

    /// Waits for the first message with these words.
    pub fn expect(&self, words: &str, seconds: u64) -> Kept {
        eventually(&format!("a message with {words:?} arrives"), seconds, || !self.with(words).is_empty());
        self.with(words).remove(0)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn converse(mut stream: TcpStream, kept: &Mutex<Vec<Kept>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.write_all(b"220 world.example ESMTP\r\n")?;
    let mut waiting = Vec::new();
    let mut message = Kept::default();
    loop {
        let line = take_to(&mut stream, &mut waiting, b"\r\n")?;
        let line = String::from_utf8_lossy(&line).trim_end().to_string();
        let reply = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => {
                "250-world.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n\
                       250 ENHANCEDSTATUSCODES\r\n"
            }
            "MAIL" => {
                message = Kept { sender: line["MAIL FROM:".len()..].to_string(), ..Kept::default() };
                "250 2.1.0 ok\r\n"
            }
            "RCPT" => {
                message.recipients.push(line["RCPT TO:".len()..].to_string());
                "250 2.1.5 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                message.bytes = content(&mut stream, &mut waiting)?;
                kept.lock().unwrap().push(std::mem::take(&mut message));
                "250 2.0.0 kept\r\n"
            }
            "QUIT" => return stream.write_all(b"221 2.0.0 bye\r\n"),
            _ => "250 2.0.0 ok\r\n",
        };
        stream.write_all(reply.as_bytes())?;
    }
}

/// To the final dot, unstuffed.
fn content(stream: &mut TcpStream, waiting: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut bytes = b"\r\n".to_vec();
    bytes.append(waiting);
    *waiting = bytes;
    let mut raw = take_to(stream, waiting, b"\r\n.\r\n")?;
    raw.truncate(raw.len() - b".\r\n".len());
    let mut unstuffed = Vec::with_capacity(raw.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(&raw, b"\r\n.") {
        unstuffed.extend_from_slice(&raw[from..at + 2]);
        from = at + 3;
    }
    unstuffed.extend_from_slice(&raw[from..]);
    Ok(unstuffed.split_off(b"\r\n".len()))
}

fn take_to(stream: &mut TcpStream, waiting: &mut Vec<u8>, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut seen = 0;
    loop {
        if let Some(at) = memchr::memmem::find(&waiting[seen..], end) {
            let behind = waiting.split_off(seen + at + end.len());
            return Ok(std::mem::replace(waiting, behind));
        }
        seen = waiting.len().saturating_sub(end.len() - 1);
        let mut chunk = [0; 65536];
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => waiting.extend_from_slice(&chunk[..count]),
        }
    }
}
