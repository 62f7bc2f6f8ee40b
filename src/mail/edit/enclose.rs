//! A notice for a message that has no text to put it into, since it is signed, encrypted, or files alone: the message becomes
//! a part of a new one, byte for byte, and the notice stands beside it. Signatures cover parts, never a message's own header (RFC 1847 2.1, RFC
//! 8551 3.5), so what was signed verifies as before.

use super::{
    Around, EditFailure, Notice,
    encode::qp_encode,
    header::HeaderPlan,
    notice::{KIND, stands_in_message, unsaid},
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
    /// How many notices were added.
    pub added: usize,
}

/// Those of `notices` that do not stand in the message yet. In a message that could be read in two ways none does.
pub(super) fn missing<'n>(message: &Message, notices: &[&'n Notice], newline: &'static [u8]) -> Vec<&'n Notice> {
    let doubtful = refuse_doubt(message, 0).is_err();
    let missing = |notice: &&&Notice| doubtful || !stands_in_message(message, notice, newline);
    notices.iter().filter(missing).copied().collect()
}

/// Puts the notices beside the message.
pub(super) fn enclose(
    message: &Message,
    plan: &mut HeaderPlan<'_>,
    around: Around,
    notices: &[&Notice],
    newline: &'static [u8],
) -> Result<Enclosure, EditFailure> {
    let root = message.root();
    let separated = root.body.start > root.header.end && !root.fields.is_empty();
    if !separated {
        return Err(EditFailure::NoPlace { kind: KIND });
    }
    refuse_doubt(message, 0)?;
    let new = unsaid(notices);
    let text = notice_plain::compose(&new, b"", true, true, Lines::Fixed);
    let text = text.replace('\n', std::str::from_utf8(newline).expect("a line break is ASCII")).into_bytes();
    let boundary = boundary(message).ok_or(EditFailure::NoPlace { kind: KIND })?;
    let writer = Writer { boundary: &boundary, newline };
    let transport = match root.encoding {
        TransferEncoding::EightBit => Some("8bit"),
        TransferEncoding::Binary => Some("binary"),
        _ => None,
    };
    let inner_header = inner_header(message, around, transport.is_some(), newline)?;

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
    Ok(Enclosure { around, splices, inner_header, text, added: new.len() })
}

/// The fields that go into the body with the content. There, what is not ASCII must be carried as a body's bytes are: a
/// field that only tells of the message is left out, one that says what the content is cannot be.
fn inner_header(
    message: &Message,
    around: Around,
    carries_octets: bool,
    newline: &[u8],
) -> Result<Vec<u8>, EditFailure> {
    let root = message.root();
    let mut header = Vec::new();
    if around == Around::CoveringNote {
        for field in OF_MESSAGE.iter().flat_map(|name| message.fields(root, name)) {
            let whole = message.read(field.whole.clone());
            header.extend_from_slice(if whole.is_ascii() { &whole } else { b"" });
        }
    }
    for field in root.fields.iter().filter(|field| is_of_content(message, field)) {
        let whole = message.read(field.whole.clone());
        if !whole.is_ascii() && !carries_octets {
            return Err(EditFailure::NoPlace { kind: KIND });
        }
        header.extend_from_slice(&whole);
    }
    header.extend_from_slice(newline);
    Ok(header)
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

    fn parsed(header: &str, body: &str) -> Message {
        Message::parse(
            format!("From: ada@ours.example\nMIME-Version: 1.0\n{header}\n{body}").replace('\n', "\r\n").into(),
        )
    }

    fn becomes(message: &Message, sealed: &[(Seal, Instead)]) -> Result<String, String> {
        let notice = Notice { plain: "One.".into(), sealed: sealed.iter().copied().collect(), ..Notice::default() };
        let edits = [Edit::AppendNotice { notice: Arc::new(notice) }];
        let applied = apply(message, &edits, Transport::default()).map_err(|failure| failure.to_string())?;
        let skipped: String = applied.skipped.iter().map(|skipped| skipped.reason).collect();
        Ok(String::from_utf8_lossy(&applied.bytes()).into_owned() + &skipped)
    }

    const CLEAR: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nHello.\n\n{}\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n\
                         -----END PGP SIGNATURE-----\n";

    #[test]
    fn what_stands_in_a_signed_text_asks_for_nothing() {
        for instead in [Instead::Hold, Instead::Return, Instead::Wrap] {
            let message = parsed("Content-Type: text/plain\n", &CLEAR.replace("{}", "One."));
            let left = becomes(&message, &[(Seal::PgpInline, instead)]).expect("nothing to do");
            assert!(left.ends_with("already there") && !left.contains("multipart"), "{left}");
            let other = parsed("Content-Type: text/plain\n", &CLEAR.replace("{}", "Two."));
            assert_eq!(becomes(&other, &[(Seal::PgpInline, instead)]).is_ok(), instead == Instead::Wrap);
        }
    }

    #[test]
    fn a_key_in_a_text_seals_nothing_and_armour_is_found_behind_a_byte_order_mark_in_base64_and_in_html() {
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let left = becomes(&parsed("Content-Type: text/plain\n", key), &[]).expect("an ordinary text");
        assert!(left.contains("One.") && !left.contains("multipart"), "{left}");
        let message = "-----BEGIN PGP MESSAGE-----\n\nhQ==\n-----END PGP MESSAGE-----\n";
        let utf8 = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n";
        let base64 = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n";
        let html = "Content-Type: text/html\n";
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(message.replace('\n', "\r\n")) + "\n";
        for (header, body) in [
            (utf8, format!("\u{feff}{message}")),
            (base64, encoded),
            (html, format!("<pre>{message}</pre>")),
            ("Content-Type: text/plain\n", format!("{key}{message}")),
        ] {
            let failure = becomes(&parsed(header, &body), &[(Seal::Encrypted, Instead::Hold)]).expect_err(header);
            assert_eq!(failure, "append-notice: the message is signed or encrypted (encrypted)", "{header}");
            let left = becomes(&parsed(header, &body), &[(Seal::Encrypted, Instead::Wrap)]).expect(header);
            assert!(left.contains(&body.replace('\n', "\r\n")), "{left}");
        }
    }

    #[test]
    fn a_body_of_seven_bits_takes_no_field_of_eight() {
        let signed = "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=x\n";
        let note = [(Seal::SmimeOpaque, Instead::CoveringNote)];
        let left = becomes(&parsed(&format!("Subject: für\n{signed}"), "AAAA\n"), &note).expect("added");
        let (header, body) = left.split_once("\r\n\r\n").expect("a body");
        assert!(header.contains("Subject: für") && body.is_ascii() && body.contains("From: ada"), "{left}");
        let described = parsed(&format!("{signed}Content-Description: für\n"), "AAAA\n");
        assert_eq!(
            becomes(&described, &note).expect_err("it is a header of the content"),
            "append-notice: the message has no part that can take it"
        );
        let eight = parsed(&format!("{signed}Content-Description: für\nContent-Transfer-Encoding: 8bit\n"), "AAAA\n");
        assert!(becomes(&eight, &note).expect("eight bits are carried").contains("Content-Description: für"));
    }

    #[test]
    fn the_outermost_of_several_seals_counts_and_all_stay_inside() {
        let triple = "--a\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\nContent-Transfer-Encoding: base64\n\nMIIB\n\
                      --a\nContent-Type: application/pkcs7-signature\n\nAAAA\n--a--\n";
        let header = "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=a\n";
        let sealed = [(Seal::SmimeSigned, Instead::Wrap), (Seal::Encrypted, Instead::Hold)];
        let left = becomes(&parsed(header, triple), &sealed).expect("wrapped");
        assert!(left.contains(&triple.replace('\n', "\r\n")) && left.contains("One."), "{left}");
    }

    #[test]
    fn a_rights_managed_message_does_what_its_own_word_says() {
        let body = "--a\nContent-Type: text/plain\n\nOpen the attachment.\n--a\nContent-Type: application/x-microsoft-rpmsg-message; name=message.rpmsg\n\
                    Content-Transfer-Encoding: base64\n\ndgTo\n--a--\n";
        let message = parsed("Content-Type: multipart/mixed; boundary=a\n", body);
        let failure = becomes(&message, &[(Seal::RightsManaged, Instead::Leave)]).expect_err("left as it is");
        assert_eq!(failure, "append-notice: the message is signed or encrypted (rights-managed)");
        let left = becomes(&message, &[(Seal::RightsManaged, Instead::CoveringNote)]).expect("enclosed");
        assert!(left.contains(&body.replace('\n', "\r\n")) && left.contains("message/rfc822"), "{left}");
    }
}
