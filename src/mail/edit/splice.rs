//! Splices: what is put in place of which bytes of the original. Everything else is copied.

use crate::mail::Message;
use std::{borrow::Cow, ops::Range, sync::Arc};

/// `bytes` stand in place of `range` of the original. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub range: Range<usize>,
    pub bytes: Vec<u8>,
}

/// Splices in the order of the original, none overlapping another.
#[derive(Clone, Debug, Default)]
pub(super) struct Splices(Vec<Splice>);

/// Two splices want the same bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap;

impl Splices {
    /// Sorts; insertions at one place keep the order in which they were given and stand before what replaces
    /// the bytes behind them.
    pub fn new(mut splices: Vec<Splice>) -> Result<Self, Overlap> {
        splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let apart = splices.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start);
        if apart { Ok(Self(splices)) } else { Err(Overlap) }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Splice> {
        self.0.iter()
    }

    /// The new bytes of `within`, which no splice may cross the edges of.
    pub fn build(&self, message: &Message, within: Range<usize>) -> Vec<u8> {
        let inside = || self.0.iter().filter(|s| s.range.start >= within.start && s.range.end <= within.end);
        let added: usize = inside().map(|splice| splice.bytes.len()).sum();
        let mut out = Vec::with_capacity(within.len() + added);
        let mut at = within.start;
        for splice in inside() {
            out.extend_from_slice(&message.read(at..splice.range.start));
            out.extend_from_slice(&splice.bytes);
            at = splice.range.end;
        }
        out.extend_from_slice(&message.read(at..within.end));
        out
    }

    /// The whole message with the splices in it, piece by piece.
    pub fn pieces<'a>(&'a self, message: &'a Message) -> Vec<Cow<'a, [u8]>> {
        let mut pieces = Vec::with_capacity(2 * self.0.len() + 1);
        let mut at = 0;
        for splice in &self.0 {
            pieces.push(message.read(at..splice.range.start));
            pieces.push(Cow::Borrowed(&splice.bytes[..]));
            at = splice.range.end;
        }
        pieces.push(message.read(at..message.len()));
        pieces
    }

    /// Where `offset` of the original is in the new bytes, in front of what is inserted there.
    pub fn map_before(&self, offset: usize) -> usize {
        self.map(offset, |range| range.end < offset || (range.end == offset && !range.is_empty()))
    }

    /// Where `offset` of the original is in the new bytes, behind what is inserted there.
    pub fn map_after(&self, offset: usize) -> usize {
        self.map(offset, |range| range.end <= offset)
    }

    fn map(&self, offset: usize, counts: impl Fn(&Range<usize>) -> bool) -> usize {
        let done = self.0.iter().filter(|splice| counts(&splice.range));
        done.fold(offset, |at, splice| at - splice.range.len() + splice.bytes.len())
    }
}

/// A message after its edits: the original and what stands in place of which of its bytes. A large message is never in
/// memory twice. Cheap to clone; `Debug` shows sizes only.
#[derive(Clone)]
pub struct Edited {
    message: Message,
    splices: Arc<Splices>,
}

impl Edited {
    pub(super) fn new(message: &Message, splices: Splices) -> Self {
        Self { message: message.clone(), splices: Arc::new(splices) }
    }

    /// The bytes that are not the original's: what an edit keeps in memory beside it.
    pub fn added(&self) -> usize {
        self.splices.iter().map(|splice| splice.bytes.len()).sum()
    }

    /// All bytes, in pieces that read on without a seam.
    pub fn pieces(&self) -> Vec<Cow<'_, [u8]>> {
        self.splices.pieces(&self.message)
    }

    /// The header's fields, edited.
    pub fn header(&self) -> Vec<u8> {
        self.splices.build(&self.message, self.message.root().header.clone())
    }

    /// The body in pieces, when an edit is in it.
    pub fn body(&self) -> Option<Vec<Cow<'_, [u8]>>> {
        let start = self.message.root().body.start;
        let inside: Vec<&Splice> = self.splices.iter().filter(|splice| splice.range.start >= start).collect();
        if inside.is_empty() {
            return None;
        }
        let mut pieces = Vec::with_capacity(2 * inside.len() + 1);
        let mut at = start;
        for splice in inside {
            pieces.push(self.message.read(at..splice.range.start));
            pieces.push(Cow::Borrowed(&splice.bytes[..]));
            at = splice.range.end;
        }
        pieces.push(self.message.read(at..self.message.len()));
        Some(pieces)
    }

    /// All bytes in one copy.
    pub fn to_vec(&self) -> Vec<u8> {
        self.splices.build(&self.message, 0..self.message.len())
    }
}

/// The same without these ranges of the original; none where an edit has to do with one of them.
pub(in crate::mail) fn without(edited: &Edited, ranges: &[Range<usize>]) -> Option<Edited> {
    let mut splices = edited.splices.0.clone();
    splices.extend(ranges.iter().map(|range| Splice { range: range.clone(), bytes: Vec::new() }));
    Some(Edited::new(&edited.message, Splices::new(splices).ok()?))
}

impl std::fmt::Debug for Edited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Edited {{ {:?}, {} splices }}", self.message, self.splices.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splice(range: Range<usize>, bytes: &str) -> Splice {
        Splice { range, bytes: bytes.as_bytes().to_vec() }
    }

    #[test]
    fn overlapping_splices_are_refused() {
        assert!(Splices::new(vec![splice(0..4, "a"), splice(3..5, "b")]).is_err());
        assert!(Splices::new(vec![splice(4..5, "b"), splice(0..4, "a"), splice(4..4, "c")]).is_ok());
    }

    #[test]
    fn offsets_move_with_what_stands_before_them() {
        let splices = Splices::new(vec![splice(10..10, "1234"), splice(2..4, ""), splice(20..22, "xyz")]).unwrap();
        assert_eq!([2, 4, 10, 11, 22].map(|at| splices.map_before(at)), [2, 2, 8, 13, 25]);
        assert_eq!([2, 4, 10, 11, 22].map(|at| splices.map_after(at)), [2, 2, 12, 13, 25]);
    }
}
