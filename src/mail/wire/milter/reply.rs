//! What a filter tells the mail server.

use super::packet;
use crate::mail::wire;

/// The most of a body in one packet (MILTER_CHUNK_SIZE).
pub const BODY_CHUNK: usize = 65_535;

/// One reply. The changes may stand at the end of the body only, in front of the reply that ends it.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    Continue,
    /// The message goes on as it is, with the changes asked for.
    Accept,
    Reject,
    TemporaryFailure,
    /// The server tells its client that all is well and throws the message away.
    Discard,
    /// An SMTP reply of the filter's own; it must have an enhanced code.
    Code(&'a wire::Reply),
    /// The filter is still at work: the server's clock begins anew.
    Progress,
    /// No more of the body, please.
    Skip,
    /// Behind all others. Line breaks in a value are LF alone, here and below.
    AddHeader {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// Before the field that has this place now, counted from 0 and the server's own Received counted too.
    InsertHeader {
        place: u32,
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The field that is the `number`th of this name, counted from 1; the server's own Received does not count. An
    /// empty value takes the field away.
    ChangeHeader {
        number: u32,
        name: &'a [u8],
        value: &'a [u8],
    },
    /// A part of the new body, `BODY_CHUNK` bytes at most. The first begins it, the others go on.
    ReplaceBody(&'a [u8]),
    /// With angle brackets. The parameters are separated by spaces.
    AddRecipient {
        path: &'a [u8],
        parameters: &'a [u8],
    },
    DeleteRecipient(&'a [u8]),
    ChangeSender {
        path: &'a [u8],
        parameters: &'a [u8],
    },
}

impl Reply<'_> {
    /// Appends the reply as it goes on the wire.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Continue => alone(out, b'c'),
            Self::Accept => alone(out, b'a'),
            Self::Reject => alone(out, b'r'),
            Self::TemporaryFailure => alone(out, b't'),
            Self::Discard => alone(out, b'd'),
            Self::Progress => alone(out, b'p'),
            Self::Skip => alone(out, b's'),
            Self::Code(reply) => packet::append(out, b'y', |out| code(reply, out)),
            Self::AddHeader { name, value } => packet::append(out, b'h', |out| strings(out, &[name, value])),
            Self::InsertHeader { place, name, value } => numbered(out, b'i', place, name, value),
            Self::ChangeHeader { number, name, value } => numbered(out, b'm', number, name, value),
            Self::ReplaceBody(chunk) => packet::append(out, b'b', |out| {
                debug_assert!(chunk.len() <= BODY_CHUNK);
                out.extend_from_slice(chunk);
            }),
            Self::AddRecipient { path, parameters: b"" } => packet::append(out, b'+', |out| strings(out, &[path])),
            Self::AddRecipient { path, parameters } => {
                packet::append(out, b'2', |out| strings(out, &[path, parameters]))
            }
            Self::DeleteRecipient(path) => packet::append(out, b'-', |out| strings(out, &[path])),
            Self::ChangeSender { path, parameters: b"" } => packet::append(out, b'e', |out| strings(out, &[path])),
            Self::ChangeSender { path, parameters } => {
                packet::append(out, b'e', |out| strings(out, &[path, parameters]))
            }
        }
    }
}

fn alone(out: &mut Vec<u8>, letter: u8) {
    packet::append(out, letter, |_| {});
}

fn numbered(out: &mut Vec<u8>, letter: u8, number: u32, name: &[u8], value: &[u8]) {
    packet::append(out, letter, |out| {
        out.extend_from_slice(&number.to_be_bytes());
        strings(out, &[name, value]);
    });
}

fn strings(out: &mut Vec<u8>, strings: &[&[u8]]) {
    for string in strings {
        debug_assert!(!string.contains(&0), "NUL ends a string");
        out.extend_from_slice(string);
        out.push(0);
    }
}

/// The lines as on the wire of SMTP. Sendmail takes the text for a format, so a percent sign stands doubled.
fn code(reply: &wire::Reply, out: &mut Vec<u8>) {
    let mut lines = Vec::new();
    reply.write_to(&mut lines);
    for byte in lines.strip_suffix(b"\r\n").unwrap_or(&lines) {
        out.push(*byte);
        if *byte == b'%' {
            out.push(b'%');
        }
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: Reply<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        reply.write_to(&mut out);
        let length = u32::from_be_bytes(out[..4].try_into().unwrap()) as usize;
        assert_eq!(length + 4, out.len());
        out.split_off(4)
    }

    #[test]
    fn every_reply() {
        let returned = wire::Reply::new(550, (5, 7, 1), "Not sent: 100% sure\nPolicy 4.2");
        for (reply, expected) in [
            (Reply::Continue, &b"c"[..]),
            (Reply::Accept, b"a"),
            (Reply::Reject, b"r"),
            (Reply::TemporaryFailure, b"t"),
            (Reply::Discard, b"d"),
            (Reply::Progress, b"p"),
            (Reply::Skip, b"s"),
            (Reply::Code(&returned), b"y550-5.7.1 Not sent: 100%% sure\r\n550 5.7.1 Policy 4.2\0"),
            (Reply::AddHeader { name: b"X", value: b" y\n z" }, b"hX\0 y\n z\0"),
            (Reply::InsertHeader { place: 0, name: b"X", value: b" y" }, b"i\0\0\0\0X\0 y\0"),
            (Reply::ChangeHeader { number: 258, name: b"X", value: b"" }, b"m\0\0\x01\x02X\0\0"),
            (Reply::ReplaceBody(b"a\r\n"), b"ba\r\n"),
            (Reply::AddRecipient { path: b"<a@b>", parameters: b"" }, b"+<a@b>\0"),
            (Reply::AddRecipient { path: b"<a@b>", parameters: b"NOTIFY=NEVER" }, b"2<a@b>\0NOTIFY=NEVER\0"),
            (Reply::DeleteRecipient(b"<a@b>"), b"-<a@b>\0"),
            (Reply::ChangeSender { path: b"<>", parameters: b"" }, b"e<>\0"),
            (Reply::ChangeSender { path: b"<>", parameters: b"RET=HDRS" }, b"e<>\0RET=HDRS\0"),
        ] {
            assert_eq!(wire(reply), expected, "{reply:?}");
        }
    }
}
