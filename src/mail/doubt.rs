//! What could be read in two ways, in words that a non-programmer understands.
//!
//! Different readers solve these differently, so what one shows another may hide. Each class is flagged, never
//! silently solved.

use super::{TransferEncoding, header, scan::Found, transfer};
use memchr::memmem;

pub(super) const TWO_CONTENT_TYPES: &str = "two different content types";
pub(super) const TWO_ENCODINGS: &str = "two different transfer encodings";
pub(super) const TWO_DISPOSITIONS: &str = "two different dispositions";
pub(super) const TWO_BOUNDARIES: &str = "two different boundaries";
pub(super) const TWO_PARAMETERS: &str = "one property of the content type given twice, differently";
pub(super) const TWO_FILE_NAMES: &str = "two different file names";
pub(super) const ODD_CONTENT_TYPE: &str = "a content type that is not written as the standard says";
pub(super) const ODD_BOUNDARY: &str = "a boundary that is not written as the standard says";
pub(super) const NO_BOUNDARY: &str = "several parts without a boundary between them";
pub(super) const BOUNDARY_NOT_FOUND: &str = "the declared boundary does not occur";
pub(super) const BOUNDARY_IN_USE: &str = "an inner part uses the boundary of an outer one";
pub(super) const BOUNDARY_WITH_TEXT: &str = "a boundary line with text behind the boundary";
pub(super) const BOUNDARY_IN_LINE: &str = "a boundary in the middle of a line";
pub(super) const NO_LAST_BOUNDARY: &str = "the last boundary is missing";
pub(super) const PART_IN_PREAMBLE: &str = "something like a part before the first part";
pub(super) const PART_IN_EPILOGUE: &str = "something like a part behind the last part";
pub(super) const UNKNOWN_ENCODING: &str = "a transfer encoding that is not known";
pub(super) const ENCODED_COMPOSITE: &str = "a part with parts inside that is encoded as a whole";
pub(super) const UNKNOWN_CHARSET: &str = "a character set that is not known";
pub(super) const STRAY_CONTROL: &str = "a carriage return or zero byte inside a header";
pub(super) const ODD_FIELD_NAME: &str = "a header name with a space or other foreign byte";
pub(super) const BLANK_CONTINUATION: &str = "a line of blanks inside a header";
pub(super) const LEADING_BLANK: &str = "a message that begins with a blank";
pub(super) const MIXED_LINE_ENDS: &str = "different line ends in one header";
pub(super) const NO_EMPTY_LINE: &str = "no empty line between header and body";
pub(super) const HEADER_IN_BODY: &str = "header lines at the start of the body";
pub(super) const STRAY_BOUNDARY_BREAK: &str = "a boundary behind a stray carriage return";
pub(super) const DAMAGED_BASE64: &str = "damaged base64";
pub(super) const DAMAGED_QUOTED_PRINTABLE: &str = "damaged quoted-printable";
pub(super) const TWO_FROM: &str = "more than one From field";
pub(super) const TWO_TO: &str = "more than one To field";
pub(super) const TWO_CC: &str = "more than one Cc field";
pub(super) const TWO_SUBJECT: &str = "more than one Subject field";

/// Whether text outside the parts looks as if it were meant to be one.
pub(super) fn looks_like_a_part(outside: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memmem::find(&outside[at..], b"ontent-") {
        let here = at + found;
        let begins_line = matches!(outside.get(here.wrapping_sub(1)), Some(b'C' | b'c'))
            && (here == 1 || matches!(outside.get(here.wrapping_sub(2)), Some(b'\n' | b'\r')));
        if begins_line {
            return true;
        }
        at = here + 7;
    }
    false
}

/// The doubts that need a look at fields of the message and at bodies.
pub(super) fn of_bodies(bytes: &[u8], found: &mut Found) {
    repeated_fields(bytes, found);
    let mut has_multipart = false;
    for index in 0..found.parts.len() {
        let part = &found.parts[index];
        has_multipart |= part.is_multipart();
        let composite = part.is_multipart() || super::scan::encloses_message(part);
        let body = &bytes[part.body.clone()];
        let class = match part.encoding {
            _ if composite => None,
            TransferEncoding::Base64 if transfer::is_irregular_base64(body) => Some(DAMAGED_BASE64),
            TransferEncoding::QuotedPrintable if transfer::is_irregular_quoted_printable(body) => {
                Some(DAMAGED_QUOTED_PRINTABLE)
            }
            _ => None,
        };
        // The body of a message/… part begins with header lines as a matter of course.
        let header_in_body = part.content_type.media != "message" && begins_with_header(body);
        if let Some(class) = class {
            found.doubt(index, class);
        }
        if header_in_body {
            found.doubt(index, HEADER_IN_BODY);
        }
    }
    if has_multipart {
        if memmem::find(bytes, b"\r--").is_some() {
            found.doubt(0, STRAY_BOUNDARY_BREAK);
        }
        misplaced_boundaries(bytes, found);
    }
}

/// Readers that look for the boundary anywhere see a part where others see text. Asked of the outermost multiparts
/// only: each costs a pass over its body.
fn misplaced_boundaries(bytes: &[u8], found: &mut Found) {
    const MOST: usize = 4;
    let multiparts: Vec<usize> =
        (0..found.parts.len()).filter(|&index| found.parts[index].is_multipart()).take(MOST).collect();
    for index in multiparts {
        let part = &found.parts[index];
        let needle = [b"--", part.boundary.as_deref().unwrap_or_default()].concat();
        let body = &bytes[part.body.clone()];
        let misplaced = memmem::find_iter(body, &needle).any(|at| {
            // More dashes in front belong to another boundary that ends alike.
            at > 0 && !matches!(body[at - 1], b'\n' | b'\r' | b'-')
        });
        if misplaced {
            found.doubt(index, BOUNDARY_IN_LINE);
        }
    }
}

/// `Content-…:` or `MIME-Version:` as the first line of a body: some readers take it for a header.
fn begins_with_header(body: &[u8]) -> bool {
    let start = body.iter().take(64).position(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'\t'));
    let Some(body) = start.map(|start| &body[start..]) else { return false };
    [&b"content-type:"[..], b"content-transfer-encoding:", b"content-disposition:", b"mime-version:"]
        .iter()
        .any(|name| body.len() > name.len() && body[..name.len()].eq_ignore_ascii_case(name))
}

/// RFC 5322 3.6 allows each of these once.
fn repeated_fields(bytes: &[u8], found: &mut Found) {
    let names: [(&[u8], &'static str); 4] =
        [(b"from", TWO_FROM), (b"to", TWO_TO), (b"cc", TWO_CC), (b"subject", TWO_SUBJECT)];
    let mut seen = [0usize; 4];
    let mut words = 0;
    for field in &found.parts[0].fields {
        let name = header::trim(&bytes[field.name.clone()]);
        if let Some(index) = names.iter().position(|(known, _)| name.eq_ignore_ascii_case(known)) {
            seen[index] += 1;
        }
        words = words.max(memmem::find_iter(&bytes[field.value.clone()], b"=?").count());
    }
    for (count, (_, class)) in seen.into_iter().zip(names) {
        if count > 1 {
            found.doubt(0, class);
        }
    }
    if words > super::encoded_word::MOST_WORDS {
        found.unread.push(super::Unread { part: super::PartId::header(), reason: super::UnreadReason::TooMany });
    }
}

#[cfg(test)]
mod tests {
    use crate::mail::Message;

    fn classes(text: &str) -> Vec<&'static str> {
        let message = Message::parse(text.replace('\n', "\r\n").into_bytes());
        message.ambiguous().iter().map(|ambiguity| ambiguity.class).collect()
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_flagged() {
        use super::*;
        for (text, class) in [
            ("Content-Type: text/plain\nContent-Type: text/html\n\nx", TWO_CONTENT_TYPES),
            ("Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\neA==", TWO_ENCODINGS),
            ("Content-Transfer-Encoding: base645\n\neA==", UNKNOWN_ENCODING),
            ("Content-Transfer-Encoding: \"base64\"\n\neA==", UNKNOWN_ENCODING),
            ("Content-Transfer-Encoding: 7bit, base64\n\neA==", UNKNOWN_ENCODING),
            ("Content-Transfer-Encoding: =?utf-8?q?base64?=\n\neA==", UNKNOWN_ENCODING),
            ("Content-Transfer-Encoding: base64 (open\n\neA==", UNKNOWN_ENCODING),
            ("Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nx\n--a--", TWO_BOUNDARIES),
            ("Content-Type: multipart/mixed\n\n--a\n\nx\n--a--", NO_BOUNDARY),
            ("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n----", NO_BOUNDARY),
            ("Content-Type: multipart/mixed; boundary=\"a\n\n--a\n\nx\n--a--", ODD_CONTENT_TYPE),
            ("Content-Type: multipart/mixed; boundary=\"a \"\n\n--a\n\nx\n--a--", ODD_BOUNDARY),
            ("Content-Type: multipart/mixed; boundary=\"=?utf-8?q?a?=\"\n\n--a\n\nx\n--a--", ODD_BOUNDARY),
            ("Content-Type: multipart/mixed; boundary*0=a; boundary*0=b\n\n--a\n\nx\n--a--", ODD_CONTENT_TYPE),
            ("Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n\nx\n--ab--", ODD_CONTENT_TYPE),
            ("Content-Type: multipart/mixed; boundary=(c)a\n\n--a\n\nx\n--a--", ODD_CONTENT_TYPE),
            ("Content-Type: multi\n part/mixed; boundary=a\n\n--a\n\nx\n--a--", ODD_CONTENT_TYPE),
            ("Content-Transfer-Encoding: base64 (comment)\n\neA==", UNKNOWN_ENCODING),
            ("Content-Type: text/plain; name=a.txt\nContent-Disposition: inline; filename=a.exe\n\nx", TWO_FILE_NAMES),
            ("Content-Type: multipart/mixed; boundary=b\n\n--a\n\nx\n--a--", BOUNDARY_NOT_FOUND),
            ("Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n", NO_LAST_BOUNDARY),
            ("Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a text\n\ny\n--a--", BOUNDARY_WITH_TEXT),
            ("Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n --a\n\ny\n--a--", BOUNDARY_IN_LINE),
            (
                "Content-Type: multipart/mixed; boundary=a\n\nContent-Type: text/html\n\nx\n--a\n\ny\n--a--",
                PART_IN_PREAMBLE,
            ),
            (
                "Content-Type: multipart/mixed; boundary=a\n\n--a\n\ny\n--a--\n--a\nContent-Type: text/html\n\nx",
                PART_IN_EPILOGUE,
            ),
            (
                "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a--",
                BOUNDARY_IN_USE,
            ),
            (
                "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: base64\n\n--a\n\nx\n--a--",
                ENCODED_COMPOSITE,
            ),
            ("Content-Type: text/plain; charset=x-none\n\nx", UNKNOWN_CHARSET),
            ("Content-Type: text/plain\r; a=b\n\nx", STRAY_CONTROL),
            ("Content-Type\0: text/plain\n\nx", STRAY_CONTROL),
            ("Content-Type : text/plain\n\nx", ODD_FIELD_NAME),
            ("Content-T\u{e9}pe: text/plain\n\nx", ODD_FIELD_NAME),
            ("Subject: a\n \n\nx", BLANK_CONTINUATION),
            ("Subject: a\nno field\n\nx", NO_EMPTY_LINE),
            ("Subject: a\n\nContent-Type: text/html\n\nx", HEADER_IN_BODY),
            ("Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\r--a\n\ny\n--a--", STRAY_BOUNDARY_BREAK),
            ("Content-Transfer-Encoding: base64\n\neA==eA==\n", DAMAGED_BASE64),
            ("Content-Transfer-Encoding: quoted-printable\n\na=zz\n", DAMAGED_QUOTED_PRINTABLE),
            ("From: a@b.example\nFrom: c@d.example\n\nx", TWO_FROM),
            ("Subject: a\nSubject: b\n\nx", TWO_SUBJECT),
            ("To: a@b.example\nTo: c@d.example\n\nx", TWO_TO),
            ("Content-Disposition: attachment; filename=a; filename=b\n\nx", TWO_FILE_NAMES),
        ] {
            assert!(classes(text).contains(&class), "{text:?}: {:?}", classes(text));
        }
    }

    #[test]
    fn line_ends_are_of_one_kind() {
        let message = Message::parse(b"Subject: a\r\nTo: b\nCc: c\r\n\r\nx".to_vec());
        assert_eq!(message.ambiguous()[0].class, super::MIXED_LINE_ENDS);
        assert!(Message::parse(b"Subject: a\nTo: b\n\nx".to_vec()).ambiguous().is_empty());
    }

    #[test]
    fn ordinary_mail_is_not_flagged() {
        for text in [
            "",
            "Subject: only a header\n",
            "Subject: a\n\n",
            "Content-Type: multipart/mixed; boundary=a\n\nThis is a multi-part message in MIME format.\n--a\n\nx\n--a--\n\n",
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n\n-- \nAda\n--a\nContent-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n\n--a--\n_______\nthe list's footer\n",
            "Content-Type: multipart/mixed; boundary=\"----=_Part_1\"\n\n------=_Part_1\nContent-Type: multipart/alternative; boundary=\"----=_Part_1_2\"\n\n------=_Part_1_2\n\nx\n------=_Part_1_2\nContent-Type: text/html\n\ny\n------=_Part_1_2--\n\n------=_Part_1--\n",
            "Content-Type: text/plain; charset=\"UTF-8\"; format=flowed; delsp=yes\nContent-Transfer-Encoding: quoted-printable\n\na =3D b =\nc=\n",
            "Content-Type: text/plain; charset=us-ascii (Plain text)\nContent-Transfer-Encoding: 7BIT\n\nx",
            "Content-Disposition: attachment; filename=\"a.txt\"; filename*=UTF-8''%c3%a4.txt; size=1\n\nx",
            "Content-Type: application/pdf; name=\"=?utf-8?q?a.pdf?=\"\n\nx",
            "Subject: a\n\nSubject: quoted by hand\n\nx",
            "Content-Type: message/rfc822\n\nContent-Type: text/plain\n\nx",
            "Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybGQhaGVs\naGVsbG8=\n\n",
        ] {
            assert_eq!(classes(text), Vec::<&str>::new(), "{text:?}");
        }
    }
}
