//! What a content is, by itself.

use super::Note;
use crate::detect::attachment::looks_written;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Zip,
    Gzip,
    Tar,
    Rtf,
    Mail,
    Html,
    Xml,
    Text,
    Image,
    Video,
    Sound,
    Font,
    Executable,
    Encrypted,
    Empty,
    Unknown,
}

const MAGIC: [(&[u8], Form); 39] = [
    (b"PK\x03\x04", Form::Zip),
    (b"PK\x05\x06", Form::Zip),
    (b"PK\x07\x08", Form::Zip),
    (b"\x1F\x8B", Form::Gzip),
    (b"{\\rt", Form::Rtf),
    (b"\x89PNG\r\n\x1A\n", Form::Image),
    (b"\xFF\xD8\xFF", Form::Image),
    (b"GIF87a", Form::Image),
    (b"GIF89a", Form::Image),
    (b"II*\0", Form::Image),
    (b"MM\0*", Form::Image),
    (b"\0\0\x01\0", Form::Image),
    (b"8BPS", Form::Image),
    (b"\xD7\xCD\xC6\x9A", Form::Image),
    (b"\x01\0\0\0\x6C\0\0\0", Form::Image),
    (b"\x1A\x45\xDF\xA3", Form::Video),
    (b"FLV\x01", Form::Video),
    (b"\0\0\x01\xBA", Form::Video),
    (b"\0\0\x01\xB3", Form::Video),
    (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", Form::Video),
    (b"ID3", Form::Sound),
    (b"\xFF\xFB", Form::Sound),
    (b"\xFF\xF3", Form::Sound),
    (b"OggS", Form::Sound),
    (b"fLaC", Form::Sound),
    (b"MThd", Form::Sound),
    (b"OTTO", Form::Font),
    (b"wOFF", Form::Font),
    (b"wOF2", Form::Font),
    (b"\0\x01\0\0\0", Form::Font),
    (b"MZ", Form::Executable),
    (b"\x7FELF", Form::Executable),
    (b"\xCA\xFE\xBA\xBE", Form::Executable),
    (b"\xCF\xFA\xED\xFE", Form::Executable),
    (b"\xCE\xFA\xED\xFE", Form::Executable),
    (b"L\0\0\0\x01\x14\x02\0", Form::Executable),
    (b"#!", Form::Executable),
    (b"age-encryption.org/", Form::Encrypted),
    (b"Salted__", Form::Encrypted),
];

/// Letters that a written text may begin with are no proof.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

impl Form {
    pub fn of(content: &[u8]) -> Self {
        if content.is_empty() {
            return Form::Empty;
        }
        if let Some((_, form)) = MAGIC.iter().find(|(magic, _)| content.starts_with(magic)) {
            match form {
                // A script is text as well; two letters alone are an abbreviation.
                Form::Executable if looks_written(content) && !content.starts_with(b"#!") => {}
                Form::Sound if looks_written(content) => {}
                form => return *form,
            }
        }
        if content.get(TAR_MAGIC.0..).is_some_and(|rest| rest.starts_with(TAR_MAGIC.1)) {
            return Form::Tar;
        }
        if content.starts_with(b"BM") && content.get(6..10) == Some(&[0; 4]) {
            return Form::Image;
        }
        match content.get(4..12) {
            Some([b'f', b't', b'y', b'p', brand @ ..]) => {
                let picture = [&b"heic"[..], b"heix", b"mif1", b"avif", b"msf1"].contains(&brand);
                return if picture { Form::Image } else { Form::Video };
            }
            Some([.., b'W', b'E', b'B', b'P']) if content.starts_with(b"RIFF") => return Form::Image,
            Some([.., b'W', b'A', b'V', b'E']) if content.starts_with(b"RIFF") => return Form::Sound,
            Some([.., b'A', b'V', b'I', b' ']) if content.starts_with(b"RIFF") => return Form::Video,
            _ => {}
        }
        if looks_written(content) { Form::of_written(content) } else { Form::Unknown }
    }

    fn of_written(content: &[u8]) -> Self {
        let head: Vec<u8> = content[..content.len().min(2_048)].to_ascii_lowercase();
        let start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head).trim_ascii_start();
        let has = |needle: &[u8]| memchr::memmem::find(&head, needle).is_some();
        if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || has(b"<html") || has(b"<body") {
            return Form::Html;
        }
        if start.starts_with(b"<?xml") || start.starts_with(b"<!doctype") {
            return Form::Xml;
        }
        if has(b"content-transfer-encoding:") || (is_field(start) && has(b"\nfrom:") && has(b"\nsubject:")) {
            return Form::Mail;
        }
        Form::Text
    }

    pub fn note(self) -> Option<Note> {
        match self {
            Form::Executable => Some(Note::Executable),
            Form::Image => Some(Note::Image),
            Form::Video => Some(Note::Video),
            _ => None,
        }
    }
}

/// `Received: …`
fn is_field(start: &[u8]) -> bool {
    let name = start.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    name > 0 && start.get(name) == Some(&b':')
}

/// What a content can be read as besides what it begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    Zip,
    Pdf,
}

/// A zip is read from its end, a PDF from its first kilobyte.
pub(super) fn second(content: &[u8], form: Form) -> Option<Second> {
    let end = &content[content.len().saturating_sub(66_000)..];
    let ends_as_zip = || {
        let at = memchr::memmem::rfind(end, b"PK\x05\x06");
        at.is_some_and(|at| end.len() - at >= 22 && memchr::memmem::find(content, b"PK\x01\x02").is_some())
    };
    let begins_as_pdf = || memchr::memmem::find(&content[..content.len().min(1_024)], b"%PDF-").is_some();
    match form {
        Form::Image | Form::Video | Form::Sound if begins_as_pdf() => Some(Second::Pdf),
        Form::Image | Form::Video | Form::Sound | Form::Executable | Form::Html | Form::Rtf if ends_as_zip() => {
            Some(Second::Zip)
        }
        _ => None,
    }
}
