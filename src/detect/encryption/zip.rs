//! Zip archives (PKWARE APPNOTE 6.3.10), OpenDocument among them.

use super::Content;
use crate::detect::{Protected, attachment::Sample};
use crate::mail::UnreadReason;
use std::io::Read;

const END: &[u8] = b"PK\x05\x06";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// A manifest of an OpenDocument file is a few kilobytes.
const LARGEST_MANIFEST: u64 = 1 << 20;

pub(super) fn inspect(sample: &Sample) -> Content {
    let head = &sample.head[..];
    // The local header says so as well, and is there even if the directory is not (APPNOTE 4.4.4, bit 0; 13 hides names).
    let first_encrypted = head.starts_with(LOCAL) && flags(head, 6).is_some_and(is_encrypted);
    match directory(sample.tail(), sample.is_whole()) {
        Some(entries) if first_encrypted || entries.iter().any(|entry| entry.encrypted) => {
            Content::Encrypted(Protected::EncryptedZip)
        }
        _ if first_encrypted => Content::Encrypted(Protected::EncryptedZip),
        Some(entries) if is_encrypted_open_document(sample, &entries) => Content::Encrypted(Protected::EncryptedOffice),
        Some(_) => Content::Unread(UnreadReason::UnknownFormat),
        None => Content::Unread(UnreadReason::Damaged),
    }
}

struct Entry {
    encrypted: bool,
    is_manifest: bool,
    packed_size: u32,
    local_header: usize,
}

/// The entries of the central directory that lie in the last bytes of the file; none without an end record.
fn directory(tail: &[u8], is_whole: bool) -> Option<Vec<Entry>> {
    // The end record, with at most 65,535 bytes of comment behind it (APPNOTE 4.3.16).
    let end = memchr::memmem::rfind(tail, END)?;
    let size = u32_at(tail, end + 12)? as usize;
    let start = match end.checked_sub(size) {
        Some(start) if tail[start..].starts_with(DIRECTORY) || size == 0 => start,
        // Larger than the sample, or with a zip64 record between: the first entry in sight.
        _ if !is_whole || size > end => memchr::memmem::find(tail, DIRECTORY)?,
        _ => memchr::memmem::find(&tail[..end], DIRECTORY)?,
    };
    let mut entries = Vec::new();
    let mut at = start;
    while tail.get(at..at + 4) == Some(DIRECTORY) {
        let lengths = [28, 30, 32].map(|field| u16_at(tail, at + field).map_or(0, usize::from));
        let name = tail.get(at + 46..at + 46 + lengths[0]).unwrap_or_default();
        entries.push(Entry {
            encrypted: flags(tail, at + 8).is_some_and(is_encrypted),
            is_manifest: name == b"META-INF/manifest.xml",
            packed_size: u32_at(tail, at + 20)?,
            local_header: u32_at(tail, at + 42)? as usize,
        });
        at += 46 + lengths.iter().sum::<usize>();
    }
    Some(entries)
}

/// An OpenDocument file encrypts its members itself; the manifest, which is not encrypted, tells
/// (OpenDocument 1.3 part 2, 3.4.1 and 4.3).
fn is_encrypted_open_document(sample: &Sample, entries: &[Entry]) -> bool {
    let head = &sample.head[..];
    if memchr::memmem::find(&head[..head.len().min(200)], b"mimetypeapplication/vnd.oasis.opendocument").is_none() {
        return false;
    }
    let Some(entry) = entries.iter().find(|entry| entry.is_manifest) else { return false };
    let Some(whole) = sample.whole() else { return false };
    let Some(mut local) = whole.get(entry.local_header..) else { return false };
    // The size comes from the directory: writers that stream leave it out of the local header.
    let size = entry.packed_size.into();
    let Ok(Some(member)) = ::zip::read::read_zipfile_from_stream_with_compressed_size(&mut local, size) else {
        return false;
    };
    let mut manifest = Vec::new();
    // So is the checksum; what was read before a mismatch is what a reader sees.
    let _ = member.take(LARGEST_MANIFEST).read_to_end(&mut manifest);
    memchr::memmem::find(&manifest, b"encryption-data").is_some()
}

fn is_encrypted(flags: u16) -> bool {
    flags & 1 != 0 || flags & (1 << 13) != 0
}

fn flags(bytes: &[u8], at: usize) -> Option<u16> {
    u16_at(bytes, at)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::{Content, tests::attached};
    use crate::{detect::Protected, mail::UnreadReason};
    use std::io::{Cursor, Write};
    use zip::{ZipWriter, write::SimpleFileOptions};

    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            let method =
                if *name == "mimetype" { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// As if a member had been encrypted: bit 0 in its headers.
    fn encrypt(mut archive: Vec<u8>, member: usize, signature: &[u8], flags: usize) -> Vec<u8> {
        let at = memchr::memmem::find_iter(&archive, signature).nth(member).unwrap();
        archive[at + flags] |= 1;
        archive
    }

    #[test]
    fn encrypted_and_plain() {
        let plain = zip(&[("a.txt", b"hello"), ("b.txt", b"there")]);
        assert_eq!(attached(&plain), Content::Unread(UnreadReason::UnknownFormat));
        for member in 0..2 {
            let encrypted = encrypt(plain.clone(), member, b"PK\x01\x02", 8);
            assert_eq!(attached(&encrypted), Content::Encrypted(Protected::EncryptedZip), "member {member}");
        }
        let only_local = encrypt(plain.clone(), 0, b"PK\x03\x04", 6);
        assert_eq!(attached(&only_local), Content::Encrypted(Protected::EncryptedZip));
        assert_eq!(attached(&plain[..40]), Content::Unread(UnreadReason::Damaged));
        assert_eq!(attached(&zip(&[])), Content::Unread(UnreadReason::UnknownFormat));
    }

    #[test]
    fn a_large_archive_by_its_end() {
        let noise: Vec<u8> =
            (0u32..400_000).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let plain = zip(&[("a.bin", &noise), ("b.txt", b"there")]);
        assert!(plain.len() > 1 << 20);
        assert_eq!(attached(&plain), Content::Unread(UnreadReason::UnknownFormat));
        let encrypted = encrypt(plain, 1, b"PK\x01\x02", 8);
        assert_eq!(attached(&encrypted), Content::Encrypted(Protected::EncryptedZip));
    }

    #[test]
    fn open_documents_say_it_in_their_manifest() {
        let document = |manifest: &[u8]| {
            zip(&[
                ("mimetype", b"application/vnd.oasis.opendocument.text"),
                ("content.xml", b"x"),
                ("META-INF/manifest.xml", manifest),
            ])
        };
        assert_eq!(attached(&document(b"<manifest/>")), Content::Unread(UnreadReason::UnknownFormat));
        let encrypted = document(b"<manifest:encryption-data manifest:checksum-type=\"SHA1/1K\"/>");
        assert_eq!(attached(&encrypted), Content::Encrypted(Protected::EncryptedOffice));
    }
}
