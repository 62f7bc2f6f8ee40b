//! A client that says what it is told to, and waits for each answer.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take: longer than any clock of the gateway in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    stream: BufReader<TcpStream>,
}

/// How far a hand-in came that had no answer.
#[derive(Debug)]
pub enum Tried {
    BeforeDot(io::Error),
    /// The final dot may have left: what became of the message is not known.
    AfterDot(io::Error),
}

impl Client {
    /// Connects, and says EHLO.
    pub fn connect(door: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&door, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream: BufReader::new(stream) };
        let banner = client.answer()?;
        if !banner.starts_with("220") {
            return Err(io::Error::other(banner));
        }
        client.say("EHLO client.ours.example")?;
        Ok(client)
    }

    /// One command, and the whole reply to it.
    pub fn say(&mut self, command: &str) -> io::Result<String> {
        self.write(format!("{command}\r\n").as_bytes())?;
        self.answer()
    }

    /// A whole transaction. The first answer that is no consent, or the one to the final dot.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Result<String, Tried> {
        match self.open(from, to, message).map_err(Tried::BeforeDot)? {
            Some(refused) => Ok(refused),
            None => {
                self.write_message(message).map_err(Tried::AfterDot)?;
                self.answer().map_err(Tried::AfterDot)
            }
        }
    }

    /// DATA and the message, in a transaction that has recipients; the answer to its final dot.
    pub fn finish(&mut self, message: &[u8]) -> io::Result<String> {
        let go_on = self.say("DATA")?;
        if !go_on.starts_with('3') {
            return Ok(go_on);
        }
        self.write_message(message)?;
        self.answer()
    }

    /// A whole transaction, after which the client is gone before it could hear the answer.
    pub fn send_and_drop(mut self, from: &str, to: &[&str], message: &[u8]) {
        let refused = self.open(from, to, message).expect("the door answers");
        assert_eq!(refused, None);
        self.write_message(message).expect("the door takes the message");
    }

    /// Up to the answer to DATA. A refusal on the way is reset, so that the session can go on.
    fn open(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Option<String>> {
        let body = if message.is_ascii() { "" } else { " BODY=8BITMIME" };
        let mut commands = vec![format!("MAIL FROM:<{from}>{body}")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".into());
        for command in commands {
            let answer = self.say(&command)?;
            if !answer.starts_with(['2', '3']) {
                self.say("RSET")?;
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// The message with its dots doubled, and the final dot, in one write.
    fn write_message(&mut self, message: &[u8]) -> io::Result<()> {
        let mut wire = Vec::with_capacity(message.len() + 16);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        if !wire.ends_with(b"\r\n") {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        self.write(&wire)
    }

    /// Bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// What is left when nobody speaks SMTP on it any more.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// The next whole reply.
    pub fn answer(&mut self) -> io::Result<String> {
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(answer.replace("\r\n", "\n").trim_end().to_string());
            }
        }
    }
}

/// One message in a session of its own, with QUIT at its end.
pub fn hand_in(door: SocketAddr, from: &str, to: &[&str], message: &[u8]) -> String {
    let mut client = Client::connect(door).expect("the door is open");
    let answer = client.send(from, to, message).expect("an answer");
    client.say("QUIT").expect("a farewell");
    answer
}
