//! A raw SMTP client: sends what it is told, byte for byte.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

/// A whole reply, lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Reply {
    pub fn is(&self, code: u16, enhanced: &str) -> bool {
        self.code == code && self.text.starts_with(enhanced)
    }
}

pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects, reads the banner, says EHLO and gives what was offered.
    pub fn greet(port: u16) -> (Self, String) {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Self { reader: BufReader::new(stream) };
        let banner = client.reply();
        assert_eq!(banner.code, 220, "{banner:?}");
        let offers = client.command("EHLO client.ours.example");
        assert_eq!(offers.code, 250);
        (client, offers.text)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // A server may close on us in the middle: then the reply that is read next says so.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Code 0: the server closed.
    pub fn reply(&mut self) -> Reply {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return Reply { code: 0, text: format!("{text}(closed)") };
            }
            let line = line.trim_end();
            text.push_str(line.get(4..).unwrap_or_default());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Reply { code: line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0), text };
            }
            text.push('\n');
        }
    }

    /// One message, `sender` and `recipients` with their parameters as they stand. The first reply that is not a yes,
    /// else the one to the final dot. The message is ended with CR LF here, dots are the caller's.
    pub fn hand_in(&mut self, sender: &str, recipients: &[&str], message: &[u8]) -> Reply {
        let mut commands = vec![format!("MAIL FROM:{sender}")];
        commands.extend(recipients.iter().map(|recipient| format!("RCPT TO:{recipient}")));
        commands.push("DATA".into());
        for command in commands {
            let reply = self.command(&command);
            if reply.code >= 400 || reply.code == 0 {
                self.command("RSET");
                return reply;
            }
        }
        self.send(message);
        self.send(b".\r\n");
        self.reply()
    }
}

/// A plain message; `mark` names it.
pub fn letter(mark: &str, text: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@ours.example>\r\nTo: client@elsewhere.example\r\nSubject: {mark}\r\n\
         Date: Mon, 2 Feb 2026 10:00:00 +0000\r\nMessage-ID: <{mark}@ours.example>\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}
