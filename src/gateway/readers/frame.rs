//! What is said between the gateway and a reader: a byte for the kind, a length of four bytes, and so many bytes. The reader
//! is not trusted: what it sends is bounded, in length and in number.

use crate::{
    detect::inside::{Item, Note},
    mail::UnreadReason,
};
use std::io::{self, Read, Write};

/// A piece of text with its path; the readers cut earlier.
const LONGEST: usize = 4 << 20;
/// Above what a door takes.
const LARGEST_CONTENT: usize = 64 << 20;

pub(super) enum Hello {
    Confined { landlock: bool },
    NoSeccomp,
}

pub(super) enum Answer {
    Item(Item),
    End,
    /// It has panicked, and ends.
    Crashed,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Late,
    Gone,
    Nonsense,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failed::Late,
            _ => Failed::Gone,
        }
    }
}

const CONFINED: u8 = b'c';
const ONLY_SECCOMP: u8 = b's';
const NOT_CONFINED: u8 = b'n';
const CONTENT: u8 = b'C';
const TEXT: u8 = b'T';
const NAME: u8 = b'N';
const UNREAD: u8 = b'U';
const NOTE: u8 = b'O';
const END: u8 = b'E';
const CRASHED: u8 = b'X';

const REASONS: [UnreadReason; 8] = [
    UnreadReason::Encrypted,
    UnreadReason::TooLarge,
    UnreadReason::TooDeep,
    UnreadReason::TooMany,
    UnreadReason::Time,
    UnreadReason::Damaged,
    UnreadReason::UnknownFormat,
    UnreadReason::Crashed,
];

const NOTES: [Note; 11] = [
    Note::Executable,
    Note::Macro,
    Note::Image,
    Note::Video,
    Note::TrailingData,
    Note::Polyglot,
    Note::EncryptedZip,
    Note::EncryptedOffice,
    Note::EncryptedPdf,
    Note::EncryptedArchive,
    Note::Restricted,
];

fn send(stream: &mut impl Write, kind: u8, path: &str, rest: &[u8]) -> io::Result<()> {
    let length = 2 + path.len() + rest.len();
    let mut frame = Vec::with_capacity(5 + length);
    frame.push(kind);
    frame.extend(u32::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?.to_le_bytes());
    frame.extend(u16::try_from(path.len()).map_err(|_| io::ErrorKind::FileTooLarge)?.to_le_bytes());
    frame.extend(path.as_bytes());
    frame.extend(rest);
    stream.write_all(&frame)
}

fn receive(stream: &mut impl Read, longest: usize) -> Result<(u8, Vec<u8>), Failed> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > longest {
        return Err(Failed::Nonsense);
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok((head[0], bytes))
}

pub(super) fn say_hello(stream: &mut impl Write, hello: &Hello) -> io::Result<()> {
    let kind = match hello {
        Hello::Confined { landlock: true } => CONFINED,
        Hello::Confined { landlock: false } => ONLY_SECCOMP,
        Hello::NoSeccomp => NOT_CONFINED,
    };
    send(stream, kind, "", b"")
}

pub(super) fn hello(stream: &mut impl Read) -> Result<Hello, Failed> {
    match receive(stream, 16)?.0 {
        CONFINED => Ok(Hello::Confined { landlock: true }),
        ONLY_SECCOMP => Ok(Hello::Confined { landlock: false }),
        NOT_CONFINED => Ok(Hello::NoSeccomp),
        _ => Err(Failed::Nonsense),
    }
}

/// The content goes without a copy.
pub(super) fn ask(stream: &mut impl Write, content: &[u8]) -> Result<(), Failed> {
    let length = u32::try_from(content.len()).map_err(|_| Failed::Nonsense)?;
    stream.write_all(&[CONTENT])?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(content)?;
    Ok(())
}

/// None: nobody asks any more.
pub(super) fn asked(stream: &mut impl Read) -> Option<Vec<u8>> {
    match receive(stream, LARGEST_CONTENT) {
        Ok((CONTENT, content)) => Some(content),
        _ => None,
    }
}

pub(super) fn tell(stream: &mut impl Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Item(Item::Text { path, text }) => send(stream, TEXT, path, text.as_bytes()),
        Answer::Item(Item::Name { path, name }) => send(stream, NAME, path, name.as_bytes()),
        Answer::Item(Item::Unread { path, reason }) => send(stream, UNREAD, path, &[place(&REASONS, reason)]),
        Answer::Item(Item::Note { path, note }) => send(stream, NOTE, path, &[place(&NOTES, note)]),
        Answer::End => send(stream, END, "", b""),
        Answer::Crashed => send(stream, CRASHED, "", b""),
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|known| known == one).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

pub(super) fn answer(stream: &mut impl Read) -> Result<Answer, Failed> {
    let (kind, bytes) = receive(stream, LONGEST)?;
    let split = || {
        let length = usize::from(u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]));
        let path = String::from_utf8(bytes.get(2..2 + length)?.to_vec()).ok()?;
        let clean = !path.chars().any(char::is_control);
        clean.then_some((path, &bytes[2 + length..]))
    };
    let (path, rest) = split().ok_or(Failed::Nonsense)?;
    let text = || String::from_utf8(rest.to_vec()).map_err(|_| Failed::Nonsense);
    let known = || rest.first().map(|at| usize::from(*at)).ok_or(Failed::Nonsense);
    let item = match kind {
        TEXT => Item::Text { path, text: text()? },
        NAME => Item::Name { path, name: text()? },
        UNREAD => Item::Unread { path, reason: *REASONS.get(known()?).ok_or(Failed::Nonsense)? },
        NOTE => Item::Note { path, note: *NOTES.get(known()?).ok_or(Failed::Nonsense)? },
        END => return Ok(Answer::End),
        CRASHED => return Ok(Answer::Crashed),
        _ => return Err(Failed::Nonsense),
    };
    Ok(Answer::Item(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(item: Item) -> Result<Answer, Failed> {
        let mut bytes = Vec::new();
        tell(&mut bytes, &Answer::Item(item)).unwrap();
        answer(&mut &bytes[..])
    }

    #[test]
    fn what_is_told_arrives() {
        let path = || "b.zip/é.docx".to_string();
        let mut all = vec![
            Item::Text { path: path(), text: "QQ 12 34 56 C".into() },
            Item::Name { path: String::new(), name: "x".into() },
        ];
        all.extend(REASONS.map(|reason| Item::Unread { path: path(), reason }));
        all.extend(NOTES.map(|note| Item::Note { path: path(), note }));
        for item in all {
            match through(item.clone()) {
                Ok(Answer::Item(arrived)) => assert_eq!(arrived, item),
                _ => panic!("{item:?}"),
            }
        }
    }

    #[test]
    fn nonsense_is_not_believed() {
        let refused = |bytes: &[u8]| match answer(&mut &bytes[..]) {
            Err(failed) => failed,
            Ok(_) => panic!("{bytes:?}"),
        };
        assert_eq!(refused(b"T\xFF\xFF\xFF\xFF"), Failed::Nonsense);
        assert_eq!(refused(b"T\x02\0\0\0\x05\0"), Failed::Nonsense);
        assert_eq!(refused(b"T\x03\0\0\0\0\0\xFF"), Failed::Nonsense);
        assert_eq!(refused(b"U\x03\0\0\0\0\0\x63"), Failed::Nonsense);
        assert_eq!(refused(b"T\x03\0\0\0\x01\0\x07"), Failed::Nonsense, "a control character in a path");
        assert_eq!(refused(b"?\x02\0\0\0\0\0"), Failed::Nonsense);
        assert_eq!(refused(b"T\x09\0\0\0\0"), Failed::Gone);
    }
}
