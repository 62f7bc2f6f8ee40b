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
pub(super) const NO_LAST_BOUNDARY: &str = "the last boundary is missing";
pub(super) const PART_IN_PREAMBLE: &str = "something like a part before the first part";
pub(super) const PART_IN_EPILOGUE: &str = "something like a part behind the last part";
pub(super) const UNKNOWN_ENCODING: &str = "a transfer encoding that is not known";
pub(super) const ENCODED_COMPOSITE: &str = "a part with parts inside that is encoded as a whole";
pub(super) const UNKNOWN_CHARSET: &str = "a character set that is not known";
pub(super) const STRAY_CONTROL: &str = "a carriage return or zero byte inside a header";
pub(super) const ODD_FIELD_NAME: &str = "a header name with a space or other foreign byte";
pub(super) const BLANK_CONTINUATION: &str = "a line of blanks inside a header";
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
        let header_in_body = begins_with_header(body);
        if let Some(class) = class {
            found.doubt(index, class);
        }
        if header_in_body {
            found.doubt(index, HEADER_IN_BODY);
        }
    }
    if has_multipart && memmem::find(bytes, b"\r--").is_some() {
        found.doubt(0, STRAY_BOUNDARY_BREAK);
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
