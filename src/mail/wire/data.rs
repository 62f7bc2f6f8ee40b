//! The DATA stream as it comes in (RFC 5321 4.5.2).
//!
//! Only CR LF . CR LF ends it. A line feed or carriage return alone never counts as a line end, neither before nor
//! behind the dot: where two servers disagree about that, one message becomes two.

use memchr::memchr3;

/// Undoes dot-stuffing and finds the end, fed any chunks.
#[derive(Clone, Debug)]
pub struct DataDecoder {
    state: State,
    endings: LineEndings,
    blemishes: Blemishes,
}

/// What becomes of a bare CR or LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LineEndings {
    /// It is kept and remembered: the message is to be refused.
    #[default]
    Strict,
    /// It becomes CR LF, and is remembered. Still no end of DATA: the dot needs true line ends around it.
    Normalise,
}

/// What a message may not have in it (RFC 5321 2.3.8, 4.5.2), as met so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Blemishes {
    pub bare_cr: bool,
    pub bare_lf: bool,
    pub nul: bool,
}

impl Blemishes {
    /// Of bytes that no dot ends: what a mail server hands a filter.
    pub fn of(content: &[u8]) -> Self {
        let mut blemishes = Self::default();
        for at in memchr::memchr3_iter(b'\r', b'\n', 0, content) {
            match content[at] {
                b'\r' => blemishes.bare_cr |= content.get(at + 1) != Some(&b'\n'),
                b'\n' => blemishes.bare_lf |= at == 0 || content[at - 1] != b'\r',
                _ => blemishes.nul = true,
            }
        }
        blemishes
    }

    pub fn any(self) -> bool {
        self.bare_cr || self.bare_lf || self.nul
    }
}

/// What one call of `decode` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input were taken: all, unless DATA ended.
    pub consumed: usize,
    /// The final dot was read. What is behind `consumed` is the next command.
    pub ended: bool,
}

/// What was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// CR LF, or nothing yet: the CR LF of the DATA command stands before the first byte.
    LineStart,
    /// A dot at the start of a line. It is never part of the message.
    Dot,
    /// That dot and CR.
    DotCr,
    /// Within a line.
    Within,
    /// CR within a line; not yet written, since it may be bare.
    Cr,
    Ended,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new(LineEndings::Strict)
    }
}

impl DataDecoder {
    pub fn new(endings: LineEndings) -> Self {
        Self { state: State::LineStart, endings, blemishes: Blemishes::default() }
    }

    pub fn blemishes(&self) -> Blemishes {
        self.blemishes
    }

    /// Appends the message bytes of `input` to `out`, at most two bytes for each byte of input and two more.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::LineStart if input[at] == b'.' => {
                    self.state = State::Dot;
                    at += 1;
                }
                State::Dot if input[at] == b'\r' => {
                    self.state = State::DotCr;
                    at += 1;
                }
                State::DotCr if input[at] == b'\n' => {
                    self.state = State::Ended;
                    at += 1;
                }
                State::DotCr | State::Cr if input[at] != b'\n' => {
                    self.bare_cr(out);
                    self.state = State::Within;
                }
                State::Cr => {
                    out.extend_from_slice(b"\r\n");
                    self.state = State::LineStart;
                    at += 1;
                }
                State::Ended => break,
                // Here too: the dot of `.text`, which is dropped (RFC 5321 4.5.2).
                State::LineStart | State::Dot | State::DotCr | State::Within => at = self.lines(input, at, out),
            }
        }
        Decoded { consumed: at, ended: self.state == State::Ended }
    }

    /// Goes on from within a line, over true line ends, and stops where the slow way must look: at a dot that begins a
    /// line, or with a CR at the end of the input or before something else than LF. Whole stretches are copied at once.
    fn lines(&mut self, input: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
        let mut copied = from;
        let mut at = from;
        self.state = State::Within;
        while let Some(found) = memchr3(b'\r', b'\n', 0, &input[at..]).map(|offset| at + offset) {
            match (input[found], input.get(found + 1)) {
                (b'\r', Some(b'\n')) => {
                    at = found + 2;
                    if matches!(input.get(at), None | Some(b'.')) {
                        self.state = State::LineStart;
                        out.extend_from_slice(&input[copied..at]);
                        return at;
                    }
                }
                (b'\r', _) => {
                    self.state = State::Cr;
                    out.extend_from_slice(&input[copied..found]);
                    return found + 1;
                }
                (b'\n', _) => {
                    self.blemishes.bare_lf = true;
                    at = found + 1;
                    if self.endings == LineEndings::Normalise {
                        out.extend_from_slice(&input[copied..found]);
                        out.extend_from_slice(b"\r\n");
                        copied = at;
                    }
                }
                _ => {
                    self.blemishes.nul = true;
                    at = found + 1;
                }
            }
        }
        out.extend_from_slice(&input[copied..]);
        input.len()
    }

    fn bare_cr(&mut self, out: &mut Vec<u8>) {
        self.blemishes.bare_cr = true;
        match self.endings {
            LineEndings::Strict => out.push(b'\r'),
            LineEndings::Normalise => out.extend_from_slice(b"\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(input: &[u8], chunk: usize, endings: LineEndings) -> (Vec<u8>, usize, bool, Blemishes) {
        let mut decoder = DataDecoder::new(endings);
        let (mut out, mut consumed) = (Vec::new(), 0);
        for piece in input.chunks(chunk.max(1)) {
            let step = decoder.decode(piece, &mut out);
            consumed += step.consumed;
            if step.ended {
                return (out, consumed, true, decoder.blemishes());
            }
            assert_eq!(step.consumed, piece.len());
        }
        (out, consumed, false, decoder.blemishes())
    }

    /// RFC 5321 4.5.2 said as plainly as can be, on the whole stream at once.
    fn reference(input: &[u8]) -> (Vec<u8>, usize, bool) {
        let whole = [b"\r\n", input].concat();
        let end = whole.windows(5).position(|window| window == b"\r\n.\r\n");
        let content = &whole[..end.map_or(whole.len(), |end| end + 2)];
        let mut out = Vec::new();
        for (index, byte) in content.iter().enumerate() {
            let stuffed = *byte == b'.' && index >= 2 && &content[index - 2..index] == b"\r\n";
            if !stuffed {
                out.push(*byte);
            }
        }
        (out[2..].to_vec(), end.map_or(input.len(), |end| end + 3), end.is_some())
    }

    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        out
    }

    #[test]
    fn the_dot_and_its_doubles() {
        let cases: &[(&[u8], &[u8])] = &[
            (b".\r\n", b""),
            (b"\r\n.\r\n", b"\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
            (b"a.\r\n.\r\n", b"a.\r\n"),
        ];
        for (sent, message) in cases {
            for chunk in 1..=sent.len() {
                let (out, consumed, ended, blemishes) = decode(sent, chunk, LineEndings::Strict);
                assert_eq!((out.as_slice(), consumed, ended), (*message, sent.len(), true));
                assert!(!blemishes.any());
            }
        }
    }

    #[test]
    fn what_is_behind_the_end_is_left() {
        let (out, consumed, ended, _) = decode(b"a\r\n.\r\nQUIT\r\n", 100, LineEndings::Strict);
        assert_eq!((out.as_slice(), consumed, ended), (b"a\r\n".as_slice(), 6, true));
    }

    /// Line ends around the dot that some server somewhere has taken for the end of DATA.
    const FALSE_ENDS: &[&[u8]] = &[
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\n.\r",
        b"\r.\n",
        b"\r\n.\r\r\n",
        b"\n\r.\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n.\n\r\n",
        b"\n\n.\r\r\n",
    ];

    #[test]
    fn false_ends_end_nothing_and_are_remembered() {
        for false_end in FALSE_ENDS {
            for endings in [LineEndings::Strict, LineEndings::Normalise] {
                let sent = [b"a", *false_end, b"MAIL FROM:<b@c.example>\r\n.\r\n"].concat();
                for chunk in 1..=sent.len() {
                    let (out, consumed, ended, blemishes) = decode(&sent, chunk, endings);
                    assert!(ended && consumed == sent.len(), "{:?}", false_end.escape_ascii().to_string());
                    assert!(blemishes.any(), "{:?}", false_end.escape_ascii().to_string());
                    assert!(out.ends_with(b"MAIL FROM:<b@c.example>\r\n"));
                }
            }
        }
    }

    #[test]
    fn normalising_leaves_no_bare_line_end() {
        let (out, _, ended, blemishes) = decode(b"a\nb\rc\r\n.\n.\r\r\n\r\n.\r\n", 3, LineEndings::Normalise);
        assert!(ended && blemishes.bare_lf && blemishes.bare_cr && !blemishes.nul);
        assert_eq!(out.escape_ascii().to_string(), r"a\r\nb\r\nc\r\n\r\n.\r\n\r\n\r\n");
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            4 => Just(b"\r\n".to_vec()),
            3 => Just(b".".to_vec()),
            2 => Just(b"\r".to_vec()),
            2 => Just(b"\n".to_vec()),
            1 => Just(b"\0".to_vec()),
            1 => Just(b"\r\n.\r\n".to_vec()),
            3 => proptest::collection::vec(any::<u8>(), 0..12),
        ];
        proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_what_the_reference_gives(input in hostile(), chunk in 1usize..80) {
            let (out, consumed, ended) = reference(&input);
            let (ours, our_consumed, our_ended, blemishes) = decode(&input, chunk, LineEndings::Strict);
            prop_assert_eq!((our_consumed, our_ended), (consumed, ended));
            if ended {
                prop_assert_eq!(&ours, &out);
                let clean = String::from_utf8_lossy(&input[..consumed]).replace("\r\n", "");
                prop_assert_eq!(blemishes.bare_cr, clean.contains('\r'));
                prop_assert_eq!(blemishes.bare_lf, clean.contains('\n'));
                prop_assert_eq!(blemishes.nul, clean.contains('\0'));
            }
        }

        #[test]
        fn stuffed_and_decoded_is_the_same(lines in proptest::collection::vec("[.a-z é]{0,20}", 0..30), chunk in 1usize..80) {
            let message: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            let (out, _, ended, blemishes) = decode(&stuffed(&message), chunk, LineEndings::Strict);
            prop_assert!(ended && !blemishes.any());
            prop_assert_eq!(out, message);
        }

        #[test]
        fn normalised_output_is_clean_in_any_chunks(input in hostile(), chunk in 1usize..80) {
            let (whole, ..) = decode(&input, usize::MAX, LineEndings::Normalise);
            let (chunked, ..) = decode(&input, chunk, LineEndings::Normalise);
            prop_assert_eq!(&whole, &chunked);
            let rest = String::from_utf8_lossy(&whole).replace("\r\n", "");
            prop_assert!(!rest.contains(['\r', '\n']));
        }
    }
}
