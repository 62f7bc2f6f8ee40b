//! The text of a part as its reader sees it, with the way back to the original bytes.

use super::source_map::SourceMap;
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

/// How sure it is whose words a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// There is a sign, but it may as well be the author's own: it counts as own too.
    Low,
    High,
}

/// A stretch of text of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    pub range: Range<usize>,
    pub zone: Zone,
    pub confidence: Confidence,
}

impl Passage {
    pub fn sure(range: Range<usize>, zone: Zone) -> Self {
        Self { range, zone, confidence: Confidence::High }
    }

    /// Surely the words of somebody else.
    pub fn is_quotation(&self) -> bool {
        matches!(self.zone, Zone::Quoted | Zone::Forwarded) && self.confidence == Confidence::High
    }
}

/// Decoded text. Offsets into `text` lead back to byte ranges of the message.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub text: String,
    map: SourceMap,
    /// Sorted, without gaps, covering `text`.
    zones: Vec<Passage>,
}

impl Text {
    /// Text that a decoder has written together with its map.
    pub(super) fn mapped(text: String, map: SourceMap) -> Self {
        debug_assert_eq!(text.len(), map.len());
        Self { text, map, zones: Vec::new() }
    }

    /// Adds text that stands in the message as it is, byte for byte.
    pub fn push_verbatim(&mut self, text: &str, source_start: usize) {
        self.map.push_verbatim(text.len(), source_start);
        self.text.push_str(text);
    }

    /// Adds text that was decoded from `source`.
    pub fn push_decoded(&mut self, text: &str, source: Range<usize>) {
        self.map.push_whole(text.len(), source);
        self.text.push_str(text);
    }

    /// The bytes of the message from which `range` of the text came.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.map.source(range)
    }

    /// Adds text that a decoder has written together with its map.
    pub(super) fn append(&mut self, text: &str, map: SourceMap) {
        self.map.extend(map);
        self.text.push_str(text);
    }

    /// The zone of the character at `offset`.
    pub fn zone(&self, offset: usize) -> Zone {
        self.zone_and_confidence(offset).0
    }

    pub fn zone_and_confidence(&self, offset: usize) -> (Zone, Confidence) {
        let index = self.zones.partition_point(|passage| passage.range.start <= offset).saturating_sub(1);
        self.zones.get(index).map_or((Zone::Own, Confidence::High), |passage| (passage.zone, passage.confidence))
    }

    pub fn zones(&self) -> &[Passage] {
        &self.zones
    }

    pub fn set_zones(&mut self, zones: Vec<Passage>) {
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
