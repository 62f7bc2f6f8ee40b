//! Reads replies from the next hop (RFC 5321 4.2, RFC 2034), in any chunks and within fixed bounds.

use super::{EnhancedCode, Reply};
use memchr::memchr;

/// A reply may be this long on the wire before the hop counts as out of its mind. Only its first lines are kept,
/// so a long one costs time, not memory.
const LONGEST_REPLY: usize = 4 << 20;

/// What is kept of a reply that is passed on: 5 lines of 400 bytes.
const PASSED_ON: Kept = Kept { lines: 5, bytes: 400 };

/// What is kept of the answer to EHLO: a line for each extension, 512 octets each (RFC 5321 4.5.3.1.5).
const EHLO: Kept = Kept { lines: 100, bytes: 512 };

#[derive(Clone, Copy, Debug)]
struct Kept {
    lines: usize,
    bytes: usize,
}

/// Why bytes are not a reply. After any of these nobody knows where the next reply begins: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("a reply line does not begin with a code from 200 to 599 and a space or hyphen")]
    Syntax,
    #[error("the lines of one reply carry different codes")]
    MixedCodes,
    #[error("a reply line ends without CR")]
    BareLf,
    #[error("a reply is longer than 4 MiB")]
    TooLong,
}

/// An incremental reader of replies. Feed it with `push`; it can be used for one reply after the other.
#[derive(Debug)]
pub struct ReplyParser {
    kept: Kept,
    /// Bytes of this reply so far.
    seen: usize,
    code: Option<u16>,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
    /// The first bytes of the unfinished line.
    line: Vec<u8>,
    ends_in_cr: bool,
}

impl Default for ReplyParser {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyParser {
    /// For replies that are passed on: at most 5 lines of 400 ASCII bytes are kept, controls removed.
    pub fn new() -> Self {
        Self::keeping(PASSED_ON)
    }

    /// For the answer to EHLO, of which every line counts.
    pub fn for_ehlo() -> Self {
        Self::keeping(EHLO)
    }

    fn keeping(kept: Kept) -> Self {
        Self { kept, seen: 0, code: None, enhanced: None, lines: Vec::new(), line: Vec::new(), ends_in_cr: false }
    }

    /// Reads on. Gives how many bytes of `input` were used, and the reply if they ended one; what is behind it
    /// belongs to the next reply.
    pub fn push(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let Some(end) = memchr(b'\n', rest) else {
                self.take(rest)?;
                return Ok((input.len(), None));
            };
            self.take(&rest[..end])?;
            used += end + 1;
            // A lone LF must not end a line: whatever the hop echoes in its text could then pose as a reply.
            if !self.ends_in_cr {
                return Err(ReplyError::BareLf);
            }
            if self.end_line()? {
                return Ok((used, Some(self.finish())));
            }
        }
        Ok((used, None))
    }

    /// Whether a reply has begun and not ended.
    pub fn is_amid(&self) -> bool {
        self.seen > 0
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ReplyError> {
        self.seen += bytes.len() + 1;
        if self.seen > LONGEST_REPLY {
            return Err(ReplyError::TooLong);
        }
        let Some(last) = bytes.last() else { return Ok(()) };
        self.ends_in_cr = *last == b'\r';
        // Room for code, hyphen, enhanced code (RFC 2034: up to 9 octets and a space) and text.
        let room = (self.kept.bytes + 16).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    /// Reads the line in hand; says whether it is the last of its reply.
    fn end_line(&mut self) -> Result<bool, ReplyError> {
        let line = std::mem::take(&mut self.line);
        self.ends_in_cr = false;
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        let (code, more, text) = split(text)?;
        match self.code {
            Some(first) if first != code => return Err(ReplyError::MixedCodes),
            _ => self.code = Some(code),
        }
        if self.lines.len() < self.kept.lines {
            let text = self.without_enhanced(code, text);
            self.lines.push(cleaned(text, self.kept.bytes));
        }
        self.line = line;
        self.line.clear();
        Ok(!more)
    }

    /// Takes the enhanced code off a line. One whose class is not the reply's is text (RFC 2034 4), and so is
    /// one that differs from the first line's.
    fn without_enhanced<'a>(&mut self, code: u16, text: &'a [u8]) -> &'a [u8] {
        let Some((enhanced, rest)) = split_enhanced(text) else { return text };
        if u16::from(enhanced.0) != code / 100 {
            return text;
        }
        match self.enhanced {
            None if self.lines.is_empty() => self.enhanced = Some(enhanced),
            Some(first) if first == enhanced => {}
            _ => return text,
        }
        rest
    }

    fn finish(&mut self) -> Reply {
        let code = self.code.take().expect("a reply ends with a line, and each line has a code");
        self.seen = 0;
        Reply::read(code, self.enhanced.take(), std::mem::take(&mut self.lines))
    }
}

/// Code, whether more lines follow, text (RFC 5321 4.2.1; a code alone is allowed there).
fn split(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Syntax)?;
    if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
        return Err(ReplyError::Syntax);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Ok((code, false, rest)),
        Some((b' ', text)) => Ok((code, false, text)),
        Some((b'-', text)) => Ok((code, true, text)),
        Some(_) => Err(ReplyError::Syntax),
    }
}

/// `class.subject.detail` in front of a text (RFC 3463 2).
fn split_enhanced(text: &[u8]) -> Option<(EnhancedCode, &[u8])> {
    let end = memchr(b' ', text).unwrap_or(text.len());
    let (code, rest) = text.split_at(end);
    let mut numbers = code.split(|byte| *byte == b'.');
    let mut number = || -> Option<u16> {
        let digits = numbers.next()?;
        let plain = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        plain.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
    };
    let enhanced = (u8::try_from(number()?).ok()?, number()?, number()?);
    let whole = numbers.next().is_none() && matches!(enhanced.0, 2 | 4 | 5);
    whole.then(|| (enhanced, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// Printable ASCII, at most `bytes` of it: controls go, each other character becomes one question mark.
fn cleaned(text: &[u8], bytes: usize) -> String {
    text.iter()
        .filter_map(|byte| match byte {
            b' '..=b'~' => Some(char::from(*byte)),
            b'\t' => Some(' '),
            // Continuation octets of UTF-8 belong to the character in front of them.
            0..=0x1f | 0x7f..=0xbf => None,
            _ => Some('?'),
        })
        .take(bytes)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(input: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let mut parser = ReplyParser::new();
        let (used, reply) = parser.push(input)?;
        if reply.is_some() {
            assert_eq!(used, input.len());
        }
        Ok(reply)
    }

    #[test]
    fn reads_what_hops_say() {
        let table: [(&str, u16, Option<EnhancedCode>, &[&str]); 9] = [
            ("250 2.1.5 Ok\r\n", 250, Some((2, 1, 5)), &["Ok"]),
            ("250\r\n", 250, None, &[""]),
            ("250 \r\n", 250, None, &[""]),
            ("354 go\r\n", 354, None, &["go"]),
            ("550-5.1.1 one\r\n550 5.1.1 two\r\n", 550, Some((5, 1, 1)), &["one", "two"]),
            ("550-5.1.1 one\r\n550 5.7.1 two\r\n", 550, Some((5, 1, 1)), &["one", "5.7.1 two"]),
            ("550 4.1.1 class of another\r\n", 550, None, &["4.1.1 class of another"]),
            ("451 4.7.1\r\n", 451, Some((4, 7, 1)), &[""]),
            ("250 a\x07b\tc\u{e9}\u{2603}d\r\n", 250, None, &["ab c??d"]),
        ];
        for (input, code, enhanced, lines) in table {
            let reply = whole(input.as_bytes()).unwrap().expect(input);
            assert_eq!((reply.code(), reply.enhanced()), (code, enhanced), "{input}");
            assert_eq!(reply.lines(), lines, "{input}");
        }
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for (input, error) in [
            ("SSH-2.0-x\r\n", ReplyError::Syntax),
            ("25\r\n", ReplyError::Syntax),
            ("\r\n", ReplyError::Syntax),
            ("2500 x\r\n", ReplyError::Syntax),
            ("150 x\r\n", ReplyError::Syntax),
            ("650 x\r\n", ReplyError::Syntax),
            ("250_x\r\n", ReplyError::Syntax),
            ("550-no\r\n250 yes\r\n", ReplyError::MixedCodes),
            ("250 ok\n", ReplyError::BareLf),
            ("550 no\n250 yes\r\n", ReplyError::BareLf),
        ] {
            assert_eq!(whole(input.as_bytes()).unwrap_err(), error, "{input:?}");
        }
    }

    #[test]
    fn a_long_reply_is_cut_and_an_endless_one_refused() {
        let reply = whole(format!("550 5.7.1 {}\r\n", "x".repeat(1_000_000)).as_bytes()).unwrap().unwrap();
        assert_eq!((reply.code(), reply.lines().len(), reply.lines()[0].len()), (550, 1, 400));
        let many = format!("{}550 end\r\n", "550-line\r\n".repeat(100_000));
        assert_eq!(whole(many.as_bytes()).unwrap().unwrap().lines().len(), 5);
        let mut parser = ReplyParser::new();
        let endless = (0..5_000).find_map(|_| parser.push(&[b'2'; 1_000]).err());
        assert_eq!(endless, Some(ReplyError::TooLong));
        assert!(parser.line.len() <= 416);
    }

    #[test]
    fn an_ehlo_answer_keeps_all_its_lines() {
        let text = format!("{}250 SIZE 1\r\n", "250-X\r\n".repeat(40));
        let (_, reply) = ReplyParser::for_ehlo().push(text.as_bytes()).unwrap();
        assert_eq!(reply.unwrap().lines().len(), 41);
    }

    proptest! {
        #[test]
        fn chunks_never_matter(cuts in prop::collection::vec(1usize..12, 1..40)) {
            let input: &[u8] = b"250-2.0.0 a\r\n250-2.0.0 b\r\n250 2.0.0 c\r\n451 4.3.0 later\r\n354 go on\r\n";
            let mut parser = ReplyParser::new();
            let mut replies = Vec::new();
            let (mut rest, mut cuts) = (input, cuts.iter().cycle());
            while !rest.is_empty() {
                let (mut chunk, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                rest = behind;
                while !chunk.is_empty() {
                    let (used, reply) = parser.push(chunk).unwrap();
                    chunk = &chunk[used..];
                    replies.extend(reply.map(|reply| (reply.code(), reply.lines().len())));
                }
            }
            prop_assert_eq!(replies, vec![(250, 3), (451, 1), (354, 1)]);
        }

        #[test]
        fn hostile_bytes_do_no_harm(input in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(Some(reply)) = whole_prefix(&input) {
                prop_assert!(reply.lines().iter().all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
            }
        }
    }

    fn whole_prefix(input: &[u8]) -> Result<Option<Reply>, ReplyError> {
        ReplyParser::new().push(input).map(|(_, reply)| reply)
    }
}
