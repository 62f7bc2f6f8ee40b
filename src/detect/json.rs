//! What `outgate scan` prints: `{"findings":[{"type","start","end","text","score"}],"doc_types":[]}`. Offsets are code points;
//! the text is in clear, since it is the caller's own input.

use super::{Detectors, Hit, contacts::QUOTED_RECIPIENT, inside::AttachmentReader, within};
use crate::mail::Message;
use serde_json::{Map, Value, json};

/// Of a word with this severity a whole document is called offensive.
const OFFENSIVE_DOCUMENT: u8 = 2;

/// Plain text or, with `html`, the source of a page: its offsets are then those of the source.
pub fn scan_text_json(detectors: &Detectors, text: &str, html: bool) -> Value {
    let mut findings = Vec::new();
    let mut doc_types = Vec::new();
    if html {
        let head = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
        let message = Message::parse(format!("{head}{text}").into_bytes());
        let shown = message.text(message.root());
        let mut hits = Vec::new();
        detectors.find(&shown.text, &mut hits);
        let mut points = CodePoints::new(text);
        for hit in hits.iter().filter(|hit| is_printed(hit)) {
            let source = shown.source(hit.range.clone());
            let start = points.at(source.start.saturating_sub(head.len()));
            let end = points.at(source.end.saturating_sub(head.len()));
            findings.push(Value::Object(finding(hit, &shown.text[hit.range.clone()], start, end)));
            note_document(hit, &mut doc_types);
        }
    } else {
        add_text(detectors, text, &mut findings, &mut doc_types, |_, _| {});
    }
    json!({ "findings": findings, "doc_types": doc_types })
}

/// A whole message with what is inside its attachments: offsets are those of the part's decoded text (of a long one, of a
/// piece of it), and each finding names its part and zone.
pub fn scan_message_json(detectors: &Detectors, message: &Message, reader: &dyn AttachmentReader) -> Value {
    let mut findings = Vec::new();
    let mut doc_types = Vec::new();
    if let Some(subject) = message.header("Subject") {
        add_text(detectors, &subject, &mut findings, &mut doc_types, |finding, _| {
            finding.insert("part".into(), "HEADER".into());
            finding.insert("zone".into(), "header".into());
        });
    }
    for part in message.parts().iter().filter(|part| part.is_text() && !part.is_multipart()) {
        let text = message.text(part);
        add_text(detectors, &text.text, &mut findings, &mut doc_types, |finding, hit| {
            finding.insert("part".into(), part.id.as_str().into());
            finding.insert("zone".into(), json!(text.zone(hit.range.start)));
        });
    }
    let mut unread = message.unread().to_vec();
    within::read_all(message, reader, &mut unread, &mut |id, text| {
        add_text(detectors, text, &mut findings, &mut doc_types, |finding, _| {
            finding.insert("part".into(), id.as_str().into());
            finding.insert("zone".into(), "attachment".into());
        });
    });
    let unread = unread.iter().map(|unread| json!({"part": unread.part.as_str(), "reason": unread.reason}));
    json!({ "findings": findings, "doc_types": doc_types, "unread": unread.collect::<Vec<_>>() })
}

fn add_text(
    detectors: &Detectors,
    text: &str,
    findings: &mut Vec<Value>,
    doc_types: &mut Vec<&'static str>,
    complete: impl Fn(&mut Map<String, Value>, &Hit),
) {
    let mut hits = Vec::new();
    detectors.find(text, &mut hits);
    let mut points = CodePoints::new(text);
    for hit in hits.iter().filter(|hit| is_printed(hit)) {
        let (start, end) = (points.at(hit.range.start), points.at(hit.range.end));
        let mut finding = finding(hit, &text[hit.range.clone()], start, end);
        complete(&mut finding, hit);
        findings.push(Value::Object(finding));
        note_document(hit, doc_types);
    }
}

fn is_printed(hit: &Hit) -> bool {
    *hit.detector.kind != *QUOTED_RECIPIENT
}

fn finding(hit: &Hit, text: &str, start: usize, end: usize) -> Map<String, Value> {
    let mut finding = Map::new();
    finding.insert("type".into(), (*hit.detector.kind).into());
    finding.insert("start".into(), start.into());
    finding.insert("end".into(), end.into());
    finding.insert("text".into(), text.into());
    finding.insert("score".into(), (f64::from((hit.score * 100.0).round()) / 100.0).into());
    if let Some(category) = &hit.category {
        finding.insert("category".into(), (**category).into());
    }
    finding
}

fn note_document(hit: &Hit, doc_types: &mut Vec<&'static str>) {
    let kind = match &*hit.detector.kind {
        "OFFENSIVE" if hit.severity >= OFFENSIVE_DOCUMENT => "OFFENSIVE",
        "CONTACT_LIST" => "CONTACT_LIST",
        "SPECIAL_CATEGORY" => "SPECIAL_CATEGORY",
        _ => return,
    };
    if !doc_types.contains(&kind) {
        doc_types.push(kind);
    }
}

/// Byte offsets to code points, in one walk when they rise.
struct CodePoints<'a> {
    text: &'a str,
    at: usize,
    points: usize,
}

impl<'a> CodePoints<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, points: 0 }
    }

    fn at(&mut self, offset: usize) -> usize {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        if offset >= self.at {
            self.points += self.text[self.at..offset].chars().count();
        } else {
            self.points -= self.text[offset..self.at].chars().count();
        }
        self.at = offset;
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::DetectorSources;

    #[test]
    fn offsets_are_code_points() {
        let detectors = Detectors::compile(&DetectorSources::embedded()).unwrap();
        let found = scan_text_json(&detectors, "é £ NI number AB 12 34 56 A, IBAN GB29NWBK60161331926819", false);
        assert_eq!(found["findings"][0]["type"], "UK_NINO");
        assert_eq!(
            (found["findings"][0]["start"].as_u64(), found["findings"][0]["end"].as_u64()),
            (Some(14), Some(27))
        );
        assert_eq!(found["findings"][0]["text"], "AB 12 34 56 A");
        assert_eq!(found["findings"][1]["type"], "IBAN");
        assert_eq!(found["findings"][1]["start"], 34);
        assert_eq!(found["doc_types"], json!([]));
    }
}
