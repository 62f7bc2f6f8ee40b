//! The way back from decoded text to the bytes of the message.
//!
//! In: pieces, in order, as a decoder writes them. Out: for a range of the decoded side, the range of the source.
//! Maps of several decoders in a row (transfer encoding, charset, HTML) are joined by `through`.

use std::ops::Range;

/// Beyond so many pieces the map becomes coarser, so that its size stays below that of a large text.
const FINE_PIECES: usize = 1 << 17;
/// How much a piece then takes in, in bytes of text.
const COARSE: usize = 256;

/// Sorted pieces that cover the decoded side without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceMap {
    pieces: Vec<Piece>,
    len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    at: usize,
    source: Range<usize>,
    kind: Kind,
}

/// How offsets inside a piece lead to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One byte for each byte.
    Verbatim,
    /// The piece as a whole comes from the source as a whole.
    Whole,
    /// Base64 in lines of equal length: four characters for three bytes. One piece serves a whole attachment.
    Base64(Lines),
}

/// The shape of regular base64 lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// Characters in a line, a multiple of four.
    pub characters: usize,
    /// From the start of one line to the start of the next.
    pub stride: usize,
    /// Decoded bytes between the start of the source and the start of the piece.
    pub skip: usize,
}

impl Piece {
    fn source_of(&self, offset: usize) -> Range<usize> {
        match self.kind {
            Kind::Verbatim => {
                let at = (self.source.start + offset).min(self.source.end);
                at..(at + 1).min(self.source.end)
            }
            Kind::Whole => self.source.clone(),
            Kind::Base64(lines) => {
                let decoded = offset + lines.skip;
                let row_bytes = lines.characters / 4 * 3;
                let (row, column) = (decoded / row_bytes, decoded % row_bytes);
                let at = (self.source.start + row * lines.stride + column / 3 * 4).min(self.source.end);
                at..(at + 4).min(self.source.end)
            }
        }
    }
}

impl SourceMap {
    /// A map of `len` bytes that stand in the source as they are, from `start` on.
    pub fn verbatim(len: usize, start: usize) -> Self {
        let mut map = Self::default();
        map.push_verbatim(len, start);
        map
    }

    pub fn push_verbatim(&mut self, len: usize, start: usize) {
        if len == 0 {
            return;
        }
        let at = self.len;
        self.len += len;
        if let Some(last) = self.pieces.last_mut()
            && last.kind == Kind::Verbatim
            && last.source.end == start
        {
            last.source.end += len;
            return;
        }
        self.len = at;
        self.push(len, start..start + len, Kind::Verbatim);
    }

    pub fn push_whole(&mut self, len: usize, source: Range<usize>) {
        self.push(len, source, Kind::Whole);
    }

    pub fn push_base64(&mut self, len: usize, source: Range<usize>, lines: Lines) {
        self.push(len, source, Kind::Base64(lines));
    }

    fn push(&mut self, len: usize, source: Range<usize>, kind: Kind) {
        if len == 0 {
            return;
        }
        let coarse = self.pieces.len() >= FINE_PIECES && len < COARSE;
        match self.pieces.last_mut() {
            Some(last) if coarse && self.len - last.at < COARSE => {
                let source = last.source.start.min(source.start)..last.source.end.max(source.end);
                *last = Piece { at: last.at, source, kind: Kind::Whole };
            }
            _ => self.pieces.push(Piece { at: self.len, source, kind }),
        }
        self.len += len;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds the pieces of `other` behind these.
    pub fn extend(&mut self, other: SourceMap) {
        let ends = other.pieces.iter().skip(1).map(|piece| piece.at).chain([other.len]).collect::<Vec<_>>();
        for (piece, end) in other.pieces.into_iter().zip(ends) {
            self.push(end - piece.at, piece.source, piece.kind);
        }
    }

    /// The source of `range`; of an empty range, the empty range at its place.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        let Some(last) = self.pieces.last() else { return 0..0 };
        let start = if range.start >= self.len { last.source.end } else { self.source_of(range.start).start };
        if range.end <= range.start {
            return start..start;
        }
        let end = self.source_of(range.end.min(self.len) - 1).end;
        start..end.max(start)
    }

    fn source_of(&self, offset: usize) -> Range<usize> {
        let piece = &self.pieces[self.piece_at(offset)];
        piece.source_of(offset - piece.at)
    }

    fn piece_at(&self, offset: usize) -> usize {
        self.pieces.partition_point(|piece| piece.at <= offset).saturating_sub(1)
    }

    /// `self` leads from a text to an intermediate form and `inner` from there to the message: the map from the
    /// text to the message.
    pub fn through(self, inner: &SourceMap) -> SourceMap {
        let mut joined = SourceMap { pieces: Vec::with_capacity(self.pieces.len()), len: 0 };
        for (index, piece) in self.pieces.iter().enumerate() {
            let len = self.pieces.get(index + 1).map_or(self.len, |next| next.at) - piece.at;
            match piece.kind {
                Kind::Verbatim => joined.append(inner, piece.source.clone()),
                Kind::Base64(lines) if matches!(&inner.pieces[..], [only] if only.kind == Kind::Verbatim) => {
                    joined.push_base64(len, inner.source(piece.source.clone()), lines);
                }
                Kind::Whole | Kind::Base64(_) => joined.push_whole(len, inner.source(piece.source.clone())),
            }
        }
        joined
    }

    /// Appends the part of `inner` that stands at `range` of its decoded side.
    fn append(&mut self, inner: &SourceMap, range: Range<usize>) {
        let mut index = inner.piece_at(range.start);
        let mut at = range.start;
        while at < range.end {
            let Some(piece) = inner.pieces.get(index) else {
                self.push_whole(range.end - at, inner.source(at..range.end));
                return;
            };
            let piece_end = inner.pieces.get(index + 1).map_or(inner.len, |next| next.at);
            let end = if piece_end > at { piece_end.min(range.end) } else { range.end };
            let offset = at - piece.at;
            match piece.kind {
                Kind::Verbatim => self.push_verbatim(end - at, piece.source.start + offset),
                Kind::Whole => self.push_whole(end - at, piece.source.clone()),
                Kind::Base64(lines) => {
                    let lines = Lines { skip: lines.skip + offset, ..lines };
                    self.push_base64(end - at, piece.source.clone(), lines);
                }
            }
            at = end;
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_lines_lead_back_to_their_four_characters() {
        let mut map = SourceMap::default();
        // Two lines of eight characters with CR LF: six decoded bytes each.
        map.push_base64(12, 100..118, Lines { characters: 8, stride: 10, skip: 0 });
        assert_eq!(map.source(0..1), 100..104);
        assert_eq!(map.source(5..6), 104..108);
        assert_eq!(map.source(6..7), 110..114);
        assert_eq!(map.source(4..8), 104..114);
        assert_eq!(map.source(12..12), 118..118);
    }

    #[test]
    fn a_map_stays_smaller_than_a_large_text() {
        let mut map = SourceMap::default();
        let pieces = 3 * FINE_PIECES;
        for piece in 0..pieces {
            map.push_whole(1, piece * 3..piece * 3 + 3);
        }
        assert!(map.pieces.len() <= FINE_PIECES + 3 * FINE_PIECES / COARSE);
        assert_eq!(map.source(10..11), 30..33);
        for at in [FINE_PIECES + 7, pieces - 1] {
            let source = map.source(at..at + 1);
            assert!(source.start <= at * 3 && at * 3 + 3 <= source.end && source.len() <= 3 * COARSE);
        }
    }

    #[test]
    fn maps_in_a_row_are_joined() {
        let mut transfer = SourceMap::default();
        transfer.push_verbatim(3, 10); // abc
        transfer.push_whole(1, 13..16); // =E9
        transfer.push_base64(6, 20..28, Lines { characters: 8, stride: 10, skip: 0 });
        let mut charset = SourceMap::default();
        charset.push_verbatim(3, 0);
        charset.push_whole(2, 3..4); // é in UTF-8
        charset.push_verbatim(6, 4);
        let joined = charset.through(&transfer);
        assert_eq!(joined.len(), 11);
        assert_eq!(joined.source(1..2), 11..12);
        assert_eq!(joined.source(3..5), 13..16);
        assert_eq!(joined.source(5..6), 20..24);
        assert_eq!(joined.source(9..10), 24..28);
        let mut part = SourceMap::default();
        part.push_verbatim(4, 7);
        assert_eq!(part.through(&joined).source(0..1), 20..24);
    }
}
