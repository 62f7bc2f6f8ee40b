//! Text as the detectors read it: disguises undone, with the way back to the text as it came.
//!
//! Case, diacritics, full width and other compatibility forms, simple look-alikes, zero-width characters and soft hyphens
//! are folded away; no-break and other spaces become a space, all dashes `-`, what is neither letter nor digit a space.
//! ASCII text, which is nearly all text, takes a path without a map.

use std::{borrow::Cow, ops::Range};
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Folded text. Every offset of `lower` and `cased` leads back to a range of the text it was made from.
pub(super) struct Folded<'a> {
    /// As bytes: everything ASCII in lower case.
    pub lower: Vec<u8>,
    /// The same length, but ASCII letters keep their case: what patterns are matched on.
    pub cased: Cow<'a, str>,
    /// Empty when every byte stands where it stood.
    runs: Vec<Run>,
    foreign_digits: bool,
}

/// A stretch from `folded` up to the next run.
struct Run {
    folded: usize,
    original: usize,
    /// One byte for one byte; otherwise all of the run stands for these many bytes of the original.
    stands_for: Option<usize>,
}

impl<'a> Folded<'a> {
    pub fn new(text: &'a str) -> Self {
        if text.is_ascii() {
            return Self {
                lower: text.as_bytes().to_ascii_lowercase(),
                cased: Cow::Borrowed(text),
                runs: Vec::new(),
                foreign_digits: false,
            };
        }
        let mut folding = Folding { out: String::with_capacity(text.len()), runs: Vec::new(), foreign_digits: false };
        let mut rest = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
            folding.verbatim(&text[rest..at], rest);
            rest = at + c.len_utf8();
            folding.character(c, at);
        }
        folding.verbatim(&text[rest..], rest);
        let lower = folding.out.as_bytes().to_ascii_lowercase();
        Self { lower, cased: Cow::Owned(folding.out), runs: folding.runs, foreign_digits: folding.foreign_digits }
    }

    /// Whether folding changed nothing but case.
    pub fn is_plain(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether the original has digits that are not ASCII.
    pub fn has_foreign_digits(&self) -> bool {
        self.foreign_digits
    }

    /// The bytes of the original text from which `range` came.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        if self.runs.is_empty() || range.is_empty() {
            return self.original_of(range.start).start..self.original_of(range.end).start;
        }
        let start = self.original_of(range.start).start;
        start..self.original_of(range.end - 1).end.max(start)
    }

    fn original_of(&self, offset: usize) -> Range<usize> {
        let index = self.runs.partition_point(|run| run.folded <= offset);
        let Some(run) = index.checked_sub(1).map(|index| &self.runs[index]) else { return offset..offset + 1 };
        match run.stands_for {
            Some(length) => run.original..run.original + length,
            None => {
                let at = run.original + (offset - run.folded);
                at..at + 1
            }
        }
    }
}

struct Folding {
    out: String,
    runs: Vec<Run>,
    foreign_digits: bool,
}

impl Folding {
    fn verbatim(&mut self, text: &str, original: usize) {
        if !text.is_empty() {
            self.runs.push(Run { folded: self.out.len(), original, stands_for: None });
            self.out.push_str(text);
        }
    }

    fn character(&mut self, c: char, original: usize) {
        let folded = self.out.len();
        self.foreign_digits |= c.is_numeric();
        if !is_ignorable(c) {
            decompose_compatible(c, |part| push(&mut self.out, part));
        }
        if self.out.len() > folded {
            self.runs.push(Run { folded, original, stands_for: Some(c.len_utf8()) });
        }
    }
}

fn push(out: &mut String, c: char) {
    if c.is_ascii() {
        out.push(c);
    } else if let Some(ascii) = ascii_twin(c) {
        out.push(ascii);
    } else if c.is_alphanumeric() {
        out.extend(c.to_lowercase());
    } else if !is_combining_mark(c) && !is_ignorable(c) {
        out.push(' ');
    }
}

/// Characters that a reader does not see: soft hyphen, zero-width, bidirectional controls, variation
/// selectors, tags (Unicode 16, Default_Ignorable_Code_Point) and combining marks.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}')
        || ('\u{300}'..='\u{36F}').contains(&c)
}

/// Dashes and quotes, and letters that look like a Latin one (the commonest of UTS 39 confusables; case is kept).
fn ascii_twin(c: char) -> Option<char> {
    Some(match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' => '-',
        '\u{2018}' | '\u{2019}' | '\u{201B}' | '\u{2BC}' => '\'',
        '\u{2044}' | '\u{2215}' => '/',
        'а' | 'α' | 'ɑ' => 'a',
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'с' | 'ϲ' | 'ᴄ' => 'c',
        'С' | 'Ϲ' => 'C',
        'ԁ' | 'đ' => 'd',
        'Đ' | 'Ð' => 'D',
        'е' | 'є' => 'e',
        'Е' | 'Ε' => 'E',
        'ɡ' => 'g',
        'һ' | 'ħ' => 'h',
        'Н' | 'Η' => 'H',
        'і' | 'ι' | 'ı' | 'ɩ' => 'i',
        'І' | 'Ι' => 'I',
        'ј' => 'j',
        'Ј' => 'J',
        'к' | 'κ' => 'k',
        'К' | 'Κ' => 'K',
        'ł' | 'ӏ' => 'l',
        'Ł' | 'Ӏ' => 'L',
        'М' | 'Μ' => 'M',
        'ո' => 'n',
        'Ν' => 'N',
        'о' | 'ο' | 'ø' | 'օ' => 'o',
        'О' | 'Ο' | 'Ø' => 'O',
        'р' | 'ρ' => 'p',
        'Р' | 'Ρ' => 'P',
        'ѕ' => 's',
        'Ѕ' => 'S',
        'т' | 'τ' => 't',
        'Т' | 'Τ' => 'T',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ѡ' | 'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'Х' | 'Χ' => 'X',
        'у' | 'γ' => 'y',
        'У' | 'Υ' => 'Y',
        'Ζ' => 'Z',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lower(text: &str) -> String {
        String::from_utf8(Folded::new(text).lower).unwrap()
    }

    #[test]
    fn disguises_fold_to_the_plain_word() {
        for disguised in [
            "Plain",
            "PLAIN",
            "pláïn",
            "p\u{200B}la\u{AD}in",
            "ｐｌａｉｎ",
            "рlаіn",
            "𝐩𝐥𝐚𝐢𝐧",
            "pl\u{301}ain",
            "\u{202E}plain",
            "ⓟⓛⓐⓘⓝ",
        ] {
            assert_eq!(lower(disguised), "plain", "{disguised:?}");
        }
        assert_eq!(lower("a\u{A0}b\u{2011}c’d•e"), "a b-c'd e");
        assert_eq!(lower("１２３"), "123");
    }

    #[test]
    fn offsets_lead_back() {
        let text = "zé\u{200B}ta £5";
        let folded = Folded::new(text);
        assert_eq!(folded.cased, "zeta  5");
        assert_eq!(&text[folded.original(0..4)], "zé\u{200B}ta");
        assert_eq!(&text[folded.original(1..2)], "é");
        assert_eq!(&text[folded.original(6..7)], "5");
        let plain = Folded::new("ABC");
        assert_eq!(plain.original(1..3), 1..3);
    }

    proptest! {
        #[test]
        fn every_range_leads_back_into_the_text(text in "[a-zA-Zé０-９\u{200B}\u{AD}ﬁ ½😀а]{0,40}", a in 0usize..80, b in 0usize..80) {
            let folded = Folded::new(&text);
            prop_assert_eq!(folded.lower.len(), folded.cased.len());
            let boundaries: Vec<usize> = folded.cased.char_indices().map(|(at, _)| at).chain([folded.cased.len()]).collect();
            let (a, b) = (boundaries[a % boundaries.len()], boundaries[b % boundaries.len()]);
            if a < b {
                let range = folded.original(a..b);
                prop_assert!(range.end <= text.len() && text.get(range.clone()).is_some(), "{:?}", range);
                prop_assert!(!range.is_empty());
            }
        }
    }
}
