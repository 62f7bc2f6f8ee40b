//! A mail server as a milter sees it: tells a message piece by piece and makes the changes that it is told to make, as Postfix
//! does. In particular it hides its own Received field, counts it where fields are inserted, and sends folds as bare LF.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// All that version 6 has.
pub const ACTIONS: u32 = 0x1ff;
pub const STEPS: u32 = 0x1f_ffff;
const LEADING_SPACE: u32 = 0x10_0000;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, so changed.
    Accepted(Vec<u8>),
    Discarded,
    /// The reply that the server gives its client.
    Refused(String),
}

pub struct Mta {
    stream: TcpStream,
    version: u32,
    steps: u32,
    /// How often the filter said that it is still at work.
    pub progress: usize,
    /// The writes in which the last answer came.
    pub macros: Vec<(u8, Vec<(&'static str, String)>)>,
}

impl Mta {
    pub fn connect(door: SocketAddr) -> io::Result<Self> {
        Self::speaking(door, 6, ACTIONS, STEPS)
    }

    /// A server of another version, with less to offer.
    pub fn speaking(door: SocketAddr, version: u32, actions: u32, steps: u32) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&door, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut mta = Self { stream, version, steps: 0, progress: 0, macros: Vec::new() };
        let offer = [version, actions, steps].map(u32::to_be_bytes).concat();
        mta.send(b'O', &offer)?;
        let (letter, data) = mta.receive()?;
        assert_eq!(letter, b'O');
        let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        assert_eq!(number(0), version.min(6));
        assert_eq!((number(4) & !actions, number(8) & !steps), (0, 0), "only what was offered");
        mta.steps = number(8);
        let macros = [("client_addr", "192.0.2.77")];
        mta.tell_macros(b'C', &macros)?;
        mta.ask(b'C', b"client.ours.example\x004\x30\x39192.0.2.77\0", 0x1000, 0x01)?;
        mta.ask(b'H', b"client.ours.example\0", 0x2000, 0x02)?;
        Ok(mta)
    }

    pub fn tell_macros(&mut self, stage: u8, macros: &[(&str, &str)]) -> io::Result<()> {
        let mut data = vec![stage];
        for (name, value) in macros {
            let name = if name.len() > 1 { format!("{{{name}}}") } else { (*name).to_string() };
            data.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        self.send(b'D', &data)
    }

    /// A whole message.
    pub fn hand_in(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Outcome> {
        self.hand_in_as(from, to, message, None)
    }

    pub fn hand_in_as(&mut self, from: &str, to: &[&str], message: &[u8], user: Option<&str>) -> io::Result<Outcome> {
        self.tell_macros(b'M', &[("i", "4QUEUE1D"), ("auth_authen", user.unwrap_or_default())])?;
        if let Some(refused) = self.ask(b'M', format!("<{from}>\0").as_bytes(), 0x4000, 0x04)? {
            return Ok(Outcome::Refused(refused));
        }
        for to in to {
            if let Some(refused) = self.ask(b'R', format!("<{to}>\0").as_bytes(), 0x8000, 0x08)? {
                self.send(b'A', b"")?;
                return Ok(Outcome::Refused(refused));
            }
        }
        if self.version >= 4 {
            self.ask(b'T', b"", 0x1_0000, 0x200)?;
        }
        let (header, body) = taken_apart(message);
        for (name, value) in &header {
            let mut value: &str = &value.replace('\r', "");
            if self.steps & LEADING_SPACE == 0 {
                value = value.strip_prefix(' ').unwrap_or(value);
            }
            self.ask(b'L', &from_latin(&format!("{name}\0{value}\0")), 0x80, 0x20)?;
        }
        self.ask(b'N', b"", 0x4_0000, 0x40)?;
        for chunk in body.chunks(65_535) {
            self.ask(b'B', chunk, 0x8_0000, 0x10)?;
        }
        self.send(b'E', b"")?;
        self.end(header, body)
    }

    fn end(&mut self, header: Vec<(String, String)>, body: Vec<u8>) -> io::Result<Outcome> {
        let mut header = [vec![("Received".to_string(), " by the mail server".to_string())], header].concat();
        let mut body = body;
        let mut replaced = false;
        loop {
            let (letter, data) = self.receive()?;
            let strings = |from: usize| {
                let text = to_latin(&data[from..]);
                let mut strings = text.split('\0').map(str::to_owned);
                let (name, value) = (strings.next().unwrap(), strings.next().unwrap());
                let space = if self.steps & LEADING_SPACE == 0 { " " } else { "" };
                (name, if value.is_empty() { value } else { format!("{space}{value}") })
            };
            match letter {
                b'a' | b'c' => {
                    assert_eq!(header.iter().filter(|(_, value)| value == " by the mail server").count(), 1);
                    header.retain(|(_, value)| value != " by the mail server");
                    return Ok(Outcome::Accepted(put_together(&header, &body)));
                }
                b'd' => return Ok(Outcome::Discarded),
                b'y' => return Ok(Outcome::Refused(reply(&data))),
                b'r' | b't' => return Ok(Outcome::Refused((letter as char).to_string())),
                b'p' => self.progress += 1,
                b'h' => header.push(strings(0)),
                b'i' => {
                    let place = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
                    header.insert(place.min(header.len()), strings(4));
                }
                b'm' => {
                    let number = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
                    let (name, value) = strings(4);
                    let named =
                        header.iter().enumerate().skip(1).filter(|(_, field)| field.0.eq_ignore_ascii_case(&name));
                    let place = named.map(|(place, _)| place).nth(number - 1).expect("there is such a field");
                    if value.is_empty() {
                        header.remove(place);
                    } else {
                        header[place].1 = value;
                    }
                }
                b'b' => {
                    if !std::mem::replace(&mut replaced, true) {
                        body.clear();
                    }
                    body.extend_from_slice(&data);
                }
                letter => panic!("a reply that nobody asked for: {}", letter as char),
            }
        }
    }

    /// A command, unless its step was left out, and the reply to it, unless none is awaited.
    fn ask(&mut self, letter: u8, data: &[u8], no_reply: u32, left_out: u32) -> io::Result<Option<String>> {
        if self.steps & left_out != 0 {
            return Ok(None);
        }
        self.send(letter, data)?;
        if self.steps & no_reply != 0 {
            return Ok(None);
        }
        let (letter, data) = self.receive()?;
        match letter {
            b'c' => Ok(None),
            b'y' => Ok(Some(reply(&data))),
            letter => panic!("{}", letter as char),
        }
    }

    pub fn send(&mut self, letter: u8, data: &[u8]) -> io::Result<()> {
        let mut packet = ((data.len() + 1) as u32).to_be_bytes().to_vec();
        packet.push(letter);
        packet.extend_from_slice(data);
        self.stream.write_all(&packet)
    }

    /// Bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut packet)?;
        Ok((packet.remove(0), packet))
    }

    pub fn quit(mut self) -> io::Result<()> {
        self.send(b'Q', b"")?;
        // The filter closes when it has taken note of it.
        self.stream.read_to_end(&mut Vec::new()).map(|_| ())
    }
}

/// As the server's client gets it: percent signs come doubled.
fn reply(data: &[u8]) -> String {
    let text = String::from_utf8(data.strip_suffix(b"\0").unwrap_or(data).to_vec()).unwrap();
    text.replace("%%", "%").replace("\r\n", "\n")
}

/// Byte for byte, so that a header may have any.
fn to_latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| *byte as char).collect()
}

fn from_latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u32 as u8).collect()
}

/// A message as the server would pass it on with no filter: no white space before a colon, an empty line behind the header.
pub fn passed_on(message: &[u8]) -> Vec<u8> {
    let (header, body) = taken_apart(message);
    put_together(&header, &body)
}

fn put_together(header: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in header {
        out.extend_from_slice(&from_latin(&format!("{name}:{}\r\n", value.replace('\n', "\r\n"))));
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// Fields, with LF where they fold, and the body.
fn taken_apart(message: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let mut header: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let text = to_latin(line.strip_suffix(b"\r\n").unwrap_or(line));
        if text.is_empty() {
            at += line.len();
            break;
        }
        if text.starts_with([' ', '\t']) && !header.is_empty() {
            let last = header.last_mut().unwrap();
            last.1 = format!("{}\n{text}", last.1);
        } else {
            let named = text.split_once(':').map(|(name, value)| (name.trim_end(), value));
            let Some((name, value)) =
                named.filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
            else {
                break;
            };
            header.push((name.to_string(), value.to_string()));
        }
        at += line.len();
    }
    (header, message[at..].to_vec())
}
