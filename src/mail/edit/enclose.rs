//! A notice for a message that has no text to put it into, since it is signed, encrypted, or files alone: the message becomes
//! a part of a new one, byte for byte, and the notice stands beside it. Signatures cover parts, never a message's own header (RFC 1847 2.1, RFC
//! 8551 3.5), so what was signed verifies as before.

use super::{
    Around, EditFailure, Notice,
    encode::qp_encode,
    header::HeaderPlan,
    notice::{KIND, stands_in_message},
    notice_plain::{self, Lines},
    place::refuse_doubt,
    splice::Splice,
};
use crate::mail::{Field, Message, TransferEncoding};
use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hasher},
};

/// What the message's header says of its content: it goes with the content (RFC 2045 3).
const OF_CONTENT: &[u8] = b"content-";
/// Fields that the enclosed message of a covering note has besides, and no other: whoever is hidden in the header of the
/// message is not named in here.
const OF_MESSAGE: [&str; 5] = ["From", "Sender", "Date", "Subject", "MIME-Version"];
/// So many times another boundary is tried, should the message hold one of ours.
const TRIES: u32 = 16;

/// What is put around the message.
pub(super) struct Enclosure {
    pub around: Around,
    pub splices: Vec<Splice>,
    /// The header of what is enclosed, its empty line included.
    pub inner_header: Vec<u8>,
    /// What the part beside it says, decoded.
    pub text: Vec<u8>,
    /// Which of the notices were added.
    pub added: Vec<usize>,
}

/// Puts those of `notices` that do not stand in the message yet beside it. Nothing to do: none.
pub(super) fn enclose(
    message: &Message,
    plan: &mut HeaderPlan<'_>,
    around: Around,
    notices: &[&Notice],
    newline: &'static [u8],
) -> Result<Option<Enclosure>, EditFailure> {
    let root = message.root();
    let separated = root.body.start > root.header.end && !root.fields.is_empty();
    if !separated {
        return Err(EditFailure::NoPlace { kind: KIND });
    }
    refuse_doubt(message, 0)?;
    let added: Vec<usize> =
        (0..notices.len()).filter(|index| !stands_in_message(message, notices, *index, newline)).collect();
    if added.is_empty() {
        return Ok(None);
    }
    let new: Vec<&Notice> = added.iter().map(|index| notices[*index]).collect();
    let text = notice_plain::compose(&new, b"", true, true, Lines::Fixed);
    let text = text.replace('\n', std::str::from_utf8(newline).expect("a line break is ASCII")).into_bytes();
    let boundary = boundary(message).ok_or(EditFailure::NoPlace { kind: KIND })?;
    let writer = Writer { boundary: &boundary, newline };
    let transport = match root.encoding {
        TransferEncoding::EightBit => Some("8bit"),
        TransferEncoding::Binary => Some("binary"),
        _ => None,
    };
    let mut inner_header = Vec::new();
    if around == Around::CoveringNote {
        for name in OF_MESSAGE {
            message
                .fields(root, name)
                .for_each(|field| inner_header.extend_from_slice(&message.read(field.whole.clone())));
        }
    }
    let of_content: Vec<&Field> = root.fields.iter().filter(|field| is_of_content(message, field)).collect();
    of_content.iter().for_each(|field| inner_header.extend_from_slice(&message.read(field.whole.clone())));
    inner_header.extend_from_slice(newline);

    plan.revise(|field| is_of_content(message, field).then_some(None));
    if plan.fields("MIME-Version").next().is_none() {
        plan.add("MIME-Version", "MIME-Version: 1.0");
    }
    plan.add("Content-Type", &format!("Content-Type: multipart/mixed; boundary=\"{boundary}\""));
    if let Some(transport) = transport {
        plan.add("Content-Transfer-Encoding", &format!("Content-Transfer-Encoding: {transport}"));
    }
    let (mut front, mut behind) = (Vec::new(), Vec::new());
    match around {
        Around::Wrap => {
            writer.delimiter(false, &mut front);
            writer.delimiter(true, &mut behind);
            writer.text_part(&text, &mut behind);
        }
        Around::CoveringNote => {
            writer.delimiter(false, &mut front);
            writer.text_part(&text, &mut front);
            writer.delimiter(true, &mut front);
            writer.line("Content-Type: message/rfc822", &mut front);
            if let Some(transport) = transport {
                writer.line(&format!("Content-Transfer-Encoding: {transport}"), &mut front);
            }
            writer.line("Content-Disposition: inline", &mut front);
            writer.line("", &mut front);
        }
        Around::InFront => {
            writer.delimiter(false, &mut front);
            writer.text_part(&text, &mut front);
            writer.delimiter(true, &mut front);
        }
    }
    front.extend_from_slice(&inner_header);
    writer.line("", &mut behind);
    writer.line(&format!("--{boundary}--"), &mut behind);
    let (start, end) = (root.body.start, message.len());
    let splices = vec![Splice { range: start..start, bytes: front }, Splice { range: end..end, bytes: behind }];
    Ok(Some(Enclosure { around, splices, inner_header, text, added }))
}

fn is_of_content(message: &Message, field: &Field) -> bool {
    let name = message.read(field.name.clone());
    name.get(..OF_CONTENT.len()).is_some_and(|start| start.eq_ignore_ascii_case(OF_CONTENT))
}

/// One that stands nowhere in the message. The same message gets the same, so that an edit made again gives the same bytes.
fn boundary(message: &Message) -> Option<String> {
    let mut hash = DefaultHasher::new();
    hash.write(&message.read(0..message.len()));
    let bytes = message.read(0..message.len());
    (0..TRIES).find_map(|attempt| {
        hash.write_u32(attempt);
        let mut boundary = String::from("=_outgate_");
        write!(boundary, "{:016x}", hash.finish()).ok()?;
        memchr::memmem::find(&bytes, boundary.as_bytes()).is_none().then_some(boundary)
    })
}

struct Writer<'a> {
    boundary: &'a str,
    newline: &'static [u8],
}

impl Writer<'_> {
    fn line(&self, line: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(self.newline);
    }

    /// The line break in front belongs to the delimiter (RFC 2046 5.1.1), so that what stands before it keeps its own.
    fn delimiter(&self, behind_part: bool, out: &mut Vec<u8>) {
        if behind_part {
            out.extend_from_slice(self.newline);
        }
        self.line(&format!("--{}", self.boundary), out);
    }

    fn text_part(&self, text: &[u8], out: &mut Vec<u8>) {
        const LONGEST: usize = 78;
        let plain = text.is_ascii() && text.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST);
        let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
        let encoding = if plain { "7bit" } else { "quoted-printable" };
        self.line(&format!("Content-Type: text/plain; charset={charset}"), out);
        self.line(&format!("Content-Transfer-Encoding: {encoding}"), out);
        self.line("Content-Disposition: inline", out);
        self.line("", out);
        match plain {
            true => out.extend_from_slice(text),
            false => qp_encode(text, 0, self.newline, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::mail::{
        Edit, Message,
        edit::{Instead, Notice, Seal, Transport, apply},
    };
    use std::{collections::BTreeMap, sync::Arc};

    fn notice(plain: &str, known_by: &[&str], instead: Instead) -> Edit {
        let known_by = known_by.iter().map(|words| words.to_string()).collect();
        let sealed = BTreeMap::from([(Seal::PgpSigned, instead)]);
        Edit::AppendNotice { notice: Arc::new(Notice { plain: plain.into(), known_by, sealed, ..Notice::default() }) }
    }

    fn signed() -> Message {
        let text = "From: ada@ours.example\nSubject: x\nBcc: ben@elsewhere.example\nMIME-Version: 1.0\n\
                    Content-Type: multipart/signed;\n protocol=\"application/pgp-signature\"; boundary=b\n\n--b\n\nHello.\n--b\n\
                    Content-Type: application/pgp-signature\n\nAAAA\n--b--\n";
        Message::parse(text.replace('\n', "\r\n").into_bytes())
    }

    fn left(edits: &[Edit]) -> Result<String, String> {
        let applied = apply(&signed(), edits, Transport::default()).map_err(|failure| failure.to_string())?;
        Ok(String::from_utf8(applied.bytes()).expect("ASCII"))
    }

    #[test]
    fn several_notices_stand_together_and_what_one_says_no_other_repeats() {
        let long = notice("Example Support, a charity.", &[], Instead::Wrap);
        let left =
            left(&[long, notice("Example Support", &["Example Support"], Instead::CoveringNote)]).expect("added");
        assert_eq!(left.matches("Example Support").count(), 1);
        assert!(left.contains("message/rfc822"), "of two ways the covering note counts: {left}");
        let (outer, inner) = left.split_once("message/rfc822").expect("it is there");
        assert!(outer.contains("Bcc:") && !inner.contains("Bcc:"), "{left}");
        assert!(inner.contains(
            "From: ada@ours.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed;\r\n protocol"
        ));
    }

    #[test]
    fn one_that_wants_something_else_stops_all_of_its_kind() {
        let failure =
            left(&[notice("One.", &[], Instead::Wrap), notice("Two.", &[], Instead::Hold)]).expect_err("not both");
        assert_eq!(failure, "append-notice: the message is signed or encrypted (pgp-signed)");
    }

    #[test]
    fn nobody_puts_a_notice_in_front_of_what_may_be_encrypted() {
        for kind in [
            "application/octet-stream; name=smime.p7m",
            "application/pkcs7-mime; smime-type=compressed-data",
            "application/octet-stream; name=message.rpmsg",
            "multipart/mixed; boundary=b",
        ] {
            let part = "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b--\r\n";
            let text = format!("From: ada@ours.example\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n{part}");
            let edits = [notice("One.", &[], Instead::Wrap)];
            assert!(apply(&Message::parse(text.into_bytes()), &edits, Transport::default()).is_err(), "{kind}");
        }
    }
}
