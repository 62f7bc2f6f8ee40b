//! gzip and tar.

use super::{
    Out, below,
    budget::{Counted, Held, reason},
    enter,
};
use crate::mail::UnreadReason;
use flate2::read::MultiGzDecoder;

/// RFC 1952. The name that it keeps is not shown to a reader before it is unpacked; the content is what counts.
pub(super) fn gzip(content: &[u8], path: &str, depth: usize, out: &mut Out<'_>) {
    if !out.budget.take_member() {
        return out.unread(path, UnreadReason::TooMany);
    }
    let stream = Counted::new(MultiGzDecoder::new(content), content.len() as u64, &out.budget);
    let held = Held::read(stream, &out.budget);
    if let Some(reason) = held.broken {
        out.unread(path, reason);
    }
    if !held.bytes.is_empty() {
        enter(&held.bytes, path, depth + 1, out);
    }
}

/// POSIX 1003.1 ustar and pax, and the long names of GNU.
pub(super) fn tar(content: &[u8], path: &str, depth: usize, out: &mut Out<'_>) {
    let mut archive = ::tar::Archive::new(content);
    let entries = match archive.entries() {
        Ok(entries) => entries,
        Err(error) => return out.unread(path, reason(&error)),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return out.unread(path, reason(&error)),
        };
        if !out.budget.take_member() {
            return out.unread(path, UnreadReason::TooMany);
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let inside = below(path, &name);
        out.name(&inside, &name);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let size = entry.size();
        let held = Held::read(Counted::new(entry, size, &out.budget), &out.budget);
        if let Some(reason) = held.broken {
            out.unread(&inside, reason);
        }
        enter(&held.bytes, &inside, depth + 1, out);
    }
}
