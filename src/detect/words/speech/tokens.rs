//! A sentence cut into words as the patterns read them: contractions in full (`they're` as `they are`), disguises undone.

use super::super::{super::matcher::is_word_byte, disguise};
use super::vocabulary::{Vocabulary, WordId};
use std::ops::Range;

/// A word of a sentence. The two words of a contraction share their bytes.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub range: Range<usize>,
    /// Unknown to the vocabulary: None.
    pub word: Option<WordId>,
    /// A comma, bracket, colon or dash stands before it: words on both sides belong less together.
    pub parted: bool,
}

/// More words of one sentence are read as another one: the masks of a pattern have 64 bits.
pub(super) const MOST_TOKENS: usize = 60;

/// How far on either side of a word its sentence is looked for.
const REACH: usize = 240;

/// The sentence that holds `at`, as far as it is read.
pub(super) fn sentence_around(text: &[u8], at: &Range<usize>) -> Range<usize> {
    let from = at.start.saturating_sub(REACH);
    let to = text.len().min(at.end + REACH);
    let start = (from..at.start).rev().find(|at| ends(text, *at)).map_or_else(|| whole_word(text, from), |at| at + 1);
    start..(at.end..to).find(|at| ends(text, *at)).unwrap_or(to)
}

/// The sentence behind the one that ends at `end`, unless a paragraph ends there.
pub(super) fn sentence_behind(text: &[u8], end: usize) -> Option<Range<usize>> {
    let gap = text.get(end..)?.iter().take(8).position(|byte| is_word_byte(*byte))?;
    let start = end + gap;
    if text[end..start].iter().filter(|byte| **byte == b'\n').count() > 1 {
        return None;
    }
    let to = text.len().min(start + REACH);
    Some(start..(start..to).find(|at| ends(text, *at)).unwrap_or(to))
}

fn whole_word(text: &[u8], from: usize) -> usize {
    if from == 0 {
        return 0;
    }
    text[from..].iter().position(|byte| !is_word_byte(*byte)).map_or(text.len(), |length| from + length)
}

fn ends(text: &[u8], at: usize) -> bool {
    match text[at] {
        // Also the sign in `w!men`, which has letters behind it.
        b'?' | b'!' | b'.' => {
            let behind = text[at + 1..].iter().find(|byte| !matches!(byte, b'"' | b'\'' | b')'));
            let letters = text[..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).take(2).count();
            behind.is_none_or(u8::is_ascii_whitespace) && (letters > 1 || text[at] != b'.')
        }
        b'\n' => {
            let rest = &text[at + 1..];
            let line = rest.iter().take(16).position(|byte| !matches!(byte, b'>' | b' ' | b'\t' | b'\r'));
            line.is_none_or(|at| rest[at] == b'\n')
        }
        _ => false,
    }
}

/// At most so many words as a pattern can look over.
pub(super) fn tokens(text: &[u8], range: Range<usize>, vocabulary: &Vocabulary) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = range.start;
    let mut end_of_last = range.start;
    while let Some(word) = next(text, at, range.end) {
        let word = spaced(text, word.clone(), range.end).unwrap_or(word);
        at = word.end;
        let parted = text[end_of_last..word.start].iter().any(|byte| matches!(byte, b',' | b';' | b':' | b'(' | b')'))
            || text[end_of_last..word.start].windows(3).any(|gap| gap == b" - ");
        end_of_last = at;
        let first = tokens.len();
        push(text, word, vocabulary, &mut tokens);
        if let Some(token) = tokens.get_mut(first) {
            token.parted = parted;
        }
        if tokens.len() >= MOST_TOKENS {
            tokens.truncate(MOST_TOKENS);
            break;
        }
    }
    tokens
}

/// Letters, digits, and the signs that stand for letters or join words, between letters.
fn next(text: &[u8], from: usize, to: usize) -> Option<Range<usize>> {
    let starts = |at: usize| {
        is_word_byte(text[at])
            || (matches!(text[at], b'@' | b'$') && text.get(at + 1).is_some_and(u8::is_ascii_lowercase))
    };
    let start = (from..to).find(|at| starts(*at))?;
    let inside = |at: usize| {
        is_word_byte(text[at])
            || (matches!(text[at], b'\'' | b'@' | b'$' | b'!' | b'|' | b'*')
                && text.get(at + 1).is_some_and(|byte| is_word_byte(*byte)))
    };
    let end = (start + 1..to).find(|at| !inside(*at)).unwrap_or(to);
    Some(start..end)
}

/// `v i l e`: single letters with one sign between each two, three of them at least.
fn spaced(text: &[u8], first: Range<usize>, to: usize) -> Option<Range<usize>> {
    let separator =
        *text.get(first.end).filter(|byte| first.len() == 1 && matches!(byte, b' ' | b'.' | b'-' | b'_'))?;
    let mut end = first.end;
    while end + 1 < to
        && text[end] == separator
        && text[end + 1].is_ascii_lowercase()
        && text.get(end + 2).is_none_or(|byte| !is_word_byte(*byte) && *byte != b'\'')
    {
        end += 2;
    }
    (end - first.start > 4).then_some(first.start..end)
}

fn push(text: &[u8], range: Range<usize>, vocabulary: &Vocabulary, tokens: &mut Vec<Token>) {
    let token = |range: Range<usize>, word: Option<WordId>| Token { range, word, parted: false };
    let bytes = &text[range.clone()];
    if let Some((_, full)) = FUSED.iter().find(|(fused, _)| fused.as_bytes() == bytes) {
        return tokens.extend(full.split(' ').map(|word| token(range.clone(), vocabulary.word(word.as_bytes()))));
    }
    if let Some(word) = vocabulary.word(bytes) {
        return tokens.push(token(range, Some(word)));
    }
    if let Some(at) = memchr::memchr(b'\'', bytes) {
        return contraction(text, range.start..range.end, at, vocabulary, tokens);
    }
    let letters: Vec<u8> = if bytes.len() > 4
        && !is_word_byte(bytes[1])
        && bytes.iter().skip(1).step_by(2).all(|byte| *byte == bytes[1])
    {
        bytes.iter().step_by(2).copied().collect()
    } else {
        bytes.to_vec()
    };
    match vocabulary.disguised(&letters) {
        Some(words) => tokens.extend(words.into_iter().map(|word| token(range.clone(), Some(word)))),
        None => tokens.push(token(range, None)),
    }
}

/// Contractions as they are written in haste.
const FUSED: [(&str, &str); 16] = [
    ("cannot", "can not"),
    ("cant", "can not"),
    ("dont", "do not"),
    ("doesnt", "does not"),
    ("didnt", "did not"),
    ("wont", "will not"),
    ("isnt", "is not"),
    ("arent", "are not"),
    ("shouldnt", "should not"),
    ("wouldnt", "would not"),
    ("theyre", "they are"),
    ("youre", "you are"),
    ("im", "i am"),
    ("gonna", "going to"),
    ("wanna", "want to"),
    ("lets", "let us"),
];

/// `don't` is `do not`, `let's` is `let us`, `she's` is `she is`, but `women's` is `women`.
fn contraction(text: &[u8], range: Range<usize>, at: usize, vocabulary: &Vocabulary, tokens: &mut Vec<Token>) {
    let bytes = &text[range.clone()];
    let (mut stem, ending) = (bytes[..at].to_vec(), &bytes[at + 1..]);
    let subject: [&[u8]; 12] =
        [b"i", b"you", b"he", b"she", b"it", b"we", b"they", b"that", b"there", b"who", b"what", b"here"];
    let full: &[u8] = match ending {
        b"t" if stem.last() == Some(&b'n') => {
            match &*stem {
                b"can" => {}
                b"won" => stem = b"will".to_vec(),
                b"shan" => stem = b"shall".to_vec(),
                b"ain" => stem = b"is".to_vec(),
                _ => stem.truncate(stem.len() - 1),
            }
            b"not"
        }
        b"re" => b"are",
        b"ve" => b"have",
        b"ll" => b"will",
        b"d" => b"would",
        b"m" => b"am",
        b"s" if *stem == *b"let" => b"us",
        b"s" if subject.contains(&&*stem) => b"is",
        _ => b"",
    };
    tokens.push(Token { range: range.clone(), word: vocabulary.resolved(&stem), parted: false });
    if !full.is_empty() {
        tokens.push(Token { range, word: vocabulary.word(full), parted: false });
    }
}

/// Signs and digits back to letters, in the ways that they may be meant; letters drawn out to three come down.
pub(super) fn readings(word: &[u8]) -> Vec<Vec<u8>> {
    let mut readings = Vec::new();
    let disguised = word.iter().any(|byte| !byte.is_ascii_lowercase());
    let letters = word.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    if word.len() > 40 || letters * 2 < word.len() {
        return readings;
    }
    for one in if word.iter().any(|byte| matches!(byte, b'1' | b'|' | b'!')) { &b"il"[..] } else { b"i" } {
        let plain: Vec<u8> = word.iter().map(|byte| disguise::unleet(*byte, *one)).collect();
        for keep in [1, 2] {
            let short = disguise::shortened(&plain, keep);
            if short.len() < plain.len() {
                readings.push(short);
            }
        }
        if disguised {
            readings.push(plain);
        }
    }
    readings
}
