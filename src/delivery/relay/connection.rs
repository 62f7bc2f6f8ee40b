//! One connection to the next hop: commands out, replies in.

use super::{failure::Lost, offers::Offers};
use crate::{
    intake::{Credentials, Stream},
    mail::wire::{Reply, ReplyParser, WireBody},
};
use std::{future::poll_fn, io::ErrorKind, pin::Pin, sync::Arc, task::Poll};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Replies come in groups of a few hundred bytes.
const READ: usize = 4 << 10;

/// Body pieces below this are gathered into one write; larger ones go out from where they lie.
const GATHER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    parser: ReplyParser,
    read: Box<[u8; READ]>,
    /// What of `read` is not used yet.
    unused: std::ops::Range<usize>,
    /// Commands on their way out.
    out: Vec<u8>,
    pub offers: Offers,
    /// The hop's certificate was checked.
    pub verified: bool,
    /// Whose it is: it serves no other identity.
    pub identity: Option<Arc<Credentials>>,
    /// Transactions that went over it.
    pub uses: u32,
    /// A transaction was left unfinished: RSET goes in front of the next one.
    pub owes_reset: bool,
    pub idle_since: Instant,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            parser: ReplyParser::new(),
            read: Box::new([0; READ]),
            unused: 0..0,
            out: Vec::new(),
            offers: Offers::default(),
            verified: false,
            identity: None,
            uses: 0,
            owes_reset: false,
            idle_since: Instant::now(),
        }
    }

    /// The socket alone, for the handshake. Nothing may be left unread: those bytes would have come in clear.
    pub fn into_clear(self) -> Option<TcpStream> {
        let in_step = self.is_in_step();
        match self.stream {
            Stream::Clear(stream) if in_step => Some(stream),
            _ => None,
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Where commands are written to, before `flush` sends them in one go.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub async fn flush(&mut self, until: Instant) -> Result<(), Lost> {
        let writing = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        let written = within(until, writing).await;
        self.out.clear();
        written
    }

    /// The next reply.
    pub async fn reply(&mut self, until: Instant) -> Result<Reply, Lost> {
        loop {
            let (used, reply) = self.parser.push(&self.read[self.unused.clone()])?;
            self.unused.start += used;
            if let Some(reply) = reply {
                return Ok(reply);
            }
            let length = within(until, self.stream.read(&mut self.read[..])).await?;
            if length == 0 {
                return Err(Lost::Closed(ErrorKind::UnexpectedEof));
            }
            self.unused = 0..length;
        }
    }

    /// The answer to EHLO, with all its lines.
    pub async fn ehlo_reply(&mut self, until: Instant) -> Result<Reply, Lost> {
        self.parser = ReplyParser::for_ehlo();
        let reply = self.reply(until).await;
        self.parser = ReplyParser::new();
        reply
    }

    /// One command and its reply.
    pub async fn exchange(&mut self, command: &[u8], until: Instant) -> Result<Reply, Lost> {
        self.out.extend_from_slice(command);
        self.flush(until).await?;
        self.reply(until).await
    }

    /// The message and the dot behind it. An error means that the last bytes did not go, so the hop cannot have
    /// seen the end of data.
    pub async fn send_body(&mut self, body: &WireBody<'_>, until: Instant) -> Result<(), Lost> {
        let Self { stream, out, .. } = self;
        out.clear();
        let writing = async {
            for piece in body.pieces() {
                if out.len() + piece.len() > GATHER && !out.is_empty() {
                    stream.write_all(out).await?;
                    out.clear();
                }
                if piece.len() > GATHER {
                    stream.write_all(piece).await?;
                } else {
                    out.extend_from_slice(piece);
                }
            }
            stream.write_all(out).await?;
            stream.flush().await
        };
        let written = within(until, writing).await;
        self.out.clear();
        written
    }

    /// Whether no reply was read that nobody asked for.
    pub fn is_in_step(&self) -> bool {
        self.unused.is_empty() && !self.parser.is_amid()
    }

    /// Whether nothing came that was not asked for: a close, or the 421 in front of one, while it lay unused.
    pub async fn is_quiet(&mut self) -> bool {
        if !self.is_in_step() {
            return false;
        }
        let mut byte = [0];
        poll_fn(|cx| {
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut byte));
            Poll::Ready(matches!(read, Poll::Pending))
        })
        .await
    }

    /// Says good-bye; the hop's answer is of no interest (RFC 5321 4.1.1.10).
    pub async fn quit(mut self, until: Instant) {
        if self.exchange(b"QUIT\r\n", until).await.is_ok() {
            let _ = within(until, self.stream.shutdown()).await;
        }
    }
}

async fn within<T>(until: Instant, io: impl Future<Output = std::io::Result<T>>) -> Result<T, Lost> {
    match timeout_at(until, io).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Lost::Closed(error.kind())),
        Err(_) => Err(Lost::Silent),
    }
}
