//! What the header of a part says of its body (RFC 2045, RFC 2183, RFC 8551, RFC 3156).

use super::{
    ContentType, Disposition, Field, Protection, TransferEncoding, doubt,
    header::{self, Structured},
};

/// The longest boundary (RFC 2046 5.1.1) is 70; Postfix compares 2,048 bytes. Longer ones are not believed.
const LONGEST_BOUNDARY: usize = 1_000;

/// What a header declares.
#[derive(Debug)]
pub(super) struct Declared {
    pub content_type: ContentType,
    pub encoding: TransferEncoding,
    pub disposition: Option<Disposition>,
    pub file_name: Option<String>,
    pub boundary: Option<Box<[u8]>>,
    pub protection: Option<Protection>,
    pub too_many: bool,
    pub doubts: Vec<&'static str>,
}

/// The first of each field counts; a second that says something else is a doubt.
pub(super) fn read(bytes: &[u8], fields: &[Field], in_digest: bool) -> Declared {
    let mut declared = Declared {
        content_type: ContentType::default(),
        encoding: TransferEncoding::SevenBit,
        disposition: None,
        file_name: None,
        boundary: None,
        protection: None,
        too_many: false,
        doubts: Vec::new(),
    };
    if in_digest {
        // RFC 2046 5.1.5.
        declared.content_type =
            ContentType { media: "message".into(), subtype: "rfc822".into(), parameters: Vec::new() };
    }
    let (mut kind, mut encoding, mut disposition) = (None, None, None);
    for field in fields {
        let name = &bytes[field.name.clone()];
        if name.len() < 12 || !name[..8].eq_ignore_ascii_case(b"content-") {
            continue;
        }
        let value = &bytes[field.value.clone()];
        let (seen, class) = match name.len() {
            12 if name[8..].eq_ignore_ascii_case(b"type") => (&mut kind, doubt::TWO_CONTENT_TYPES),
            25 if name[8..].eq_ignore_ascii_case(b"transfer-encoding") => (&mut encoding, doubt::TWO_ENCODINGS),
            19 if name[8..].eq_ignore_ascii_case(b"disposition") => (&mut disposition, doubt::TWO_DISPOSITIONS),
            _ => continue,
        };
        match seen {
            None => *seen = Some(value),
            Some(first) if header::trim(first) != header::trim(value) => declared.doubts.push(class),
            Some(_) => {}
        }
    }
    let mut type_name = None;
    if let Some(value) = kind {
        type_name = declared.read_type(header::structured(value));
    }
    if let Some(value) = encoding {
        declared.read_encoding(value);
    }
    if let Some(value) = disposition {
        declared.read_disposition(header::structured(value));
    }
    if let (Some(one), Some(other)) = (&declared.file_name, &type_name)
        && extension(one) != extension(other)
    {
        declared.doubts.push(doubt::TWO_FILE_NAMES);
    }
    declared.file_name = declared.file_name.take().or(type_name).filter(|name| !name.is_empty());
    declared.protection = protection(&declared.content_type, declared.file_name.as_deref());
    declared
}

impl Declared {
    /// Gives the `name` parameter.
    fn read_type(&mut self, value: Structured) -> Option<String> {
        let (media, subtype) = value
            .value
            .split_once('/')
            .map_or((value.value.as_str(), ""), |(media, subtype)| (media.trim(), subtype.trim()));
        // `text` alone and an empty value are read as text (RFC 2045 5.2).
        let (media, subtype) = match (media, subtype) {
            ("", _) | ("text", "") => ("text", "plain"),
            other => other,
        };
        let is_multipart = media == "multipart";
        if value.odd_value || (is_multipart && (value.odd || value.odd_sections || value.commented)) {
            self.doubts.push(doubt::ODD_CONTENT_TYPE);
        }
        if value.contradictory {
            self.doubts.push(if is_multipart { doubt::TWO_BOUNDARIES } else { doubt::TWO_PARAMETERS });
        }
        self.too_many |= value.too_many;
        self.content_type =
            ContentType { media: media.to_string(), subtype: subtype.to_string(), parameters: value.parameters };
        if is_multipart {
            self.read_boundary();
        } else if media == "text" && self.content_type.parameter("charset").is_some_and(is_unknown_charset) {
            self.doubts.push(doubt::UNKNOWN_CHARSET);
        }
        let name = self.content_type.parameter("name")?;
        Some(header::displayed(name))
    }

    fn read_boundary(&mut self) {
        let boundary = self.content_type.parameter("boundary").unwrap_or_default();
        let trimmed = boundary.trim_end();
        if trimmed.is_empty() {
            self.doubts.push(doubt::NO_BOUNDARY);
            return;
        }
        if boundary.len() > LONGEST_BOUNDARY {
            self.doubts.push(doubt::ODD_BOUNDARY);
            return;
        }
        // Blanks at the end and other bytes than RFC 2046 5.1.1 allows are read differently by different readers.
        if trimmed.len() != boundary.len() || trimmed.contains("=?") || !trimmed.bytes().all(is_boundary_byte) {
            self.doubts.push(doubt::ODD_BOUNDARY);
        }
        self.boundary = Some(trimmed.as_bytes().into());
    }

    fn read_encoding(&mut self, value: &[u8]) {
        let value = header::structured(value);
        self.encoding = match value.value.as_str() {
            // All readers agree on these spellings, and on an empty field.
            "7bit" | "7-bit" | "7bits" | "" => TransferEncoding::SevenBit,
            "8bit" | "8-bit" | "8bits" => TransferEncoding::EightBit,
            "binary" => TransferEncoding::Binary,
            "quoted-printable" => TransferEncoding::QuotedPrintable,
            "base64" => TransferEncoding::Base64,
            _ => TransferEncoding::Unknown,
        };
        if self.encoding == TransferEncoding::Unknown || value.odd || value.commented || !value.parameters.is_empty() {
            self.doubts.push(doubt::UNKNOWN_ENCODING);
        }
        let composite = self.content_type.media == "multipart" || super::scan::is_message_type(&self.content_type);
        if composite && !is_identity(self.encoding) {
            self.doubts.push(doubt::ENCODED_COMPOSITE);
        }
    }

    fn read_disposition(&mut self, value: Structured) {
        self.disposition = match value.value.as_str() {
            "" => None,
            "inline" => Some(Disposition::Inline),
            // RFC 2183 2.8: what is not known is an attachment.
            _ => Some(Disposition::Attachment),
        };
        self.too_many |= value.too_many;
        if value.contradictory || value.odd_sections {
            self.doubts.push(doubt::TWO_FILE_NAMES);
        }
        let name = value.parameters.iter().find(|(name, _)| name == "filename");
        self.file_name = name.map(|(_, name)| header::displayed(name));
    }
}

/// What a reader goes by when it opens a file.
fn extension(name: &str) -> Option<String> {
    name.trim().rsplit_once('.').map(|(_, extension)| extension.to_lowercase())
}

pub(super) fn is_identity(encoding: TransferEncoding) -> bool {
    !matches!(encoding, TransferEncoding::Base64 | TransferEncoding::QuotedPrintable)
}

fn is_unknown_charset(label: &str) -> bool {
    super::charset::Charset::of(Some(label)) == super::charset::Charset::Unknown
}

/// bchars of RFC 2046 5.1.1, and what common senders use beyond them.
fn is_boundary_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte) || b"!#$%&*@^{|}~[]<>".contains(&byte)
}

fn protection(content_type: &ContentType, file_name: Option<&str>) -> Option<Protection> {
    let parameter = |name| content_type.parameter(name).unwrap_or_default().to_ascii_lowercase();
    match (content_type.media.as_str(), content_type.subtype.as_str()) {
        ("multipart", "signed") if parameter("protocol").contains("pgp") => Some(Protection::PgpSigned),
        // Whatever the protocol is: no edit may enter.
        ("multipart", "signed") => Some(Protection::SmimeSigned),
        ("multipart", "encrypted") => Some(Protection::PgpEncrypted),
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => match parameter("smime-type").as_str() {
            "signed-data" => Some(Protection::SmimeSigned),
            "certs-only" | "compressed-data" => None,
            // Without the parameter it is most often enveloped-data; `.p7s` and `.p7c` are not.
            _ if file_name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7c")) => None,
            _ => Some(Protection::SmimeEncrypted),
        },
        ("application", "x-microsoft-rpmsg-message") => Some(Protection::RightsManaged),
        _ => None,
    }
}

/// Inline OpenPGP at the start of a text (RFC 9580 6.2).
pub(super) fn inline_protection(start_of_text: &[u8]) -> Option<Protection> {
    let unmarked = start_of_text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start_of_text);
    let text = unmarked.trim_ascii_start();
    if text.starts_with(b"-----BEGIN PGP MESSAGE") {
        Some(Protection::PgpInlineEncrypted)
    } else if text.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        Some(Protection::PgpInlineSigned)
    } else {
        None
    }
}
