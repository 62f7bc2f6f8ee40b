//! The text of a part as its reader sees it, and what kind of mail a message is.

use super::{
    Message, Part, Text, TransferEncoding, Zone,
    charset::{self, Charset},
    html_text,
    source_map::SourceMap,
    transfer,
    zones::{self, Context},
};
use std::borrow::Cow;

impl Message {
    /// The text of a text part as its reader sees it (transfer encoding, charset; HTML as displayed), with zones.
    pub fn text(&self, part: &Part) -> Text {
        let body = self.slice(part.body.clone());
        let (bytes, transfer_map) = match part.encoding {
            TransferEncoding::Base64 => mapped(transfer::base64_mapped(body)),
            TransferEncoding::QuotedPrintable => mapped(transfer::quoted_printable_mapped(body)),
            _ => (Cow::Borrowed(body), SourceMap::verbatim(body.len(), 0)),
        };
        let to_message = transfer_map.through(&SourceMap::verbatim(body.len(), part.body.start));
        let (text, charset_map) = charset::decode(bytes, Charset::of(part.content_type.parameter("charset")));
        let to_message = charset_map.through(&to_message);
        let (mut text, marks) = if part.content_type.subtype == "html" {
            let rendered = html_text::render(&text);
            (Text::mapped(rendered.text, rendered.map.through(&to_message)), rendered.marks)
        } else {
            (Text::mapped(text, to_message), Vec::new())
        };
        let whole = 0..text.text.len();
        text.set_zones(if part.is_attachment() {
            vec![(whole, Zone::Attachment)]
        } else if part.enclosed {
            vec![(whole, Zone::Forwarded)]
        } else {
            zones::of_lines(&text.text, &marks, Context { reply: self.is_reply(), forward: self.is_forward() })
        });
        text
    }

    /// Whether the headers call it an answer: In-Reply-To, References or a subject that begins so.
    pub fn is_reply(&self) -> bool {
        ["In-Reply-To", "References"].iter().any(|name| self.fields(self.root(), name).next().is_some())
            || self.subject_begins(&["re:", "aw:", "sv:", "antw:"])
    }

    /// Whether the subject calls it a forwarded message.
    pub fn is_forward(&self) -> bool {
        self.subject_begins(&["fw:", "fwd:", "wg:", "tr:"])
    }

    fn subject_begins(&self, marks: &[&str]) -> bool {
        let subject = self.header("Subject").unwrap_or_default();
        marks.iter().any(|mark| subject.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark)))
    }

    /// Machine mail: null sender is asked of the envelope; here multipart/report, read receipts and
    /// `Auto-Submitted` other than `no` (RFC 3834). Includes `is_auto_reply`.
    pub fn is_automatic(&self) -> bool {
        let kind = &self.root().content_type;
        kind.is("multipart", "report")
            || kind.is("message", "disposition-notification")
            || kind.is("message", "delivery-status")
            || self.auto_submitted().is_some_and(|value| value != "no")
    }

    /// An out-of-office answer: automatic, and yet written by a person (RFC 3834 5).
    pub fn is_auto_reply(&self) -> bool {
        let kind = &self.root().content_type;
        if kind.is("multipart", "report") || kind.media == "message" {
            return false;
        }
        match self.auto_submitted().as_deref() {
            Some("auto-replied") => true,
            // Exchange writes its out-of-office answers so.
            Some("auto-generated") => self.header("Subject").is_some_and(|subject| {
                subject.get(..16).is_some_and(|head| head.eq_ignore_ascii_case("automatic reply:"))
            }),
            _ => false,
        }
    }

    /// The keyword of `Auto-Submitted`, in lower case.
    fn auto_submitted(&self) -> Option<String> {
        let value = self.header("Auto-Submitted")?;
        let keyword = value.split([';', '(', ' ', '\t']).find(|word| !word.is_empty())?;
        Some(keyword.to_ascii_lowercase())
    }
}

fn mapped<'a>((bytes, map): (Vec<u8>, SourceMap)) -> (Cow<'a, [u8]>, SourceMap) {
    (Cow::Owned(bytes), map)
}
