//! The text of a part as its reader sees it, with the way back to the original bytes.

use std::ops::Range;

/// Whose words a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    Own,
    Quoted,
    Forwarded,
    Signature,
    Notice,
    Header,
    Attachment,
}

/// Decoded text. Offsets into `text` lead back to byte ranges of the message.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub text: String,
    /// Sorted pieces that cover `text`: where each begins in `text` and which bytes it came from.
    pieces: Vec<Piece>,
    /// Sorted, without gaps, covering `text`.
    zones: Vec<(Range<usize>, Zone)>,
}

#[derive(Clone, Debug)]
struct Piece {
    at: usize,
    source: Range<usize>,
    /// One byte of text for each byte of source: offsets inside the piece map one to one.
    verbatim: bool,
}

impl Text {
    /// Adds text that stands in the message as it is, byte for byte.
    pub fn push_verbatim(&mut self, text: &str, source_start: usize) {
        if text.is_empty() {
            return;
        }
        let source = source_start..source_start + text.len();
        if let Some(last) = self.pieces.last_mut()
            && last.verbatim
            && last.source.end == source.start
            && last.at + (last.source.end - last.source.start) == self.text.len()
        {
            last.source.end = source.end;
        } else {
            self.pieces.push(Piece { at: self.text.len(), source, verbatim: true });
        }
        self.text.push_str(text);
    }

    /// Adds text that was decoded from `source`.
    pub fn push_decoded(&mut self, text: &str, source: Range<usize>) {
        if text.is_empty() {
            return;
        }
        self.pieces.push(Piece { at: self.text.len(), source, verbatim: false });
        self.text.push_str(text);
    }

    /// The bytes of the message from which `range` of the text came.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        if self.pieces.is_empty() {
            return 0..0;
        }
        let start = self.source_of(range.start).start;
        let end = if range.end > range.start { self.source_of(range.end - 1).end } else { start };
        start..end.max(start)
    }

    fn source_of(&self, offset: usize) -> Range<usize> {
        let index = self.pieces.partition_point(|piece| piece.at <= offset).saturating_sub(1);
        let piece = &self.pieces[index];
        if piece.verbatim {
            let at = (piece.source.start + offset.saturating_sub(piece.at)).min(piece.source.end);
            at..(at + 1).min(piece.source.end)
        } else {
            piece.source.clone()
        }
    }

    /// The zone of the character at `offset`.
    pub fn zone(&self, offset: usize) -> Zone {
        let index = self.zones.partition_point(|(range, _)| range.start <= offset).saturating_sub(1);
        self.zones.get(index).map_or(Zone::Own, |(_, zone)| *zone)
    }

    pub fn zones(&self) -> &[(Range<usize>, Zone)] {
        &self.zones
    }

    pub fn set_zones(&mut self, zones: Vec<(Range<usize>, Zone)>) {
        self.zones = zones;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back_to_the_message() {
        let mut text = Text::default();
        text.push_verbatim("caf", 100);
        text.push_decoded("é", 103..109); // =C3=A9
        text.push_verbatim(" now", 109);
        assert_eq!(text.text, "café now");
        assert_eq!(text.source(0..3), 100..103);
        assert_eq!(text.source(0..5), 100..109);
        assert_eq!(text.source(6..9), 110..113);
        assert_eq!(text.source(9..9), 113..113);
    }
}
