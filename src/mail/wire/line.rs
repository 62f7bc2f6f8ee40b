//! Lines of commands and replies (RFC 5321 2.3.8): only CR LF ends one.

use memchr::{memchr, memchr2};

/// Takes lines from the front of a buffer, however it was filled. Keeps nothing but the fact that it is inside a line
/// that is too long; the bytes stay with the caller, who removes what was consumed.
#[derive(Clone, Debug)]
pub struct LineSplitter {
    most: usize,
    skipping: bool,
}

/// What stands at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A whole line without its CR LF; it took `consumed` bytes of the input.
    Line { line: &'a [u8], consumed: usize },
    /// Not yet a whole line. `consumed` bytes are of no further use (they belong to a line that is too long).
    More { consumed: usize },
    /// A line longer than the limit has ended; nothing of it was kept.
    TooLong { consumed: usize },
    /// A line that has a bare CR, a bare LF or a NUL in it. Its sender means something else by a line than we do, so
    /// nothing behind it can be trusted.
    Malformed { consumed: usize },
}

impl LineSplitter {
    /// The longest command line with its CR LF: 512 bytes (RFC 5321 4.5.3.1.4), and what SIZE, 8BITMIME, SMTPUTF8 and
    /// DSN add to MAIL and RCPT (RFC 1870 3, RFC 3461 4: up to 500 more each), rounded up.
    pub const COMMAND: usize = 2_048;

    /// `most` is the longest line in bytes, CR LF included.
    pub fn new(most: usize) -> Self {
        Self { most, skipping: false }
    }

    /// Looks at the front of `input`.
    pub fn split<'a>(&mut self, input: &'a [u8]) -> Split<'a> {
        let Some(at) = memchr(b'\n', input) else {
            return self.unfinished(input);
        };
        let consumed = at + 1;
        if self.skipping || consumed > self.most {
            self.skipping = false;
            return Split::TooLong { consumed };
        }
        match input[..at].strip_suffix(b"\r") {
            Some(line) if memchr2(b'\r', 0, line).is_none() => Split::Line { line, consumed },
            _ => Split::Malformed { consumed },
        }
    }

    fn unfinished<'a>(&mut self, input: &'a [u8]) -> Split<'a> {
        if self.skipping || input.len() >= self.most {
            self.skipping = true;
            return Split::More { consumed: input.len() };
        }
        Split::More { consumed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], chunk: usize, most: usize) -> Vec<String> {
        let mut splitter = LineSplitter::new(most);
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for piece in input.chunks(chunk) {
            buffer.extend_from_slice(piece);
            loop {
                let consumed = match splitter.split(&buffer) {
                    Split::Line { line, consumed } => {
                        seen.push(String::from_utf8_lossy(line).into_owned());
                        consumed
                    }
                    Split::TooLong { consumed } => {
                        seen.push("(too long)".into());
                        consumed
                    }
                    Split::Malformed { consumed } => {
                        seen.push("(malformed)".into());
                        consumed
                    }
                    Split::More { consumed } => {
                        buffer.drain(..consumed);
                        break;
                    }
                };
                buffer.drain(..consumed);
            }
        }
        seen
    }

    #[test]
    fn only_cr_lf_ends_a_line_in_any_chunks() {
        let long = format!("NOOP {}\r\nQUIT\r\n", "x".repeat(90));
        for chunk in 1..40 {
            assert_eq!(all(b"EHLO a\r\n\r\nQUIT\r\nrest", chunk, 64), ["EHLO a", "", "QUIT"]);
            assert_eq!(all(b"A\nB\r\n", chunk, 64), ["(malformed)", "B"]);
            assert_eq!(all(b"A\rB\r\nC\r\n", chunk, 64), ["(malformed)", "C"]);
            assert_eq!(all(b"A\r\r\nC\r\n", chunk, 64), ["(malformed)", "C"]);
            assert_eq!(all(b"A\0B\r\nC\r\n", chunk, 64), ["(malformed)", "C"]);
            assert_eq!(all(long.as_bytes(), chunk, 64), ["(too long)", "QUIT"]);
        }
    }

    #[test]
    fn the_limit_counts_cr_lf() {
        assert_eq!(all(b"12345678\r\n", 64, 10), ["12345678"]);
        assert_eq!(all(b"123456789\r\n", 64, 10), ["(too long)"]);
        assert_eq!(all(b"123456789\r\n", 1, 10), ["(too long)"]);
    }
}
