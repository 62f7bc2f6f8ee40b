//! What a mail server tells a filter.

use super::{Offer, Packet};

/// One command. Bytes are as the server sent them; strings without their NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Negotiate(Offer),
    /// Values of names, for the stage whose letter this is; they stand before the command itself.
    Macros {
        stage: u8,
        macros: Macros<'a>,
    },
    /// A client has connected to the server. `address` is empty for an unknown family.
    Connect {
        host: &'a [u8],
        family: Family,
        port: u16,
        address: &'a [u8],
    },
    Helo(&'a [u8]),
    /// With angle brackets, as in the SMTP command; then its parameters.
    Mail {
        path: &'a [u8],
        parameters: Vec<&'a [u8]>,
    },
    Rcpt {
        path: &'a [u8],
        parameters: Vec<&'a [u8]>,
    },
    Data,
    /// A line break in the value is LF alone.
    Header {
        name: &'a [u8],
        value: &'a [u8],
    },
    EndOfHeader,
    Body(&'a [u8]),
    /// With the last of the body, or without.
    EndOfBody(&'a [u8]),
    /// The message is over before its end; the connection of the client goes on.
    Abort,
    Quit,
    /// As `Quit`, but another client comes on this connection.
    QuitNewConnection,
    /// A command of the client that the server does not know.
    Unknown(&'a [u8]),
}

/// How the client has reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Unknown,
    Unix,
    V4,
    V6,
}

/// Names and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Macros<'a>(&'a [u8]);

/// Why a packet is no command. The server's fault; nothing behind it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("a letter that is no command")]
    Letter,
    #[error("data that does not fit its command")]
    Data,
}

impl<'a> Command<'a> {
    pub fn read(packet: &Packet<'a>) -> Result<Self, CommandError> {
        let data = packet.data;
        let alone = |command: Self| if data.is_empty() { Ok(command) } else { Err(CommandError::Data) };
        match packet.letter {
            b'O' => Offer::read(data).map(Self::Negotiate).ok_or(CommandError::Data),
            b'D' => macros(data),
            b'C' => connect(data),
            b'H' => Ok(Self::Helo(only(data)?)),
            b'M' => {
                let (path, parameters) = path(data)?;
                Ok(Self::Mail { path, parameters })
            }
            b'R' => {
                let (path, parameters) = path(data)?;
                Ok(Self::Rcpt { path, parameters })
            }
            // Sendmail sends nothing with it.
            b'T' => alone(Self::Data),
            b'L' => {
                let (name, rest) = string(data)?;
                let value = only(rest)?;
                if name.is_empty() { Err(CommandError::Data) } else { Ok(Self::Header { name, value }) }
            }
            b'N' => alone(Self::EndOfHeader),
            b'B' => Ok(Self::Body(data)),
            b'E' => Ok(Self::EndOfBody(data)),
            b'A' => alone(Self::Abort),
            b'Q' => alone(Self::Quit),
            b'K' => alone(Self::QuitNewConnection),
            b'U' => Ok(Self::Unknown(only(data)?)),
            _ => Err(CommandError::Letter),
        }
    }
}

impl<'a> Macros<'a> {
    /// Names without their braces.
    pub fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, behind) = string(rest).ok()?;
            let (value, behind) = string(behind).ok()?;
            rest = behind;
            let bare = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}"));
            Some((bare.unwrap_or(name), value))
        })
    }
}

fn macros(data: &[u8]) -> Result<Command<'_>, CommandError> {
    let (stage, pairs) = data.split_first().ok_or(CommandError::Data)?;
    // A name without a value, as Sendmail sends for a macro that has none, leaves an odd number of strings.
    if !pairs.is_empty() && !pairs.ends_with(b"\0") {
        return Err(CommandError::Data);
    }
    Ok(Command::Macros { stage: *stage, macros: Macros(pairs) })
}

fn connect(data: &[u8]) -> Result<Command<'_>, CommandError> {
    let (host, rest) = string(data)?;
    let (letter, rest) = rest.split_first().ok_or(CommandError::Data)?;
    let family = match letter {
        b'U' => return Ok(Command::Connect { host, family: Family::Unknown, port: 0, address: b"" }),
        b'L' => Family::Unix,
        b'4' => Family::V4,
        b'6' => Family::V6,
        _ => return Err(CommandError::Data),
    };
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(CommandError::Data)?;
    Ok(Command::Connect { host, family, port: u16::from_be_bytes(*port), address: only(rest)? })
}

fn path(data: &[u8]) -> Result<(&[u8], Vec<&[u8]>), CommandError> {
    let (path, mut rest) = string(data)?;
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        let (parameter, behind) = string(rest)?;
        parameters.push(parameter);
        rest = behind;
    }
    Ok((path, parameters))
}

/// The string in front and what is behind its NUL.
fn string(data: &[u8]) -> Result<(&[u8], &[u8]), CommandError> {
    let end = memchr::memchr(0, data).ok_or(CommandError::Data)?;
    Ok((&data[..end], &data[end + 1..]))
}

/// One string and nothing else.
fn only(data: &[u8]) -> Result<&[u8], CommandError> {
    match string(data)? {
        (string, b"") => Ok(string),
        _ => Err(CommandError::Data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(letter: u8, data: &[u8]) -> Result<Command<'_>, CommandError> {
        Command::read(&Packet { letter, data, consumed: 0 })
    }

    #[test]
    fn every_command() {
        use Command::*;
        let (none, size): (Vec<&[u8]>, Vec<&[u8]>) = (vec![], vec![b"SIZE=5", b"BODY=7BIT"]);
        for (letter, data, command) in [
            (
                b'C',
                &b"client.example\x004\x30\x39192.0.2.1\0"[..],
                Connect { host: b"client.example", family: Family::V4, port: 12345, address: b"192.0.2.1" },
            ),
            (
                b'C',
                b"h\x006\0\x19IPv6:2001:db8::1\0",
                Connect { host: b"h", family: Family::V6, port: 25, address: b"IPv6:2001:db8::1" },
            ),
            (
                b'C',
                b"localhost\0L\0\0/run/x\0",
                Connect { host: b"localhost", family: Family::Unix, port: 0, address: b"/run/x" },
            ),
            (b'C', b"localhost\0U", Connect { host: b"localhost", family: Family::Unknown, port: 0, address: b"" }),
            (b'H', b"client.example\0", Helo(b"client.example")),
            (b'M', b"<a@b.example>\0SIZE=5\0BODY=7BIT\0", Mail { path: b"<a@b.example>", parameters: size }),
            (b'M', b"<>\0", Mail { path: b"<>", parameters: none.clone() }),
            (b'R', b"<c@d.example>\0", Rcpt { path: b"<c@d.example>", parameters: none }),
            (b'T', b"", Data),
            (b'L', b"Subject\0 a\n b\0", Header { name: b"Subject", value: b" a\n b" }),
            (b'L', b"X\0\0", Header { name: b"X", value: b"" }),
            (b'N', b"", EndOfHeader),
            (b'B', b"a\0b\r\n", Body(b"a\0b\r\n")),
            (b'E', b"", EndOfBody(b"")),
            (b'E', b"end", EndOfBody(b"end")),
            (b'A', b"", Abort),
            (b'Q', b"", Quit),
            (b'K', b"", QuitNewConnection),
            (b'U', b"FOO bar\0", Unknown(b"FOO bar")),
        ] {
            assert_eq!(read(letter, data), Ok(command), "{}", letter as char);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (letter, data) in [
            (b'C', &b""[..]),
            (b'C', b"host\0"),
            (b'C', b"host\x004"),
            (b'C', b"host\x004\0\x19192.0.2.1"),
            (b'C', b"host\0X\0\x19192.0.2.1\0"),
            (b'H', b"no end"),
            (b'H', b"two\0strings\0"),
            (b'M', b""),
            (b'M', b"<a@b>"),
            (b'M', b"<a@b>\0SIZE"),
            (b'L', b"Subject\0 a"),
            (b'L', b"\0 a\0"),
            (b'L', b"Subject\0 a\0 b\0"),
            (b'N', b"x"),
            (b'A', b"x"),
            (b'Q', b"x"),
            (b'D', b""),
            (b'D', b"Mi\0value"),
            (b'O', b"\0\0\0\x06"),
        ] {
            assert_eq!(read(letter, data), Err(CommandError::Data), "{} {data:?}", letter as char);
        }
        assert_eq!(read(b'X', b""), Err(CommandError::Letter));
        assert_eq!(read(b' ', b""), Err(CommandError::Letter));
    }

    #[test]
    fn macros_lose_their_braces() {
        let Ok(Command::Macros { stage, macros }) = read(b'D', b"M{auth_authen}\0ann\0i\x003F2\0{none}\0") else {
            panic!("macros")
        };
        let pairs: Vec<_> = macros.pairs().collect();
        assert_eq!((stage, pairs), (b'M', vec![(&b"auth_authen"[..], &b"ann"[..]), (b"i", b"3F2")]));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(letter: u8, data in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Command::Macros { macros, .. }) = read(letter, &data) {
                prop_assert!(macros.pairs().count() <= data.len());
            }
        }
    }
}
