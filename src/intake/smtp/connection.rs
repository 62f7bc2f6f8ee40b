//! The bytes of one connection: what came and was not yet used, what waits to be sent.

use super::tls::{Secured, ServerTls};
use crate::{
    intake::Stream,
    mail::wire::{Command, CommandError, LineSplitter, Reply, Split},
    sensitive::Sensitive,
};
use std::{io, mem::MaybeUninit, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

/// Room for the commands of a transaction. Small, since 10,000 idle connections have it each.
const IDLE_ROOM: usize = 8 << 10;

/// As far as the room grows for a client that fills it.
const MOST_ROOM: usize = 64 << 10;

/// How long a client may leave our replies unread.
const WRITE_WAIT: Duration = Duration::from_secs(60);

/// What we still take from a client before we hang up, so that it can read our last reply: closing a socket that has
/// unread bytes makes the kernel throw the reply away.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 1 << 20;

pub(super) struct Connection {
    stream: Stream,
    input: Vec<u8>,
    /// How much of `input` was used.
    used: usize,
    /// The last read took all the room: there is more, and a larger room takes it in fewer reads.
    filled: bool,
    output: Vec<u8>,
    splitter: LineSplitter,
}

/// One line of the client.
#[derive(Debug)]
pub(super) enum Heard {
    Command(Command),
    Wrong(CommandError),
    TooLong,
    Malformed,
}

/// One line that is no command.
pub(super) enum Said {
    Text(Sensitive<String>),
    TooLong,
    Malformed,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        let splitter = LineSplitter::new(LineSplitter::COMMAND);
        Self { stream: Stream::Clear(stream), input: Vec::new(), used: 0, filled: false, output: Vec::new(), splitter }
    }

    /// What came and was not yet used.
    pub fn waiting(&self) -> &[u8] {
        &self.input[self.used..]
    }

    pub fn consume(&mut self, bytes: usize) {
        self.used += bytes;
        debug_assert!(self.used <= self.input.len());
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
    }

    /// The next command, if its line is here.
    pub fn next_command(&mut self) -> Option<Heard> {
        let (heard, consumed) = match self.splitter.split(&self.input[self.used..]) {
            Split::Line { line, consumed } => {
                (Some(Command::parse(line).map_or_else(Heard::Wrong, Heard::Command)), consumed)
            }
            Split::TooLong { consumed } => (Some(Heard::TooLong), consumed),
            Split::Malformed { consumed } => (Some(Heard::Malformed), consumed),
            Split::More { consumed } => (None, consumed),
        };
        self.consume(consumed);
        heard
    }

    /// The next line, if it is here, as an answer to what we asked.
    pub fn next_said(&mut self) -> Option<Said> {
        let (said, consumed) = match self.splitter.split(&self.input[self.used..]) {
            Split::Line { line, consumed } => {
                (Some(Said::Text(String::from_utf8_lossy(line).into_owned().into())), consumed)
            }
            Split::TooLong { consumed } => (Some(Said::TooLong), consumed),
            Split::Malformed { consumed } => (Some(Said::Malformed), consumed),
            Split::More { consumed } => (None, consumed),
        };
        self.consume(consumed);
        said
    }

    /// Whether the client has sent more than we have used. Looks into the kernel too, without waiting.
    pub fn has_more(&self) -> bool {
        if !self.waiting().is_empty() {
            return true;
        }
        let socket = match &self.stream {
            Stream::Clear(socket) => socket,
            Stream::Tls(stream) => {
                let (socket, session) = stream.get_ref();
                // Decrypted and not read yet.
                if !session.wants_read() {
                    return true;
                }
                socket
            }
            Stream::Ended => return false,
        };
        let mut peeked = [MaybeUninit::uninit(); 1];
        socket2::SockRef::from(socket).peek(&mut peeked).is_ok_and(|bytes| bytes > 0)
    }

    /// The handshake, from our answer to STARTTLS or from the first byte. Nothing that was read in clear is left: it
    /// would be taken for what the client said under TLS (CVE-2011-0411).
    pub async fn secure(&mut self, tls: &ServerTls, limit: Duration) -> io::Result<Secured> {
        let Stream::Clear(socket) = std::mem::replace(&mut self.stream, Stream::Ended) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        (self.input, self.used, self.filled) = (Vec::new(), 0, false);
        self.splitter = LineSplitter::new(LineSplitter::COMMAND);
        // On the heap: the state of a handshake is large, and idle sessions must be small.
        let (stream, secured) = Box::pin(tls.shake_hands(socket, limit)).await?;
        self.stream = Stream::Tls(Box::new(stream.into()));
        Ok(secured)
    }

    /// Waits for more. The number of bytes that came, 0 when the client has closed. May be dropped while it waits.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.input.drain(..self.used);
        self.used = 0;
        let (room, used) = (self.input.capacity(), self.input.len());
        if used == room || self.filled {
            let larger = (2 * room).clamp(IDLE_ROOM, MOST_ROOM).max(used + IDLE_ROOM);
            self.input.reserve_exact(larger - used);
        }
        let bytes = self.stream.read_buf(&mut self.input).await?;
        self.filled = self.input.len() == self.input.capacity();
        Ok(bytes)
    }

    /// Gives back what an idle connection does not need.
    pub fn shrink(&mut self) {
        if self.waiting().is_empty() && self.input.capacity() > IDLE_ROOM {
            (self.input, self.used, self.filled) = (Vec::new(), 0, false);
        }
        if self.output.is_empty() && self.output.capacity() > IDLE_ROOM {
            self.output = Vec::new();
        }
    }

    pub fn reply(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }

    /// For replies that are written by hand.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends all replies that wait, in one write.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let writing = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_WAIT, writing).await {
            Ok(written) => written?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.output.clear();
        Ok(())
    }

    /// Sends what waits, as far as the client takes it now, and is gone.
    pub async fn drop_at_once(mut self) {
        // Whoever does not take a single line at once gets none.
        let _ = timeout(Duration::ZERO, self.flush()).await;
    }

    /// Sends what waits and hangs up. Whether the client closed its side in order, having read all.
    pub async fn close(mut self) -> bool {
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return false;
        }
        self.input = vec![0; IDLE_ROOM];
        let (until, mut left) = (Instant::now() + FAREWELL, FAREWELL_BYTES);
        loop {
            match timeout_at(until, self.stream.read(&mut self.input)).await {
                Ok(Ok(0)) => return true,
                Ok(Ok(bytes)) if bytes < left => left -= bytes,
                _ => return false,
            }
        }
    }
}
