//! Writes a message as the DATA stream (RFC 5321 4.5.2): dots doubled at line starts, the end-of-data line behind.

use memchr::{memchr_iter, memchr2_iter, memmem};
use std::sync::LazyLock;

/// Why bytes cannot go out as a DATA stream. Each of these is how a second message is smuggled past a next hop
/// that reads line ends in another way than we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWire {
    #[error("CR without LF behind it")]
    BareCr,
    #[error("LF without CR in front of it")]
    BareLf,
    #[error("NUL")]
    Nul,
}

/// A message that may go out: in one or more segments that read on without a seam, free of bare CR, bare LF and
/// NUL (RFC 5321 2.3.8, 4.1.1.4). The only way to the wire, and nothing of it is copied.
#[derive(Clone, Copy, Debug)]
pub struct WireBody<'a> {
    segments: &'a [&'a [u8]],
    length: usize,
    dots: usize,
}

impl<'a> WireBody<'a> {
    pub fn new(segments: &'a [&'a [u8]]) -> Result<Self, NotWire> {
        let mut body = Self { segments, length: 0, dots: 0 };
        let (mut line_start, mut after_cr) = (true, false);
        for segment in segments {
            let Some(last) = segment.last() else { continue };
            body.length += segment.len();
            body.dots += usize::from(line_start && segment[0] == b'.');
            body.dots += check(segment, after_cr)?;
            after_cr = *last == b'\r';
            line_start = *last == b'\n';
        }
        if after_cr { Err(NotWire::BareCr) } else { Ok(body) }
    }

    /// The stream in pieces: parts of the segments, doubled dots, and the end-of-data line.
    pub fn pieces(&self) -> Pieces<'a> {
        Pieces { segments: self.segments, at: 0, any_dots: self.dots > 0, line_start: true, ended: false }
    }

    /// Bytes on the wire; the end-of-data line counts as 5.
    pub fn wire_length(&self) -> usize {
        self.length + self.dots + 5
    }
}

/// Checks one segment; gives how many of its lines, but for the first, begin with a dot.
fn check(segment: &[u8], after_cr: bool) -> Result<usize, NotWire> {
    let continues = usize::from(after_cr);
    if after_cr && segment[0] != b'\n' {
        return Err(NotWire::BareCr);
    }
    let mut pairs = continues;
    let mut dots = usize::from(after_cr && segment.get(1) == Some(&b'.'));
    for at in memchr2_iter(b'\r', b'\0', segment) {
        match (segment[at], segment.get(at + 1)) {
            (b'\r', Some(b'\n')) => {
                pairs += 1;
                dots += usize::from(segment.get(at + 2) == Some(&b'.'));
            }
            (b'\r', Some(_)) => return Err(NotWire::BareCr),
            // Whether LF follows, the next segment says.
            (b'\r', None) => {}
            _ => return Err(NotWire::Nul),
        }
    }
    // Each pair has one LF; if there are more, one of them stands alone.
    if memchr_iter(b'\n', segment).count() != pairs { Err(NotWire::BareLf) } else { Ok(dots) }
}

/// See `WireBody::pieces`.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    segments: &'a [&'a [u8]],
    /// Where the next piece begins in the first of `segments`.
    at: usize,
    any_dots: bool,
    line_start: bool,
    ended: bool,
}

static DOT_LINE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n."));

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some((segment, behind)) = self.segments.split_first() {
            let rest = &segment[self.at..];
            if rest.is_empty() {
                (self.segments, self.at) = (behind, 0);
                continue;
            }
            if self.line_start && rest[0] == b'.' {
                self.line_start = false;
                return Some(b".");
            }
            let end = match rest {
                // The pair of CR and LF lies across two segments.
                [b'\n', ..] => 1,
                _ if self.any_dots => DOT_LINE.find(rest).map_or(rest.len(), |at| at + 2),
                _ => rest.len(),
            };
            self.at += end;
            self.line_start = rest[end - 1] == b'\n';
            return Some(&rest[..end]);
        }
        if self.ended {
            return None;
        }
        self.ended = true;
        Some(if self.line_start { b".\r\n" } else { b"\r\n.\r\n" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(segments: &[&[u8]]) -> Result<Vec<u8>, NotWire> {
        WireBody::new(segments).map(|body| body.pieces().flatten().copied().collect())
    }

    /// A reader of the stream, written apart from the writer.
    fn unstuffed(stream: &[u8]) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        let mut lines = stream.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if line == b".\r\n" {
                return lines.peek().is_none().then_some(message);
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        None
    }

    #[test]
    fn golden_streams() {
        let table: [(&[&[u8]], &[u8]); 9] = [
            (&[], b".\r\n"),
            (&[b""], b".\r\n"),
            (&[b".\r\n"], b"..\r\n.\r\n"),
            (&[b"a: b\r\n", b".x\r\n"], b"a: b\r\n..x\r\n.\r\n"),
            (&[b"a\r", b"\n.x\r\n"], b"a\r\n..x\r\n.\r\n"),
            (&[b"a\r\n", b"", b"..\r\n.."], b"a\r\n...\r\n...\r\n.\r\n"),
            (&[b"no line end"], b"no line end\r\n.\r\n"),
            (&[b"a.b\r\nc.\r\n"], b"a.b\r\nc.\r\n.\r\n"),
            (&[b"a", b".b\r\n"], b"a.b\r\n.\r\n"),
        ];
        for (segments, wire) in table {
            assert_eq!(stuffed(segments).unwrap(), wire, "{segments:?}");
        }
    }

    #[test]
    fn refuses_what_could_smuggle() {
        let table: [(&[&[u8]], NotWire); 12] = [
            (&[b"a\n.\r\n"], NotWire::BareLf),
            (&[b"a\r\n.\n"], NotWire::BareLf),
            (&[b"a\r.\r\n"], NotWire::BareCr),
            (&[b"a\r\n.\r\r\n"], NotWire::BareCr),
            (&[b"a\r\n.\r"], NotWire::BareCr),
            (&[b"a\r", b".\r\n"], NotWire::BareCr),
            (&[b"a\r", b"", b"x"], NotWire::BareCr),
            (&[b"\n"], NotWire::BareLf),
            (&[b"a\r\n", b"\n"], NotWire::BareLf),
            (&[b"a\r\n\n"], NotWire::BareLf),
            (&[b"a\0b\r\n"], NotWire::Nul),
            (&[b"a\r\0\n"], NotWire::BareCr),
        ];
        for (segments, error) in table {
            assert_eq!(stuffed(segments).unwrap_err(), error, "{segments:?}");
        }
    }

    proptest! {
        #[test]
        fn stuffing_is_undone_by_reading(
            tokens in prop::collection::vec(
                prop_oneof![Just(&b"\r\n"[..]), Just(&b"."[..]), Just(&b"a"[..]), Just(&b"\xff"[..])], 0..60),
            cuts in prop::collection::vec(0usize..120, 0..4),
        ) {
            let mut message = tokens.concat();
            message.extend_from_slice(b"\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % message.len()).collect();
            cuts.sort_unstable();
            let mut segments = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([message.len()]) {
                segments.push(&message[from..cut]);
                from = cut;
            }
            let wire = stuffed(&segments).unwrap();
            prop_assert_eq!(unstuffed(&wire), Some(message.clone()));
            prop_assert!(memmem::find(&wire[..wire.len() - 3], b"\r\n.\r\n").is_none());
            prop_assert!(wire.len() <= WireBody::new(&segments).unwrap().wire_length());
        }

        #[test]
        fn accepts_exactly_what_has_no_bare_ends(
            tokens in prop::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0u8)], 0..12),
            cut in 0usize..12,
        ) {
            let (first, second) = tokens.split_at(cut.min(tokens.len()));
            let rest = tokens.iter().map(|byte| *byte as char).collect::<String>().replace("\r\n", "");
            let clean = !rest.contains(['\r', '\n', '\0']);
            prop_assert_eq!(WireBody::new(&[first, second]).is_ok(), clean);
        }
    }
}
