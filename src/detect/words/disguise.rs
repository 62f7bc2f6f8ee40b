//! Words in disguise: leet (`k1te`), spaced letters (`k i t e`), drawn-out letters (`kiiite`), stars (`k*te`).
//!
//! One pass over the text finds the few runs that could be one of these; each is put back into plain letters and looked up as
//! a whole word, so an innocent word in disguise is none either.

use super::super::matcher::{Match, Matcher};
use std::{collections::HashMap, ops::Range};

/// No listed word is longer; base64 and links are.
const LONGEST_RUN: usize = 32;
/// Shorter ones are road numbers, postcodes and sizes.
const SHORTEST: usize = 4;

/// Entries by first letter, last letter and length, for words with stars in the middle.
#[derive(Default)]
pub(super) struct Starred(HashMap<(u8, u8, usize), Vec<Word>>);

type Word = (Box<[u8]>, u32);

impl Starred {
    pub fn add(&mut self, word: &[u8], entry: u32) {
        if let [first, middle @ .., last] = word
            && word.len() >= SHORTEST
            && middle.iter().all(u8::is_ascii_lowercase)
        {
            self.0.entry((*first, *last, word.len())).or_default().push((word.into(), entry));
        }
    }

    fn entries<'a>(&'a self, run: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let key = match run {
            [first, .., last] => (*first, *last, run.len()),
            _ => (0, 0, 0),
        };
        let fits = move |word: &[u8]| word.iter().zip(run).all(|(letter, shown)| letter == shown || *shown == b'*');
        self.0.get(&key).into_iter().flatten().filter(move |(word, _)| fits(word)).map(|(_, entry)| *entry)
    }
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const SIGN: u8 = 4;
const STAR: u8 = 8;

const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' => LETTER,
            b'0' | b'1' | b'3' | b'4' | b'5' | b'7' | b'8' => DIGIT,
            b'@' | b'$' | b'!' | b'|' => SIGN,
            b'*' => STAR,
            _ => 0,
        };
        byte += 1;
    }
    class
};

pub(super) fn find(text: &[u8], matcher: &Matcher, starred: &Starred, mut found: impl FnMut(Match)) {
    let mut at = 0;
    while at < text.len() {
        if CLASS[text[at] as usize] == 0 {
            at += 1;
            continue;
        }
        let start = at;
        let (mut classes, mut last, mut same, mut drawn_out) = (0, 0, 0, false);
        for byte in &text[start..] {
            let class = CLASS[*byte as usize];
            if class == 0 {
                break;
            }
            classes |= class;
            same = if *byte == last { same + 1 } else { 0 };
            drawn_out |= same == 2;
            last = *byte;
            at += 1;
        }
        if classes & LETTER == 0 {
            continue;
        }
        if at - start == 1 {
            if let Some(run) = spaced(text, start) {
                at = run.end;
                let letters: Vec<u8> = text[run.clone()].iter().step_by(2).copied().collect();
                report(matcher, &letters, run, &mut found);
            }
        } else if classes != LETTER || drawn_out {
            run(text, start..at, matcher, starred, &mut found);
        }
    }
}

/// Single letters with the same sign between each two: at least three of them, and no letter beside.
fn spaced(text: &[u8], start: usize) -> Option<Range<usize>> {
    let separator = *text.get(start + 1)?;
    if !matches!(separator, b' ' | b'.' | b'-' | b'_' | b'*' | b'/' | b',')
        || (start > 0 && super::super::matcher::is_word_byte(text[start - 1]))
    {
        return None;
    }
    let mut end = start + 1;
    while text.get(end) == Some(&separator)
        && text.get(end + 1).is_some_and(u8::is_ascii_lowercase)
        && text.get(end + 2).is_none_or(|byte| !super::super::matcher::is_word_byte(*byte))
        && end - start < 2 * LONGEST_RUN
    {
        end += 2;
    }
    (end - start > 4).then_some(start..end)
}

/// A run with signs, digits or drawn-out letters among its letters. Two or more digits only at the end are a number
/// (a postcode, a room), not a spelling.
fn run(text: &[u8], range: Range<usize>, matcher: &Matcher, starred: &Starred, found: &mut impl FnMut(Match)) {
    let beside = |at: usize| text.get(at).is_some_and(|byte| byte.is_ascii_digit() || *byte >= 0x80);
    if range.len() > LONGEST_RUN || (range.start > 0 && beside(range.start - 1)) || beside(range.end) {
        return;
    }
    let (start, end) = trimmed(text, range);
    let run = &text[start..end];
    let letters = run.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    let stars = memchr::memchr_iter(b'*', run).count();
    let trailing = run.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let is_numbered = trailing > 1 && trailing + letters == run.len();
    if run.len() < SHORTEST || letters * 2 < run.len() || is_numbered {
        return;
    }
    if stars > 0 {
        if stars + letters == run.len() {
            starred.entries(run).for_each(|entry| found(Match { range: start..end, entry }));
        }
        return;
    }
    let disguised = letters < run.len();
    for one in if run.iter().any(|byte| matches!(byte, b'1' | b'|' | b'!')) { &b"il"[..] } else { b"i" } {
        let plain: Vec<u8> = run.iter().map(|byte| unleet(*byte, *one)).collect();
        if disguised && report(matcher, &plain, start..end, found) {
            return;
        }
        for keep in [1, 2] {
            let short = shortened(&plain, keep);
            if short.len() < plain.len() && short.len() >= 3 && report(matcher, &short, start..end, found) {
                return;
            }
        }
    }
}

/// Without the signs around it that are punctuation.
fn trimmed(text: &[u8], range: Range<usize>) -> (usize, usize) {
    let run = &text[range.clone()];
    let punctuation = |byte: &u8| matches!(byte, b'!' | b'*' | b'|');
    let front = run.iter().take_while(|byte| punctuation(byte)).count();
    let back = run[front..].iter().rev().take_while(|byte| punctuation(byte)).count();
    (range.start + front, range.end - back)
}

fn report(matcher: &Matcher, word: &[u8], range: Range<usize>, found: &mut impl FnMut(Match)) -> bool {
    let entries = matcher.word(word);
    entries.iter().for_each(|entry| found(Match { range: range.clone(), entry: *entry }));
    !entries.is_empty()
}

pub(super) fn unleet(byte: u8, one: u8) -> u8 {
    match byte {
        b'0' => b'o',
        b'1' | b'|' | b'!' => one,
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        b'8' => b'b',
        other => other,
    }
}

/// Every letter drawn out to three or more comes down to `keep`.
pub(super) fn shortened(word: &[u8], keep: usize) -> Vec<u8> {
    word.chunk_by(|a, b| a == b)
        .flat_map(|chunk| &chunk[..if chunk.len() > 2 { keep } else { chunk.len() }])
        .copied()
        .collect()
}
