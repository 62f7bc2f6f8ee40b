//! The text of a part as its reader sees it, and what kind of mail a message is.

use super::{
    Message, Part, Passage, Text, TransferEncoding, Zone,
    charset::{self, Charset},
    html_marks::Marks,
    html_text,
    source_map::SourceMap,
    transfer,
    zones::{self, Context},
};
use std::borrow::Cow;

/// Bytes of which nobody says in which charset they are: UTF-16 or UTF-8 where they are that, windows-1252 where not.
pub fn as_text(bytes: &[u8]) -> String {
    charset::lenient(bytes)
}

/// HTML as displayed.
pub fn html_as_text(html: &str) -> String {
    html_text::render(html).text
}

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
            (Text::mapped(text, to_message), Marks::default())
        };
        let whole = 0..text.text.len();
        text.set_zones(if part.is_attachment() {
            vec![Passage::sure(whole, Zone::Attachment)]
        } else if part.enclosed {
            vec![Passage::sure(whole, Zone::Forwarded)]
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
            // Exchange writes its out-of-office answers so, with a subject in the language of the mailbox.
            Some("auto-generated") => {
                let named = self.header("Subject").is_some_and(|subject| {
                    subject.get(..16).is_some_and(|head| head.eq_ignore_ascii_case("automatic reply:"))
                });
                let answers = ["In-Reply-To", "X-Auto-Response-Suppress"];
                named || answers.iter().all(|name| self.fields(self.root(), name).next().is_some())
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message {
        Message::parse(text.replace('\n', "\r\n").into_bytes())
    }

    /// Stretches of text with their zones, line ends as bars.
    fn zones(message: &Message) -> Vec<(String, Zone)> {
        let text = message.text(message.root());
        let shown = |passage: &Passage| text.text[passage.range.clone()].replace('\n', "|");
        text.zones().iter().map(|passage| (shown(passage), passage.zone)).collect()
    }

    #[test]
    fn every_layer_leads_back() {
        // <p>Gr&uuml;&szlig;e, caf=E9 QQ 12 34 56 C</p> in windows-1252, quoted-printable.
        let head = "Content-Type: text/html; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n";
        let message = parse(&format!("{head}<p>Gr&uuml;&szlig;e, caf=E9 QQ 12=\n 34=2056 <b>C</b></p>\n"));
        let text = message.text(message.root());
        assert_eq!(text.text, "Grüße, café QQ 12 34 56 C\n");
        let start = text.text.find("QQ").expect("there");
        let source = text.source(start..start + "QQ 12 34 56 C".len());
        assert_eq!(&*message.read(source), b"QQ 12=\r\n 34=2056 <b>C");
        let start = text.text.find('é').expect("there");
        assert_eq!(&*message.read(text.source(start..start + 2)), b"=E9");
    }

    #[test]
    fn base64_leads_back_to_its_characters() {
        let message = parse("Content-Transfer-Encoding: base64\n\nSGVsbG8gd29ybGQs\nIGhlbGxvIHRvIGFsbA==\n");
        let text = message.text(message.root());
        assert_eq!(text.text, "Hello world, hello to all");
        // Line two: ` hello to all`, from the tenth byte on.
        let start = text.text.find("all").expect("there");
        assert_eq!(&*message.read(text.source(start..start + 3)), b"IGFsbA==");
    }

    #[test]
    fn quotations_as_mail_programs_write_them() {
        use Zone::{Own, Quoted, Signature};
        let outlook = parse(
            "Subject: RE: x\nIn-Reply-To: <a@b.example>\nContent-Type: text/html\n\n<div class=WordSection1><p>mine</p>\
             <div style='border:none;border-top:solid #E1E1E1 1.0pt'><p><b>From:</b> Ada<br><b>Sent:</b> Monday<br>\
             <b>To:</b> Ben<br><b>Subject:</b> x</p></div><p>old</p></div>",
        );
        assert_eq!(
            zones(&outlook),
            [("mine|".into(), Own), ("From: Ada|Sent: Monday|To: Ben|Subject: x|old|".into(), Quoted)]
        );
        let gmail = parse(
            "Subject: Re: x\nContent-Type: text/html\n\n<div dir=ltr>mine<div>-- <br></div><div class=\"gmail_signature\">Ada</div></div>\
             <br><div class=\"gmail_quote\"><div class=\"gmail_attr\">On Mon, 1 Jun 2026, Ben wrote:<br></div>\
             <blockquote class=\"gmail_quote\" style=\"margin:0 0 0 .8ex\">old</blockquote></div>",
        );
        assert_eq!(
            zones(&gmail),
            [
                ("mine|".into(), Own),
                ("--|Ada|".into(), Signature),
                ("|".into(), Own),
                ("On Mon, 1 Jun 2026, Ben wrote:|old|".into(), Quoted)
            ]
        );
        let not_a_reply = parse("Subject: x\n\nFrom: Ada\nSent: Monday\nTo: Ben\n\nmine after all\n");
        let text = not_a_reply.text(not_a_reply.root());
        assert!(!text.zones().iter().any(Passage::is_quotation), "it may be the author's own");
    }

    #[test]
    fn whole_parts_have_one_zone() {
        let message = parse(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Disposition: attachment; filename=a.txt\n\nx\n\
             --a\nContent-Type: message/rfc822\n\nSubject: y\n\nz\n--a--\n",
        );
        let zone = |id: &str| {
            let part = message.parts().iter().find(|part| part.id.as_str() == id).expect("that part");
            message.text(part).zones().to_vec()
        };
        assert_eq!(zone("1"), [Passage::sure(0..1, Zone::Attachment)]);
        assert_eq!(zone("2.1"), [Passage::sure(0..1, Zone::Forwarded)]);
    }

    #[test]
    fn machine_mail() {
        for (header, automatic, auto_reply) in [
            ("Subject: x", false, false),
            ("Auto-Submitted: no", false, false),
            ("Auto-Submitted: No; x=y", false, false),
            ("Auto-Submitted: auto-replied", true, true),
            ("Auto-Submitted: auto-replied (vacation)", true, true),
            ("Auto-Submitted: auto-generated", true, false),
            ("Auto-Submitted: auto-generated\nSubject: Automatic reply: away", true, true),
            ("Auto-Submitted: auto-generated\nIn-Reply-To: <a@b.example>", true, false),
            ("Auto-Submitted: auto-generated\nIn-Reply-To: <a@b.example>\nX-Auto-Response-Suppress: All", true, true),
            ("Content-Type: multipart/report; boundary=a", true, false),
            ("Auto-Submitted: auto-replied\nContent-Type: multipart/report; boundary=a", true, false),
            ("Content-Type: message/disposition-notification", true, false),
        ] {
            let message = parse(&format!("{header}\n\nbody\n"));
            assert_eq!((message.is_automatic(), message.is_auto_reply()), (automatic, auto_reply), "{header}");
        }
    }
}
