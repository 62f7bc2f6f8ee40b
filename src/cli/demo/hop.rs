//! The demo's own next hop: an SMTP server on loopback that takes every message and keeps it in memory.

use crate::mail::wire::{Command, DataDecoder, LineEndings, LineSplitter, Reply, Split};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A message that reached the hop, as it came.
pub type Arrived = Vec<u8>;

/// The hop: cheap to clone, ends with the runtime.
#[derive(Clone, Default)]
pub struct Hop {
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Hop {
    /// Listens on a free port of loopback.
    pub async fn listen() -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let hop = Self::default();
        let serving = hop.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let hop = serving.clone();
                // A client that breaks off is its own fault; the demo's table shows what did not arrive.
                tokio::spawn(async move { hop.serve(stream).await.ok() });
            }
        });
        Ok((hop, address))
    }

    /// All that arrived since the last call.
    pub fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut session = Session::default();
        let mut replies = Vec::new();
        Reply::plain(220, "demo.example ESMTP the demo's next hop").write_to(&mut replies);
        let mut buffer = Vec::new();
        loop {
            stream.write_all(&replies).await?;
            replies.clear();
            if session.ended || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            let mut more = true;
            while more {
                more = session.step(&mut buffer, &mut replies);
                if let Some(message) = session.finished.take() {
                    self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                }
            }
        }
    }
}

#[derive(Default)]
struct Session {
    data: Option<(DataDecoder, Vec<u8>)>,
    finished: Option<Arrived>,
    ended: bool,
}

impl Session {
    /// Takes one command, or what there is of DATA, from the buffer. False when more must be read first.
    fn step(&mut self, buffer: &mut Vec<u8>, replies: &mut Vec<u8>) -> bool {
        if let Some((decoder, bytes)) = &mut self.data {
            let decoded = decoder.decode(buffer, bytes);
            buffer.drain(..decoded.consumed);
            if !decoded.ended {
                return false;
            }
            self.finished = self.data.take().map(|(_, bytes)| bytes);
            Reply::new(250, (2, 0, 0), "kept").write_to(replies);
            return !buffer.is_empty();
        }
        let (reply, consumed) = match LineSplitter::new(LineSplitter::COMMAND).split(buffer) {
            Split::Line { line, consumed } => (self.command(line), consumed),
            Split::More { .. } => return false,
            Split::TooLong { consumed } | Split::Malformed { consumed } => {
                (Reply::new(500, (5, 5, 2), "not a command line"), consumed)
            }
        };
        buffer.drain(..consumed);
        reply.write_to(replies);
        !buffer.is_empty()
    }

    fn command(&mut self, line: &[u8]) -> Reply {
        match Command::parse(line) {
            Ok(Command::Ehlo(_)) => {
                Reply::plain(250, "demo.example\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES")
            }
            Ok(Command::Data) => {
                self.data = Some((DataDecoder::new(LineEndings::default()), Vec::new()));
                Reply::plain(354, "go on")
            }
            Ok(Command::Quit) => {
                self.ended = true;
                Reply::new(221, (2, 0, 0), "bye")
            }
            Ok(_) => Reply::new(250, (2, 0, 0), "ok"),
            Err(error) => error.reply(),
        }
    }
}
