//! Zip archives (PKWARE APPNOTE 6.3.10), and the documents that are zip archives.

use super::{
    Note, Out, below,
    budget::{Counted, Held},
    enter, office,
};
use crate::mail::UnreadReason;
use std::{
    io::{Cursor, Read},
    ops::Range,
};
use zip::{ZipArchive, result::ZipError};

pub(super) type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn read(content: &[u8], path: &str, depth: usize, out: &mut Out<'_>) {
    let Ok(mut archive) = ZipArchive::new(Cursor::new(content)) else {
        return out.unread(path, UnreadReason::Damaged);
    };
    if overlaps(&mut archive) {
        // Many members of the same bytes: no archiver writes that.
        return out.unread(path, UnreadReason::Damaged);
    }
    if has_trailing_data(content) {
        out.note(path, Note::TrailingData);
    }
    if let Some(document) = office::Document::of(&mut archive) {
        return document.read(&mut archive, path, depth, out);
    }
    for index in 0..archive.len() {
        let Some(member) = member(&mut archive, index, path, out) else { continue };
        if member.is_stop {
            return;
        }
        if let Some(held) = member.held {
            enter(&held.bytes, &member.path, depth + 1, out);
        }
    }
}

pub(super) struct Member {
    pub path: String,
    pub held: Option<Held>,
    is_stop: bool,
}

/// A member in memory, its name told and what is wrong with it. None: a folder.
pub(super) fn member(archive: &mut Archive<'_>, index: usize, path: &str, out: &mut Out<'_>) -> Option<Member> {
    if !out.budget.take_member() {
        out.unread(path, UnreadReason::TooMany);
        return Some(Member { path: path.into(), held: None, is_stop: true });
    }
    let name = name(archive, index);
    let inside = below(path, &name);
    out.name(&inside, &name);
    let held = match stream(archive, index, out) {
        Ok(stream) => stream.map(|stream| Held::read(stream, &out.budget))?,
        Err(Failed::Encrypted) => {
            out.encrypted(&inside, Note::EncryptedZip);
            return None;
        }
        Err(Failed::Unread(reason)) => {
            out.unread(&inside, reason);
            return None;
        }
    };
    if let Some(reason) = held.broken {
        out.unread(&inside, reason);
    }
    Some(Member { path: inside, held: Some(held), is_stop: false })
}

pub(super) enum Failed {
    Encrypted,
    Unread(UnreadReason),
}

/// The content of a member as it is unpacked. None: a folder.
pub(super) fn stream<'z>(
    archive: &'z mut Archive<'_>,
    index: usize,
    out: &Out<'_>,
) -> Result<Option<Counted<impl Read + 'z>>, Failed> {
    match archive.by_index(index) {
        Ok(file) if file.encrypted() => Err(Failed::Encrypted),
        Ok(file) if file.is_dir() => Ok(None),
        Ok(file) => {
            let packed = file.compressed_size();
            Ok(Some(Counted::new(file, packed, &out.budget)))
        }
        Err(ZipError::UnsupportedArchive(why)) if why == ZipError::PASSWORD_REQUIRED => Err(Failed::Encrypted),
        Err(ZipError::UnsupportedArchive(_)) => Err(Failed::Unread(UnreadReason::UnknownFormat)),
        Err(_) => Err(Failed::Unread(UnreadReason::Damaged)),
    }
}

pub(super) fn name(archive: &mut Archive<'_>, index: usize) -> String {
    let file = archive.by_index_raw(index).ok();
    file.and_then(|file| file.name().ok().map(|name| name.into_owned())).unwrap_or_else(|| format!("member {index}"))
}

/// Whether two members lie on the same bytes (the flat bomb).
fn overlaps(archive: &mut Archive<'_>) -> bool {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for index in 0..archive.len().min(10_000) {
        if let Ok(file) = archive.by_index_raw(index) {
            let start = file.header_start();
            ranges.push(start..start.saturating_add(file.compressed_size()).saturating_add(30));
        }
    }
    ranges.sort_by_key(|range| range.start);
    ranges.windows(2).any(|pair| pair[1].start < pair[0].end)
}

/// Bytes behind the end record and its comment (APPNOTE 4.3.16).
fn has_trailing_data(content: &[u8]) -> bool {
    let Some(at) = memchr::memmem::rfind(content, b"PK\x05\x06") else { return false };
    let length = content.get(at + 20..at + 22).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    content.len() > at + 22 + length
}
