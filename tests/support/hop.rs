//! The next hop: takes every message and keeps it, unless it was told to do otherwise.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A message that the hop said 250 to, or would have.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub sender: String,
    pub recipients: Vec<String>,
    pub bytes: Vec<u8>,
    pub at: Instant,
}

/// What the hop does from now on.
#[derive(Default)]
pub struct Manner {
    /// The reply to RCPT for these addresses.
    pub refused: HashMap<String, String>,
    /// The next so many final dots are answered this much later; the message is kept at once.
    pub late: Option<(usize, Duration)>,
    /// What the final dot is answered with instead of 250: then nothing is kept.
    pub dot: Option<String>,
    /// The next so many RCPT and final dots are answered with 451, as a greylisting server does.
    pub greylisted: (usize, usize),
}

/// The hop; cheap to share, ends with its last owner's test.
pub struct Hop {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    arrived: Mutex<Vec<Arrived>>,
    manner: Mutex<Manner>,
    connections: Mutex<Vec<TcpStream>>,
    down: Mutex<bool>,
}

impl Hop {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let listening = Mutex::new(Some(serve(listener, shared.clone())));
        Self { address, shared, listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut lock(&self.shared.manner));
    }

    /// All that arrived so far.
    pub fn arrived(&self) -> Vec<Arrived> {
        lock(&self.shared.arrived).clone()
    }

    /// The messages with this number.
    pub fn with_number(&self, number: impl std::fmt::Display) -> Vec<Arrived> {
        let number = number.to_string();
        self.arrived().into_iter().filter(|arrived| super::number(&arrived.bytes).as_ref() == Some(&number)).collect()
    }

    /// Takes what came from this sender out of what arrived, so that a long run keeps nothing.
    pub fn take_from(&self, sender: &str) -> Vec<Arrived> {
        lock(&self.shared.arrived).extract_if(.., |arrived| arrived.sender == sender).collect()
    }

    /// Waits for a message that fits.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Arrived) -> bool) -> Arrived {
        super::wait_for(what, Duration::from_secs(30), || self.arrived().into_iter().find(&fits))
    }

    /// Closes all connections, and its port.
    pub fn down(&self) {
        *lock(&self.shared.down) = true;
        if let Some(listening) = lock(&self.listening).take() {
            listening.join().expect("the listening thread ends");
        }
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Listens again at the same address.
    pub fn up(&self) {
        *lock(&self.shared.down) = false;
        let listener =
            super::wait_for("the hop's old port", Duration::from_secs(10), || TcpListener::bind(self.address).ok());
        *lock(&self.listening) = Some(serve(listener, self.shared.clone()));
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.down();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    listener.set_nonblocking(true).expect("a socket can be asked without waiting");
    thread::spawn(move || {
        while !*lock(&shared.down) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            let shared = shared.clone();
            // A client that breaks off is what some stories are about.
            thread::spawn(move || converse(stream, &shared).ok());
        }
    })
}

fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    lock(&shared.connections).push(stream.try_clone()?);
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    output.write_all(b"220 hop.example ESMTP\r\n")?;
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-hop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 0".to_string(),
            "MAIL" => {
                (sender, recipients) = (address(&line), Vec::new());
                "250 2.1.0 ok".into()
            }
            "RCPT" => {
                let recipient = address(&line);
                let refused = refusal(&mut lock(&shared.manner), &recipient);
                if refused.is_none() {
                    recipients.push(recipient);
                }
                refused.unwrap_or_else(|| "250 2.1.5 ok".into())
            }
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                let Some(bytes) = content(&mut input)? else { return Ok(()) };
                let arrived =
                    Arrived { sender: sender.clone(), recipients: recipients.clone(), bytes, at: Instant::now() };
                dot(shared, arrived)
            }
            "QUIT" => {
                output.write_all(b"221 2.0.0 bye\r\n")?;
                return Ok(());
            }
            _ => "250 2.0.0 ok".into(),
        };
        output.write_all(format!("{reply}\r\n").as_bytes())?;
    }
}

fn refusal(manner: &mut Manner, recipient: &str) -> Option<String> {
    manner.refused.get(recipient).cloned().or_else(|| put_off(&mut manner.greylisted.0))
}

fn put_off(left: &mut usize) -> Option<String> {
    *left = left.checked_sub(1)?;
    Some("451 4.7.1 Greylisted, try again later".into())
}

/// Keeps a message, and says what the final dot is answered with.
fn dot(shared: &Shared, arrived: Arrived) -> String {
    let mut manner = lock(&shared.manner);
    if let Some(reply) = manner.dot.clone().or_else(|| put_off(&mut manner.greylisted.1)) {
        return reply;
    }
    lock(&shared.arrived).push(arrived);
    let late = match &mut manner.late {
        Some((left, wait)) if *left > 0 => {
            *left -= 1;
            Some(*wait)
        }
        _ => None,
    };
    drop(manner);
    if let Some(wait) = late {
        thread::sleep(wait);
    }
    "250 2.0.0 kept".into()
}

pub(super) fn address(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(address, _)| address).to_string()
}

/// The message up to its final dot, dots undone. None when the client went away before.
pub(super) fn content(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        assert!(line.ends_with(b"\r\n") && !line[..line.len() - 2].contains(&b'\r'), "a bare CR or LF went out");
        if line == b".\r\n" {
            return Ok(Some(bytes));
        }
        bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
