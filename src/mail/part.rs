//! One part of a message: where its bytes are and what its header says of them.

use std::{fmt, ops::Range};

/// The place of a part as reviewers and JSON see it: an IMAP section number (RFC 9051 6.4.5.1) such
/// as `1.2`, `HEADER` for the message's own header, `2/xl/sheet1` for a member of part 2.
/// The body of a message that is not multipart is `1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(Box<str>);

impl PartId {
    pub fn new(section: impl Into<Box<str>>) -> Self {
        Self(section.into())
    }

    pub fn header() -> Self {
        Self::new("HEADER")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A member of this part: `2` and `xl/sheet1` give `2/xl/sheet1`.
    pub fn member(&self, name: &str) -> Self {
        Self::new(format!("{}/{name}", self.0))
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One header field, by byte range in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name without the colon (and without a space before it).
    pub name: Range<usize>,
    /// From behind the colon to before the last CR LF: folded as it came, leading space included.
    pub value: Range<usize>,
    /// The whole field with its last CR LF.
    pub whole: Range<usize>,
}

/// Content-Transfer-Encoding (RFC 2045 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    /// A token that we do not know: the part is read as it stands, and is ambiguous.
    Unknown,
}

/// Content-Disposition (RFC 2183).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    Inline,
    Attachment,
}

/// Content-Type (RFC 2045 5), decoded and lower case; parameter values keep their case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    pub media: String,
    pub subtype: String,
    pub parameters: Vec<(String, String)>,
}

impl ContentType {
    pub fn is(&self, media: &str, subtype: &str) -> bool {
        self.media == media && self.subtype == subtype
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Default for ContentType {
    /// What a part without the field is (RFC 2045 5.2).
    fn default() -> Self {
        Self { media: "text".into(), subtype: "plain".into(), parameters: Vec::new() }
    }
}

/// One part. Parts stand in `Message::parts` in the order of their first byte; the message itself is
/// the first, with its header.
#[derive(Clone, Debug)]
pub struct Part {
    pub id: PartId,
    /// Index of the enclosing part in `Message::parts`; the message itself has none.
    pub parent: Option<usize>,
    /// Nesting of multiparts, 0 for the message itself.
    pub depth: usize,
    /// The header block, first byte of the first field to behind the last field's CR LF
    /// (the empty line is not in it).
    pub header: Range<usize>,
    pub fields: Vec<Field>,
    /// The body, behind the empty line; without the CR LF that belongs to the boundary behind it.
    pub body: Range<usize>,
    pub content_type: ContentType,
    pub encoding: TransferEncoding,
    pub disposition: Option<Disposition>,
    /// From Content-Disposition or Content-Type, decoded (RFC 2231, RFC 2047). Personal data.
    pub file_name: Option<crate::sensitive::Sensitive<String>>,
    /// The line between the parts, for a multipart whose boundary was found.
    pub boundary: Option<Box<[u8]>>,
    /// Inside a message/rfc822: of another's message, not to be edited.
    pub enclosed: bool,
    /// Signed or encrypted by its header, or below such a part: not to be entered by an edit.
    pub protection: Option<Protection>,
}

impl Part {
    pub fn is_multipart(&self) -> bool {
        self.content_type.media == "multipart" && self.boundary.is_some()
    }

    pub fn is_text(&self) -> bool {
        self.content_type.media == "text"
    }

    pub fn is_attachment(&self) -> bool {
        self.disposition == Some(Disposition::Attachment) || self.file_name.is_some()
    }
}

/// How a part is protected, by its header alone (content is looked at in `detect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// multipart/signed with S/MIME, or opaque signed-data (RFC 8551).
    SmimeSigned,
    SmimeEncrypted,
    /// multipart/signed with OpenPGP (RFC 3156).
    PgpSigned,
    PgpEncrypted,
    /// Inline `-----BEGIN PGP MESSAGE-----`.
    PgpInlineEncrypted,
    PgpInlineSigned,
    /// message.rpmsg.
    RightsManaged,
}

impl Protection {
    /// Whether nobody but the recipient can read it.
    pub fn is_encrypted(self) -> bool {
        matches!(
            self,
            Protection::SmimeEncrypted
                | Protection::PgpEncrypted
                | Protection::PgpInlineEncrypted
                | Protection::RightsManaged
        )
    }
}

/// What could not be read. Never taken for clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub part: PartId,
    pub reason: UnreadReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnreadReason {
    Encrypted,
    TooLarge,
    TooDeep,
    TooMany,
    Time,
    Damaged,
    UnknownFormat,
    Crashed,
}

/// What could be read in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    pub part: PartId,
    /// In words that a non-programmer understands, constant text: `two different boundaries`.
    pub class: &'static str,
}
