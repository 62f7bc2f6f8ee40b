//! Transfer encodings undone (RFC 2045 6): quickly where the bytes are regular, leniently where they are not.
//!
//! In: the body of a part. Out: its content, at most a limit of it, and the map back to the body. Damaged encodings
//! are decoded as far as a forgiving reader would; `irregular` says that another reader may see something else.

use super::{
    header::hex,
    source_map::{Lines, SourceMap},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::{memchr, memchr2};

/// Lines are gathered into blocks of about this size before they are decoded.
const BLOCK: usize = 48 * 1024;

/// Base64, leniently: bytes outside the alphabet are skipped, padding ends a group. At most `limit` bytes; whether
/// that was all of it.
pub(super) fn base64(body: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let mut decoded = Vec::with_capacity((body.len() / 4 * 3 + 3).min(limit.saturating_add(3)));
    let regular = regular_lines(body);
    let at = regular.map_or(0, |lines| decode_regular(body, lines, limit, &mut decoded));
    decode_leniently(&body[at..], limit, |byte, _| decoded.push(byte));
    let complete = decoded.len() <= limit;
    decoded.truncate(limit);
    (decoded, complete)
}

/// Base64 with the way back.
pub(super) fn base64_mapped(body: &[u8]) -> (Vec<u8>, SourceMap) {
    let mut decoded = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let mut map = SourceMap::default();
    let mut at = 0;
    if let Some(lines) = regular_lines(body) {
        at = decode_regular(body, lines, usize::MAX, &mut decoded);
        map.push_base64(decoded.len(), 0..at, lines);
    }
    let mut group = at;
    let mut pending = 0;
    decode_leniently(&body[at..], usize::MAX, |byte, position| {
        decoded.push(byte);
        pending += 1;
        if pending == 3 {
            map.push_whole(3, group..at + position);
            (group, pending) = (at + position, 0);
        }
    });
    map.push_whole(pending, group..trim_line_ends(body).len().max(group));
    (decoded, map)
}

/// The shape of the lines, when the first two are of equal length and whole groups.
fn regular_lines(body: &[u8]) -> Option<Lines> {
    let feed = memchr(b'\n', body)?;
    let characters = if feed > 0 && body[feed - 1] == b'\r' { feed - 1 } else { feed };
    (characters >= 4 && characters.is_multiple_of(4)).then_some(Lines { characters, stride: feed + 1, skip: 0 })
}

/// Decodes whole regular lines and gives the position of the first byte that it left over: a short, last or damaged
/// line. Stops once `limit` is reached.
fn decode_regular(body: &[u8], lines: Lines, limit: usize, decoded: &mut Vec<u8>) -> usize {
    let Lines { characters, stride, .. } = lines;
    let end_of_line = &body[characters..stride];
    let rows_in_block = (BLOCK / characters).max(1);
    let mut gathered = Vec::with_capacity(rows_in_block * characters);
    let mut at = 0;
    while decoded.len() <= limit {
        gathered.clear();
        let mut next = at;
        for _ in 0..rows_in_block {
            let Some(row) = body.get(next..next + stride) else { break };
            if &row[characters..] != end_of_line {
                break;
            }
            gathered.extend_from_slice(&row[..characters]);
            next += stride;
        }
        if gathered.is_empty() {
            break;
        }
        let before = decoded.len();
        decoded.resize(before + gathered.len() / 4 * 3, 0);
        match STANDARD.decode_slice(&gathered, &mut decoded[before..]) {
            Ok(length) if length == gathered.len() / 4 * 3 => at = next,
            // Padding or another byte inside: left to the lenient reader.
            _ => {
                decoded.truncate(before);
                break;
            }
        }
    }
    at
}

/// Calls `push` with each byte and the position behind the character that completed it.
fn decode_leniently(body: &[u8], limit: usize, mut push: impl FnMut(u8, usize)) {
    let (mut bits, mut count, mut written) = (0u32, 0u32, 0usize);
    for (position, &byte) in body.iter().enumerate() {
        let value = SEXTETS[usize::from(byte)];
        if value == PAD {
            (bits, count) = (0, 0);
            continue;
        }
        if value == SKIP {
            continue;
        }
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            push((bits >> count) as u8, position + 1);
            bits &= (1 << count) - 1;
            written += 1;
            if written > limit {
                return;
            }
        }
    }
}

const SKIP: u8 = 0xff;
const PAD: u8 = 0xfe;
const SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [SKIP; 256];
    let mut index = 0;
    while index < alphabet.len() {
        table[alphabet[index] as usize] = index as u8;
        index += 1;
    }
    table[b'=' as usize] = PAD;
    table
}

/// Whether another reader may decode this base64 to something else: bytes outside the alphabet, padding before the
/// end, lines that are not whole groups.
pub(super) fn is_irregular_base64(body: &[u8]) -> bool {
    let body = trim_line_ends(body);
    let data_end = memchr(b'=', body).unwrap_or(body.len());
    let padding = &body[data_end..];
    if padding.len() > 2 || padding.iter().any(|&byte| byte != b'=') {
        return true;
    }
    let body = &body[..data_end];
    // Folded without a branch, so that the compiler makes vector code of it.
    if body
        .chunks(4096)
        .any(|chunk| chunk.iter().fold(0u8, |bad, &byte| bad | u8::from(!is_base64_or_line_end(byte))) != 0)
    {
        return true;
    }
    let mut at = 0;
    let mut total = 0;
    while let Some(length) = memchr(b'\n', &body[at..]) {
        let characters = if length > 0 && body[at + length - 1] == b'\r' { length - 1 } else { length };
        if !characters.is_multiple_of(4) {
            return true;
        }
        total += characters;
        at += length + 1;
    }
    total += body.len() - at;
    // Without padding a last group of two or three is read alike by all; one alone is not.
    (total + padding.len()) % 4 == 1
}

fn is_base64_or_line_end(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
        | byte.is_ascii_digit()
        | (byte == b'+')
        | (byte == b'/')
        | (byte == b'\r')
        | (byte == b'\n')
}

fn trim_line_ends(body: &[u8]) -> &[u8] {
    let end = body.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'\t')).map_or(0, |last| last + 1);
    &body[..end]
}

/// Quoted-printable (RFC 2045 6.7), leniently: what is not an escape stands for itself. At most `limit` bytes;
/// whether that was all of it.
pub(super) fn quoted_printable(body: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let mut decoded = Vec::with_capacity(body.len().min(limit));
    for step in Steps::new(body) {
        match step {
            Step::Run(start, end) => decoded.extend_from_slice(&body[start..end]),
            Step::Escape(byte, _) => decoded.push(byte),
        }
        if decoded.len() > limit {
            decoded.truncate(limit);
            return (decoded, false);
        }
    }
    (decoded, true)
}

/// Quoted-printable with the way back.
pub(super) fn quoted_printable_mapped(body: &[u8]) -> (Vec<u8>, SourceMap) {
    let mut decoded = Vec::with_capacity(body.len());
    let mut map = SourceMap::default();
    for step in Steps::new(body) {
        match step {
            Step::Run(start, end) => {
                decoded.extend_from_slice(&body[start..end]);
                map.push_verbatim(end - start, start);
            }
            Step::Escape(byte, start) => {
                decoded.push(byte);
                map.push_whole(1, start..start + 3);
            }
        }
    }
    (decoded, map)
}

/// Whether another reader may decode this quoted-printable to something else: an `=` that begins neither an escape
/// nor a soft line break.
pub(super) fn is_irregular_quoted_printable(body: &[u8]) -> bool {
    memchr::memchr_iter(b'=', body).any(|at| {
        let rest = &body[at + 1..];
        let escape = rest.len() >= 2 && hex(rest[0]).is_some() && hex(rest[1]).is_some();
        !escape && soft_break(rest).is_none()
    })
}

enum Step {
    Run(usize, usize),
    Escape(u8, usize),
}

/// Walks quoted-printable: runs that stand for themselves, and escapes. Blanks at line ends (RFC 2045 6.7 rule 3) and
/// soft breaks are left out.
struct Steps<'a> {
    body: &'a [u8],
    at: usize,
    run: usize,
}

impl<'a> Steps<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, run: 0 }
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let Some(found) = memchr2(b'=', b'\n', &self.body[self.at..]) else {
                let (start, end) = (self.run, self.body.len());
                (self.run, self.at) = (end, end);
                return (start < end).then_some(Step::Run(start, end));
            };
            let here = self.at + found;
            if self.body[here] == b'\n' {
                self.at = here + 1;
                let line_end = if here > self.run && self.body[here - 1] == b'\r' { here - 1 } else { here };
                let kept = self.body[self.run..line_end].iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
                let kept = kept.map_or(self.run, |last| self.run + last + 1);
                if kept < line_end {
                    let start = self.run;
                    self.run = line_end;
                    if start < kept {
                        return Some(Step::Run(start, kept));
                    }
                }
                continue;
            }
            let rest = &self.body[here + 1..];
            let escape = rest.get(..2).and_then(|two| Some(hex(two[0])? << 4 | hex(two[1])?));
            let behind = match (escape, soft_break(rest)) {
                (Some(_), _) => here + 3,
                (None, Some(length)) => here + 1 + length,
                (None, None) => {
                    self.at = here + 1;
                    continue;
                }
            };
            // The run in front first; the escape is met again in the next call.
            if self.run < here {
                let start = self.run;
                (self.run, self.at) = (here, here);
                return Some(Step::Run(start, here));
            }
            (self.run, self.at) = (behind, behind);
            if let Some(byte) = escape {
                return Some(Step::Escape(byte, here));
            }
        }
    }
}

/// The length of what follows an `=` that ends a line softly: blanks and the line end, or nothing more at all.
fn soft_break(rest: &[u8]) -> Option<usize> {
    let blanks = rest.iter().take(80).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &rest[blanks..] {
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n', ..] => Some(blanks + 1),
        [] => Some(blanks),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_regular_and_not() {
        for (body, expected, irregular) in [
            ("", "", false),
            ("aGVsbG8=", "hello", false),
            ("aGVsbG8gd29ybGQh\r\naGVsbG8gd29ybGQh\r\naGk=\r\n", "hello world!hello world!hi", false),
            ("aGVs\nbG8=\n", "hello", false),
            ("aGVsbG8", "hello", false),
            ("aGVsbG\r\n8=\r\n", "hello", true),
            ("aG.Vs#bG8=", "hello", true),
            ("aGk=aGk=", "hihi", true),
            ("aGk=\r\naGk=\r\n", "hihi", true),
            ("aGVs bG8=", "hello", true),
            ("aGVsb", "hel", true),
        ] {
            assert_eq!(base64(body.as_bytes(), 1 << 20), (expected.as_bytes().to_vec(), true), "{body:?}");
            let (decoded, map) = base64_mapped(body.as_bytes());
            assert_eq!(decoded, expected.as_bytes(), "{body:?}");
            assert_eq!(map.len(), decoded.len(), "{body:?}");
            assert_eq!(is_irregular_base64(body.as_bytes()), irregular, "{body:?}");
        }
        assert_eq!(base64(b"aGVsbG8=", 3), (b"hel".to_vec(), false));
        assert_eq!(base64(b"aGVsbG8=", 5), (b"hello".to_vec(), true));
    }

    #[test]
    fn base64_in_many_lines_leads_back() {
        let content: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let encoded = STANDARD.encode(&content);
        let body: Vec<u8> = encoded.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
        assert_eq!(base64(&body, usize::MAX), (content.clone(), true));
        let (decoded, map) = base64_mapped(&body);
        assert_eq!(decoded, content);
        for at in [0, 56, 57, 100_000, 199_990, 199_998] {
            let source = map.source(at..at + 1);
            let around: Vec<u8> = body[source].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let group = base64(&around, 9).0;
            assert!(group.contains(&content[at]), "{at}");
        }
    }

    #[test]
    fn quoted_printable_regular_and_not() {
        for (body, expected, irregular) in [
            ("plain", "plain", false),
            ("gr=C3=BCn", "grün", false),
            ("gr=c3=bcn", "grün", false),
            ("soft =\r\nbreak", "soft break", false),
            ("soft =  \r\nbreak", "soft break", false),
            ("soft =\nbreak=", "soft break", false),
            ("blanks  \r\nat end\t\r\n", "blanks\r\nat end\r\n", false),
            ("=20\r\n", " \r\n", false),
            ("=3D  \r\nx", "=\r\nx", false),
            ("a=b", "a=b", true),
            ("a==3Db", "a==b", true),
            ("a=3", "a=3", true),
            ("=\r\n=\r\n=41", "A", false),
        ] {
            assert_eq!(quoted_printable(body.as_bytes(), 1 << 20), (expected.as_bytes().to_vec(), true), "{body:?}");
            let (decoded, map) = quoted_printable_mapped(body.as_bytes());
            assert_eq!(decoded, expected.as_bytes(), "{body:?}");
            assert_eq!(map.len(), decoded.len(), "{body:?}");
            assert_eq!(is_irregular_quoted_printable(body.as_bytes()), irregular, "{body:?}");
        }
        assert_eq!(quoted_printable(b"abcdef", 3), (b"abc".to_vec(), false));
    }
}
