//! Encoded words (RFC 2047) and unfolding (RFC 5322 2.2.3), with the way back to the bytes.
//!
//! Read leniently, since a scanner must see what a reader sees: inside quoted strings, over-long, with blanks, and
//! split in the middle of a character.

use super::{Text, charset, charset::Charset, header, source_map::SourceMap, transfer};
use memchr::memmem;
use std::{borrow::Cow, ops::Range};

/// Words beyond this in one field stay as they stand; the message is then *unread: too-many*.
pub(super) const MOST_WORDS: usize = 1_000;

/// RFC 2047 2 allows 75 characters. A reader that takes more is served up to here, so that the search for the end of
/// a word is bounded and the whole stays linear.
const LONGEST_WORD: usize = 8_192;

/// One encoded word, by range.
struct Word<'a> {
    label: &'a str,
    base64: bool,
    text: &'a [u8],
    whole: Range<usize>,
}

impl Word<'_> {
    fn bytes(&self) -> Vec<u8> {
        if self.base64 {
            return transfer::base64(self.text, usize::MAX).0;
        }
        let mut bytes = Vec::with_capacity(self.text.len());
        let mut at = 0;
        while at < self.text.len() {
            let digits =
                self.text.get(at + 1..at + 3).and_then(|two| Some((header::hex(two[0])?, header::hex(two[1])?)));
            match (self.text[at], digits) {
                (b'=', Some((high, low))) => {
                    bytes.push(high << 4 | low);
                    at += 3;
                    continue;
                }
                (b'_', _) => bytes.push(b' '),
                (byte, _) => bytes.push(byte),
            }
            at += 1;
        }
        bytes
    }
}

/// The value of a field: unfolded, encoded words decoded, outer white space removed. `start` is the place of
/// `value` in the message.
pub(super) fn field_text(value: &[u8], start: usize) -> Text {
    let trimmed = header::trim(value);
    let offset = trimmed.as_ptr() as usize - value.as_ptr() as usize;
    decode(trimmed, start + offset)
}

/// The same without a map.
pub(super) fn decoded(value: &[u8]) -> String {
    decode(header::trim(value), 0).text
}

fn decode(value: &[u8], start: usize) -> Text {
    let mut text = Text::default();
    let (mut at, mut run, mut words) = (0, 0, 0);
    while let Some(found) = memchr::memchr3(b'\r', b'\n', b'=', &value[at..]) {
        let here = at + found;
        match word_at(value, here).filter(|_| words < MOST_WORDS) {
            Some(word) => {
                push_run(&mut text, &value[run..here], start + run);
                (at, words) = push_words(&mut text, value, start, word, words);
                run = at;
            }
            None => {
                at = here + 1;
                if value[here] != b'=' {
                    push_run(&mut text, &value[run..here], start + run);
                    run = at;
                }
            }
        }
    }
    push_run(&mut text, &value[run..], start + run);
    text
}

/// Adds `word` and the words that follow it with only white space between (RFC 2047 6.2). Gives the position behind
/// them and the number of words so far.
fn push_words<'a>(text: &mut Text, value: &'a [u8], start: usize, word: Word<'a>, words: usize) -> (usize, usize) {
    let mut words = words + 1;
    let mut whole = word.whole.clone();
    let mut label = word.label;
    let mut bytes = word.bytes();
    loop {
        let next = following_word(value, whole.end).filter(|_| words < MOST_WORDS);
        let charset = Charset::of(Some(label));
        match next {
            // A character split between two words: forbidden, and common. They are decoded together.
            Some(next) if next.label.eq_ignore_ascii_case(label) && !charset::fits(&bytes, charset) => {
                bytes.extend(next.bytes());
                whole.end = next.whole.end;
            }
            next => {
                push_decoded(text, &bytes, charset, start + whole.start..start + whole.end);
                let Some(next) = next else { return (whole.end, words) };
                label = next.label;
                bytes = next.bytes();
                whole = next.whole;
            }
        }
        words += 1;
    }
}

fn push_decoded(text: &mut Text, bytes: &[u8], charset: Charset, source: Range<usize>) {
    text.push_decoded(&charset::decode(Cow::Borrowed(bytes), charset).0, source);
}

fn following_word(value: &[u8], at: usize) -> Option<Word<'_>> {
    let blanks = value[at..].iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
    word_at(value, at + blanks)
}

/// The encoded word that begins at `at`.
fn word_at(value: &[u8], at: usize) -> Option<Word<'_>> {
    let rest = value[at..].strip_prefix(b"=?")?;
    let rest = &rest[..rest.len().min(LONGEST_WORD)];
    let label_end = rest.iter().take(64).position(|&byte| byte == b'?')?;
    let label = std::str::from_utf8(&rest[..label_end]).ok()?;
    let base64 = match rest.get(label_end + 1)? {
        b'b' | b'B' => true,
        b'q' | b'Q' => false,
        _ => return None,
    };
    if rest.get(label_end + 2) != Some(&b'?') {
        return None;
    }
    let encoded = &rest[label_end + 3..];
    let end = memmem::find(encoded, b"?=")?;
    // RFC 2231 5: a language may follow the charset behind an asterisk.
    let label = label.split_once('*').map_or(label, |(label, _)| label);
    Some(Word { label, base64, text: &encoded[..end], whole: at..at + 2 + label_end + 3 + end + 2 })
}

fn push_run(text: &mut Text, bytes: &[u8], start: usize) {
    match std::str::from_utf8(bytes) {
        Ok(run) => text.push_verbatim(run, start),
        Err(_) => {
            let (run, map) = charset::decode(Cow::Borrowed(bytes), Charset::Guess);
            let map = map.through(&SourceMap::verbatim(bytes.len(), start));
            text.append(&run, map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (value, expected) in [
            ("plain", "plain"),
            (" folded\r\n over lines ", "folded over lines"),
            ("=?utf-8?q?gr=C3=BCn?=", "grün"),
            ("=?UTF-8?B?Z3LDvG4=?= tea", "grün tea"),
            ("a =?iso-8859-1?Q?b=20c?=\r\n =?iso-8859-1?Q?_d?= e", "a b c d e"),
            ("=?utf-8?q?gr=C3?= =?utf-8?q?=BCn?=", "grün"),
            ("=?utf-8*en?q?x_y?=", "x y"),
            ("\"=?utf-8?q?Quoted=2C_Name?=\" <a@b.example>", "\"Quoted, Name\" <a@b.example>"),
            ("=?utf-8?q?with blank?=", "with blank"),
            ("=?utf-8?x?no?=", "=?utf-8?x?no?="),
            ("=?utf-8?q?open", "=?utf-8?q?open"),
            ("1=1 and 2=?", "1=1 and 2=?"),
            ("", ""),
        ] {
            assert_eq!(decoded(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(decoded(b"gr\xfcn"), "grün");
    }

    #[test]
    fn words_lead_back() {
        let value = b" x =?utf-8?q?gr=C3=BCn?= tea";
        let text = field_text(value, 100);
        assert_eq!(text.text, "x grün tea");
        assert_eq!(text.source(2..7), 103..124);
        assert_eq!(text.source(8..11), 125..128);
    }

    #[test]
    fn no_more_words_than_allowed() {
        let value = "=?a?q?x?= ".repeat(MOST_WORDS + 5);
        let text = decoded(value.as_bytes());
        assert!(text.starts_with("xxx") && text.ends_with("=?a?q?x?="));
    }
}
