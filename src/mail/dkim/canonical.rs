//! The relaxed canonical forms (RFC 6376 3.4.2 and 3.4.4).

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

/// Appends one field: its name folded, its value on one line with single spaces.
pub(super) fn field(whole: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', whole).unwrap_or(whole.len());
    out.extend(whole[..colon].trim_ascii_end().to_ascii_lowercase());
    out.push(b':');
    let value = whole.get(colon + 1..).unwrap_or_default();
    let mut space = false;
    let start = out.len();
    for byte in value {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => space = true,
            byte => {
                if space && out.len() > start {
                    out.push(b' ');
                }
                space = false;
                out.push(*byte);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// SHA-256 of a body, from bytes in any pieces: spaces within a line become one, those at its end go, and so do empty lines
/// at the end of the body.
#[derive(Default)]
pub(super) struct BodyHash {
    hash: Sha256,
    /// White space of the line in hand that something may follow.
    space: bool,
    /// A CR that an LF may follow.
    carriage_return: bool,
    /// Empty lines that something may follow.
    empty: usize,
    /// Something stands in the line in hand.
    in_line: bool,
}

impl BodyHash {
    pub fn update(&mut self, bytes: &[u8]) {
        let mut run = 0;
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            // Runs of anything else go in one step.
            if self.in_line && !self.space && !self.carriage_return && !matches!(byte, b' ' | b'\t' | b'\r') {
                at += 1;
                continue;
            }
            self.hash.update(&bytes[run..at]);
            self.step(byte);
            at += 1;
            run = at;
        }
        self.hash.update(&bytes[run..]);
    }

    fn step(&mut self, byte: u8) {
        if std::mem::take(&mut self.carriage_return) {
            if byte == b'\n' {
                self.end_line();
                return;
            }
            self.written(b'\r');
        }
        match byte {
            b' ' | b'\t' => self.space = true,
            b'\r' => self.carriage_return = true,
            byte => self.written(byte),
        }
    }

    fn written(&mut self, byte: u8) {
        for _ in 0..std::mem::take(&mut self.empty) {
            self.hash.update(b"\r\n");
        }
        if std::mem::take(&mut self.space) {
            self.hash.update(b" ");
        }
        self.hash.update([byte]);
        self.in_line = true;
    }

    fn end_line(&mut self) {
        self.space = false;
        if std::mem::take(&mut self.in_line) {
            self.hash.update(b"\r\n");
        } else {
            self.empty += 1;
        }
    }

    pub fn finish(mut self) -> String {
        if std::mem::take(&mut self.carriage_return) {
            self.written(b'\r');
        }
        if self.in_line {
            self.end_line();
        }
        STANDARD.encode(self.hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_the_standards_example() {
        let mut out = Vec::new();
        field(b"A: X\r\n", &mut out);
        field(b"B : Y\t\r\n\tZ  \r\n", &mut out);
        assert_eq!(out, b"a:X\r\nb:Y Z\r\n", "RFC 6376 3.4.5");
    }

    fn hash(pieces: &[&[u8]]) -> String {
        let mut hash = BodyHash::default();
        pieces.iter().for_each(|piece| hash.update(piece));
        hash.finish()
    }

    fn plain(bytes: &[u8]) -> String {
        STANDARD.encode(Sha256::digest(bytes))
    }

    #[test]
    fn bodies() {
        for (body, canonical) in [
            (&b" C \r\nD \t E\r\n\r\n\r\n"[..], &b" C\r\nD E\r\n"[..]),
            (b"", b""),
            (b"\r\n\r\n", b""),
            (b"  \r\n\t\r\n", b""),
            (b"a", b"a\r\n"),
            (b"a\r\n\r\n \r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
            (b"a  b\t\r\n", b"a b\r\n"),
        ] {
            assert_eq!(hash(&[body]), plain(canonical), "{}", body.escape_ascii());
        }
        assert_eq!(hash(&[b""]), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "RFC 6376 3.4.4");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(lines in "([ab \t]|\r\n|\r){0,40}", cut in 0usize..40) {
            let bytes = lines.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(hash(&[&bytes[..cut], &bytes[cut..]]), hash(&[bytes]));
            let by_byte: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(hash(&by_byte), hash(&[bytes]));
        }
    }
}
