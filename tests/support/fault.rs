//! A next hop that misbehaves when it is told to: once, at one step, in one way; then it is good again.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Where in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Banner,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// The reply to the final dot.
    Dot,
}

/// What it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens.
    Refuse,
    /// Says this; 421 closes.
    Say(Step, &'static str),
    /// Closes instead of a reply.
    Close(Step),
    /// Begins a line, and closes.
    Half(Step),
    /// A reply with this code, of a million bytes.
    Huge(Step, u16),
    /// A good reply, byte by byte.
    Drip(Step),
    /// Closes within the message.
    Amid,
    /// Replies to the final dot so much later.
    Late(Duration),
}

/// The sink. Ends with its owner's test.
pub struct FaultySink {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    fault: Mutex<Option<Fault>>,
    arrived: Mutex<Vec<(Option<String>, Vec<String>)>>,
    connections: Mutex<Vec<TcpStream>>,
    down: Mutex<bool>,
}

impl FaultySink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let listening = Mutex::new(Some(listen(listener, shared.clone())));
        Self { address, shared, listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next session on, until it happened; open sessions end.
    pub fn misbehave(&self, fault: Fault) {
        self.end_sessions();
        *lock(&self.shared.fault) = Some(fault);
        if fault == Fault::Refuse {
            self.down();
            // One may have come in between.
            self.end_sessions();
        }
    }

    fn end_sessions(&self) {
        let connections: Vec<_> = lock(&self.shared.connections).drain(..).collect();
        for connection in connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// What has not happened yet will not.
    pub fn behave(&self) {
        let fault = lock(&self.shared.fault).take();
        if fault == Some(Fault::Refuse) {
            *lock(&self.shared.down) = false;
            let listener =
                super::wait_for("the old port", Duration::from_secs(10), || TcpListener::bind(self.address).ok());
            *lock(&self.listening) = Some(listen(listener, self.shared.clone()));
        }
    }

    /// How often the message with this number was taken, with or without a word.
    pub fn copies(&self, number: &str) -> usize {
        self.recipients(number).len()
    }

    /// To whom, for each copy.
    pub fn recipients(&self, number: &str) -> Vec<Vec<String>> {
        let arrived = lock(&self.shared.arrived);
        let of_number = arrived.iter().filter(|(found, _)| found.as_deref() == Some(number));
        of_number.map(|(_, recipients)| recipients.clone()).collect()
    }

    fn down(&self) {
        *lock(&self.shared.down) = true;
        if let Some(listening) = lock(&self.listening).take() {
            listening.join().expect("the listening thread ends");
        }
    }
}

impl Drop for FaultySink {
    fn drop(&mut self) {
        self.down();
        self.end_sessions();
    }
}

fn listen(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    listener.set_nonblocking(true).expect("a socket can be asked without waiting");
    thread::spawn(move || {
        while !*lock(&shared.down) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            let shared = shared.clone();
            // Known before it speaks, so that whoever ends all sessions ends this one.
            lock(&shared.connections).extend(stream.try_clone());
            thread::spawn(move || Session::converse(stream, &shared).ok());
        }
    })
}

/// One conversation. An error ends it: the connection closes.
struct Session<'s> {
    output: TcpStream,
    shared: &'s Shared,
}

impl Session<'_> {
    fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut session = Session { output: stream.try_clone()?, shared };
        let ended = session.obey(&mut BufReader::new(&stream));
        let _ = stream.shutdown(Shutdown::Both);
        ended
    }

    fn obey(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        self.reply(Step::Banner, "220 hop.example ESMTP")?;
        let mut recipients = Vec::new();
        let mut refused = false;
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
                "EHLO" => self.reply(Step::Ehlo, "250-hop.example\r\n250-PIPELINING\r\n250 8BITMIME")?,
                "MAIL" => {
                    recipients = Vec::new();
                    refused = !self.reply_is_good(Step::Mail, "250 2.1.0 ok")?;
                }
                "RCPT" if refused => self.say("503 5.5.1 no sender")?,
                "RCPT" => {
                    let recipient = super::hop::address(&line);
                    let own = match recipient.split('.').next() {
                        Some("no") => "550 5.1.1 unknown",
                        Some("later") => "450 4.2.0 later",
                        _ => "250 2.1.5 ok",
                    };
                    if self.reply_is_good(Step::Rcpt, own)? {
                        recipients.push(recipient);
                    }
                }
                "DATA" if recipients.is_empty() => self.say("503 5.5.1 no recipients")?,
                "DATA" => {
                    if self.reply_is_good(Step::Data, "354 go on")? {
                        self.content(input, std::mem::take(&mut recipients))?;
                    }
                }
                "QUIT" => return self.say("221 2.0.0 bye"),
                _ => self.say("250 2.0.0 ok")?,
            }
        }
    }

    fn content(&mut self, input: &mut impl BufRead, recipients: Vec<String>) -> io::Result<()> {
        if self.takes(|fault| fault == Fault::Amid).is_some() {
            // In the middle of the client's writing: what is unread makes it a reset.
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let Some(bytes) = super::hop::content(input)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let refuses = |fault: Fault| match fault {
            Fault::Say(Step::Dot, reply) => reply.starts_with(['4', '5']),
            Fault::Huge(Step::Dot, _) => true,
            _ => false,
        };
        if !lock(&self.shared.fault).is_some_and(refuses) {
            lock(&self.shared.arrived).push((super::number(&bytes), recipients));
        }
        if let Some(Fault::Late(wait)) = self.takes(|fault| matches!(fault, Fault::Late(_))) {
            let until = std::time::Instant::now() + wait;
            while std::time::Instant::now() < until && !*lock(&self.shared.down) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.reply(Step::Dot, "250 2.0.0 kept")
    }

    /// The fault, if it is this one: it happens now, and not again.
    fn takes(&self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        lock(&self.shared.fault).take_if(|fault| wanted(*fault))
    }

    fn reply(&mut self, step: Step, good: &str) -> io::Result<()> {
        self.reply_is_good(step, good).map(|_| ())
    }

    /// Whether the reply that was given lets the session go on.
    fn reply_is_good(&mut self, step: Step, good: &str) -> io::Result<bool> {
        let here = |fault: Fault| match fault {
            Fault::Say(at, _) | Fault::Close(at) | Fault::Half(at) | Fault::Huge(at, _) | Fault::Drip(at) => at == step,
            Fault::Refuse | Fault::Amid | Fault::Late(_) => false,
        };
        let closed = || io::Error::from(io::ErrorKind::ConnectionAborted);
        match self.takes(here) {
            Some(Fault::Say(_, reply)) => {
                self.say(reply)?;
                if reply.starts_with("421") { Err(closed()) } else { Ok(false) }
            }
            Some(Fault::Close(_)) => Err(closed()),
            Some(Fault::Half(_)) => {
                self.output.write_all(&good.as_bytes()[..2])?;
                Err(closed())
            }
            Some(Fault::Huge(_, code)) => {
                let line = format!("{code}-5.7.1 {}\r\n", "x".repeat(900));
                self.say(&format!("{}{code} 5.7.1 end", line.repeat(1_000_000 / line.len())))?;
                Ok(false)
            }
            Some(Fault::Drip(_)) => {
                for byte in format!("{good}\r\n").bytes() {
                    self.output.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(true)
            }
            _ => {
                self.say(good)?;
                Ok(good.starts_with(['2', '3']))
            }
        }
    }

    fn say(&mut self, reply: &str) -> io::Result<()> {
        self.output.write_all(format!("{reply}\r\n").as_bytes())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
